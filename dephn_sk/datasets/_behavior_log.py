"""A simulated log of impressions, with the true probabilities.

Users see items at a time and place; they may click, and after a click like and
buy. Made by ``dephn_sk.datasets.make_behavior_log``; no data of real people.
"""

from itertools import combinations
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.utils import Bunch, check_random_state

from .._compat import Interval, validate_params
from . import _tables

TASKS = ("click", "like", "purchase")
STRINGS = {  # columns of strings: what each code stands for
    "city": ("Adelaide", "Bergen", "Cusco", "Dakar", "Essen", "Faro", "Graz", "Hanoi"),
    "weekday": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    "device": ("phone", "tablet", "desktop"),
    "tab": ("home", "search", "following", "nearby", "deals"),
}
AMOUNTS, DEVIATION = ("watch_seconds", "revenue"), 0.7
N_POSITIONS = 20
IDS = ("user_id", "item_id")
NUMBERS = ("age", "price", "popularity", "position")
EFFECTS = {  # how much categories weigh; a cell is one of a city
    0.4: IDS,
    0.5: ("category",),
    0.3: ("weekday", "device", "tab"),
    0.8: ("cell",),
}
MIN_ROWS = 64  # fewer leave too little room for independent log-odds

COUNTS = "n_samples n_users n_items n_categories n_days".split()
RATES = "click_rate like_rate purchase_rate".split()


@validate_params(
    {
        **{n: [Interval(Integral, 1, None, closed="left")] for n in COUNTS},
        **{n: [Interval(Real, 0, 1, closed="neither")] for n in RATES},
        "task_correlation": [Interval(Real, 0, 1, closed="both")],
        "signal": [Interval(Real, 0, None, closed="left")],
        "missing_rate": [Interval(Real, 0, 1, closed="left")],
        "id_effect": [Interval(Real, 0, None, closed="left")],
        "number_interactions": [Interval(Real, 0, None, closed="left")],
        "drift": [Interval(Real, 0, 1, closed="both")],
        "amounts": ["boolean"],
        "return_X_y": ["boolean"],
        "as_frame": ["boolean"],
        "random_state": ["random_state"],
    }
)
def make_behavior_log(
    n_samples: int = 10_000,
    *,
    n_users: int = 1_000,
    n_items: int = 500,
    n_categories: int = 20,
    n_days: int = 14,
    task_correlation: float = 0.5,
    signal: float = 2.0,
    click_rate: float = 0.2,
    like_rate: float = 0.2,
    purchase_rate: float = 0.1,
    missing_rate: float = 0.1,
    id_effect: float = 1.0,
    number_interactions: float = 0.0,
    drift: float = 0.0,
    amounts: bool = False,
    return_X_y: bool = False,
    as_frame: bool = True,
    random_state: int | RandomState | None = None,
) -> _tables.Loaded:
    """Simulate a log of impressions with a click, like, purchase funnel.

    Each row is an item shown to a user at some time and place. The user clicks or
    not; only after a click can there be a like and a purchase. Where there was no
    click, the label of the purchase is not observed (NaN) and the like is 0.

    The log-odds of the tasks are functions of the features: main effects of users,
    items, categories, context and numbers, and interactions of the category with
    the city and with the user. Numbers act alone and steadily, unless
    `number_interactions` says otherwise. Each pair of tasks has log-odds of correlation
    `task_correlation`, and each task log-odds of standard deviation `signal`.

    Parameters
    ----------
    n_samples : int, default=10_000
        Number of impressions (rows).
    n_users, n_items, n_categories : int, default=1_000, 500, 20
        How many there are to draw from. Few are frequent, most are rare.
    n_days : int, default=14
        Days that the log spans; the first one is a Monday.
    task_correlation : float in [0, 1], default=0.5
        Correlation of the log-odds of each pair of tasks, exact from 64 rows on.
    signal : float, default=2.0
        Standard deviation of the log-odds of each task. With 0 the labels are
        noise.
    click_rate : float in (0, 1), default=0.2
        Expected share of clicks.
    like_rate, purchase_rate : float in (0, 1), default=0.2, 0.1
        Expected share of likes and of purchases among the clicks.
    missing_rate : float in [0, 1), default=0.1
        Expected share of users of unknown age.
    id_effect : float, default=1.0
        Factor of what a user and an item add to the log-odds beyond their features:
        the effects of ``user_id`` and ``item_id``, and the tastes of users. With 0
        the ids say nothing that the other columns do not.
    number_interactions : float, default=0.0
        How much the product of two numbers weighs, out of age, price, popularity and
        position on their standardized logarithmic scales: with 1 as much as each of
        the numbers alone.
    drift : float in [0, 1], default=0.0
        How far all effects turn while the log goes on. Those at its end have the
        expected correlation ``cos(drift * pi / 2)`` with those at its beginning:
        with 1 nothing of them remains.
    amounts : bool, default=False
        Whether `target` has two amounts, too: ``watch_seconds``, lognormal in every
        row, and ``revenue``, 0 but after a purchase, then lognormal around the price.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=True
        Return data frames (needs pandas). If False, arrays of floats in which
        categories are codes from 0.
    random_state : int, RandomState instance or None, default=None
        Determines the random numbers. Pass an int for the same log each time.

    Returns
    -------
    log : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : DataFrame or ndarray of shape (n_samples, 12)
            In the order of time. As a frame, ``user_id``, ``item_id`` and
            ``category`` are of dtype category; ``city``, ``weekday``, ``device``
            and ``tab`` are strings; ``hour`` and ``position`` are integers;
            ``age`` (in years, partly missing), ``price`` and ``popularity`` (both
            with a heavy tail) are floats.
        target : DataFrame or ndarray of shape (n_samples, 3) or (n_samples, 5)
            ``click``, ``like`` and ``purchase``: 0, 1, and NaN for not observed; then
            the amounts, if they are asked for.
        probabilities : ndarray of shape (n_samples, 3)
            What the labels were drawn with: the probabilities of a click, of a
            click followed by a like, and of a purchase given a click.
        log_odds : ndarray of shape (n_samples, 3)
            Of a click, of a like given a click, and of a purchase given a click.
        expected_amounts : ndarray of shape (n_samples, 2)
            The means that the amounts were drawn with, if they are asked for.
        time : ndarray of shape (n_samples,)
            Hours since the beginning of the log, ascending.
        categorical_features : list of int
            The columns of `data` that hold categories.
        feature_names, task_names : list of str
            Columns of `data` and of `target`.
        DESCR : str
            What the data are.

    Examples
    --------
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(1000, as_frame=False, random_state=0)
    >>> log.data.shape, log.target.shape
    ((1000, 12), (1000, 3))
    >>> log.task_names
    ['click', 'like', 'purchase']
    """
    if as_frame:
        pd = _tables.import_pandas("make_behavior_log with as_frame=True")
    rng = check_random_state(random_state)
    n_rows = max(n_samples, MIN_ROWS)

    user, _ = _heavy_tailed(rng, n_users, n_rows)
    item, item_share = _heavy_tailed(rng, n_items, n_rows)
    city = rng.randint(len(STRINGS["city"]), size=n_users)
    age = np.clip(rng.gamma(8, 4.5, size=n_users), 14, 95).round()
    category = rng.randint(n_categories, size=n_items)
    price = rng.normal(3, 0.8, size=n_categories)[category]
    price = np.exp(rng.normal(price, 0.5)).round(2)
    popularity = (1e6 * item_share * rng.lognormal(0, 0.5, size=n_items)).round()
    # more is seen in the evening than at night
    hour = np.concatenate([rng.uniform(0, 24, n_rows), rng.normal(20, 3, n_rows) % 24])
    time = 24 * rng.randint(n_days, size=n_rows) + rng.choice(hour, size=n_rows)
    time = np.sort(time)
    features = {
        "user_id": user,
        "item_id": item,
        "category": category[item],
        "city": city[user],
        "hour": (time % 24).astype(np.int64),
        "weekday": (time // 24).astype(np.int64) % 7,
        "device": rng.choice(3, size=n_rows, p=[0.7, 0.1, 0.2]),
        "tab": rng.choice(5, size=n_rows, p=[0.4, 0.25, 0.2, 0.1, 0.05]),
        "position": np.minimum(rng.geometric(0.2, size=n_rows), N_POSITIONS),
        "age": age[user],
        "price": price[item],
        "popularity": popularity[item],
    }
    kinds = {  # what the codes of a column stand for
        "user_id": range(n_users),
        "item_id": range(n_items),
        "category": [f"category {i}" for i in range(n_categories)],
        **STRINGS,
    }

    n_values = {name: len(values) for name, values in kinds.items()}
    sizes = n_values, id_effect, number_interactions
    utilities = _utilities(rng, features, *sizes)
    if drift:
        turned = (drift * np.pi / 2 * time / (24 * n_days))[:, None]
        utilities *= np.cos(turned)
        utilities += np.sin(turned) * _utilities(rng, features, *sizes)
    # mixtures of the independent functions, standardized, of the given correlation
    basis, _ = np.linalg.qr(utilities - utilities.mean(axis=0))
    basis *= np.sqrt(n_rows)
    shared, own = basis[:, :1], basis[:, 1:]
    mixtures = np.sqrt(task_correlation) * shared + np.sqrt(1 - task_correlation) * own
    log_odds = signal * mixtures
    log_odds[:, 0] += _intercept(log_odds[:, 0], np.ones(n_rows), click_rate)
    p_click = expit(log_odds[:, 0])
    log_odds[:, 1] += _intercept(log_odds[:, 1], p_click, like_rate)
    log_odds[:, 2] += _intercept(log_odds[:, 2], p_click, purchase_rate)
    probabilities = expit(log_odds)
    target = (rng.uniform(size=(n_rows, 3)) < probabilities).astype(np.float64)
    target[:, 1] *= target[:, 0]
    target[target[:, 0] == 0, 2] = np.nan
    probabilities[:, 1] *= p_click
    age[rng.uniform(size=n_users) < missing_rate] = np.nan
    features["age"] = age[user]
    names, more = list(TASKS), dict[str, NDArray]()
    if amounts:
        drawn, expected = _amounts(rng, mixtures, features["price"], target[:, 2])
        expected[:, 1] *= probabilities[:, 2] * p_click
        target = np.column_stack([target, drawn])
        names, more = [*TASKS, *AMOUNTS], {"expected_amounts": expected[:n_samples]}

    features = {name: values[:n_samples] for name, values in features.items()}
    target = target[:n_samples]
    data: Any = np.column_stack(list(features.values())).astype(np.float64)
    if as_frame:
        data = pd.DataFrame(features)
        for name, values in kinds.items():
            if name in STRINGS:
                data[name] = np.array(values, dtype=object)[features[name]]
            else:
                data[name] = pd.Categorical.from_codes(features[name], values)
        target = pd.DataFrame(target, columns=names)
        target = target.astype({"click": "int64", "like": "int64"})
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        feature_names=list(features),
        task_names=names,
        probabilities=probabilities[:n_samples],
        log_odds=log_odds[:n_samples],
        **more,
        time=time[:n_samples],
        categorical_features=[list(features).index(name) for name in kinds],
        DESCR=__doc__,
    )


def _amounts(
    rng: RandomState, mixtures: NDArray, price: NDArray, purchase: NDArray
) -> tuple[NDArray, NDArray]:
    """Seconds watched, revenue, and their means; that of revenue after a purchase."""
    drive = mixtures.sum(axis=1)
    drive /= drive.std() or 1
    logs = np.column_stack([2.5 + 0.7 * drive, np.log(price) + 0.4 * drive])
    amounts = np.exp(logs + DEVIATION * rng.normal(size=logs.shape))
    amounts[purchase != 1, 1] = 0
    return amounts, np.exp(logs + DEVIATION**2 / 2)


def _heavy_tailed(rng: RandomState, n: int, n_rows: int) -> tuple[NDArray, NDArray]:
    """Rows' kinds, out of `n` of which few are frequent, and the share of each kind."""
    share = 1 / np.arange(1, n + 1) ** 0.8
    share = rng.permutation(share / share.sum())
    return rng.choice(n, size=n_rows, p=share), share


def _utilities(
    rng: RandomState,
    features: dict[str, NDArray],
    n_values: dict[str, int],
    id_effect: float,
    number_interactions: float,
) -> NDArray:
    """Four independent functions of the features, (n_rows, 4)."""
    cell = n_values["category"] * features["city"] + features["category"]
    features = {**features, "cell": cell}
    n_values = {**n_values, "cell": n_values["category"] * n_values["city"]}
    utilities = np.zeros((len(cell), 4))
    for weight, names in EFFECTS.items():
        for name in names:
            size = weight * id_effect if name in IDS else weight
            utilities += size * rng.normal(size=(n_values[name], 4))[features[name]]
    numbers = []
    for name in NUMBERS:
        values = np.log1p(features[name])
        values = (values - values.mean()) / (values.std() or 1)
        utilities += 0.4 * np.outer(values, rng.normal(size=4))
        numbers.append(values)
    phase = rng.uniform(0, 2 * np.pi, size=4)
    utilities += 0.4 * np.cos(np.pi / 12 * features["hour"][:, None] + phase)
    user_taste = rng.normal(size=(n_values["user_id"], 4))[features["user_id"]]
    for utility in utilities.T:
        offer = rng.normal(size=(n_values["category"], 4))[features["category"]]
        utility += 0.2 * id_effect * np.einsum("ij,ij->i", user_taste, offer)
    if number_interactions:
        for one, other in combinations(numbers, 2):
            size = 0.4 * number_interactions
            utilities += size * np.outer(one * other, rng.normal(size=4))
    return utilities


def _intercept(log_odds: NDArray, weights: NDArray, rate: float) -> float:
    """What to add to the log-odds so that their weighted mean rate is as given."""

    def excess(shift: float) -> float:
        return np.average(expit(log_odds + shift), weights=weights) - rate

    return brentq(excess, -1e3, 1e3)

"""Whether new rows are still those that a model knows, column by column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm
from sklearn.utils import Bunch

from .._compat import Interval, validate_params
from ..logs import check_in_memory
from ..preprocessing._columns import Column
from ..preprocessing._input import read_table
from ..preprocessing._lists import read_lists
from ..preprocessing._numbers import NumericKind
from ..preprocessing._value_counts import ValueCounts
from ..preprocessing._vocabulary import Vocabulary
from ._any_model import (
    Predicted,
    as_frame,
    network_within,
    predictions,
    raw_columns,
    tasks_of,
)

N_BINS = 10
MOST_VALUES = 20  # of a category that have a bin of their own
LEAST = 5  # rows that a bin of its own shall expect in the smaller table
SMALL, LARGE = 0.1, 0.25  # what the trade calls a change, and a large one


@dataclass
class _Change:
    """One column then and now: counts by bin, and shares beside them."""

    name: str
    kind: str
    then: NDArray | None = None  # counts by bin
    now: NDArray | None = None
    n_then: float = np.inf
    n_now: int = 0
    shares: dict[str, float] = field(default_factory=dict)
    # share now, share expected: of what should not have grown
    grown: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def n_tests(self) -> int:
        return (self.then is not None) + len(self.grown)

    def row(self, alpha: float) -> dict[str, Any]:
        """A row of the table; `alpha` is the chance of a false alarm of one test."""
        psi = expected = limit = np.nan
        if self.then is not None and self.now is not None:
            psi, expected, limit = _psi(self.then, self.now, alpha)
        alarms = [name for name in self.grown if self._has_grown(name, alpha)]
        nan = float("nan")
        return {
            "column": self.name,
            "verdict": _verdict(self.kind, psi, limit, alarms),
            "kind": self.kind,
            "psi": psi,
            "psi_no_change": expected,
            "psi_threshold": limit,
            "missing": self.shares.get("missing", nan),
            "missing_ref": self.shares.get("missing_ref", nan),
            "unseen": self.shares.get("unseen", nan),
            "unseen_expected": self.shares.get("unseen_expected", nan),
            "beyond": self.shares.get("beyond", nan),
        }

    def _has_grown(self, name: str, alpha: float) -> bool:
        now, expected = self.grown[name]
        share = min(max(expected, 1 / self.n_now, 1 / self.n_then), 0.5)
        error = np.sqrt(share * (1 - share) * (1 / self.n_now + 1 / self.n_then))
        return bool(now - expected > norm.isf(alpha) * error)


def _psi(then: NDArray, now: NDArray, alpha: float) -> tuple[float, float, float]:
    """Index, its mean and its upper quantile where nothing has changed."""
    used = (then > 0) | (now > 0)
    then, now = then[used], now[used]
    n_bins = len(then)
    # half a row in each bin: no logarithm of 0
    p, q = ((c + 0.5) / (c.sum() + 0.5 * n_bins) for c in (then, now))
    size = 1 / then.sum() + 1 / now.sum()
    index = float(np.sum((q - p) * np.log(q / p)))
    if n_bins < 2:
        return 0.0, 0.0, 0.0
    degrees = n_bins - 1
    return index, float(degrees * size), float(chi2.isf(alpha, degrees) * size)


def _verdict(kind: str, psi: float, limit: float, alarms: Sequence[str]) -> str:
    """What to make of a column, in words."""
    if kind == "date":
        return "a date, which moves on by itself"
    what = {
        "missing": "more is missing",
        "unseen": "more is new than chance explains",
        "beyond": "numbers lie beyond all that were seen",
    }
    said = [what[name] for name in alarms]
    if psi > limit:
        size = "slightly" if psi < SMALL else "" if psi < LARGE else "much"
        said.insert(0, f"changed {size}".strip())
    if said:
        return "; ".join(said)
    if np.isnan(psi) and not alarms:
        return "no sign of change in what is known without reference rows"
    return "no more than chance"


@validate_params(
    {
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "n_bins": [Interval(Integral, 2, None, closed="left")],
    }
)
def drift_table(
    estimator: Any,
    X_new: Any,
    X_ref: Any = None,
    *,
    alpha: float = 0.01,
    n_bins: int = N_BINS,
) -> Bunch:
    r"""Compare new rows with those that a model was trained on.

    The population stability index of a column is

    .. math:: \sum_b (q_b - p_b) \log \frac{q_b}{p_b}

    over bins: tenths of the reference rows, or values; and one of what is missing.
    Where nothing has changed, its mean is about :math:`(B-1)(1/n + 1/m)` for :math:`B`
    bins and :math:`n` and :math:`m` rows, and it is distributed as :math:`(1/n + 1/m)
    \chi^2_{B-1}` [1]_. So the threshold here follows the number of rows. What is above
    it has changed; whether by much, the usual 0.1 and 0.25 say, which alone call every
    small table changed and no large one.

    Parameters
    ----------
    estimator : estimator
        A fitted model: of this library, or around one (Pipeline, search,
        :class:`~dephn_sk.calibration.TaskCalibrator`); with reference rows, any
        classifier.
    X_new : DataFrame or array-like of shape (n_samples, n_features)
    X_ref : DataFrame or array-like of shape (n_reference, n_features), default=None
        Rows of the time of training that the model was *not* trained on are best: on
        those of training, predictions are more certain. None: what the encoder keeps of
        training is enough for categories, shares of missing and unseen values, and
        numbers beyond all that were seen. The index of numbers, lists and hashed
        columns, and that of predictions, need reference rows.
    alpha : float, default=0.01
        The chance of any false alarm in all columns together, or in all tasks.
    n_bins : int, default=10
        Bins of a number.

    Returns
    -------
    Bunch
        columns : DataFrame, or dict of lists without pandas
            For each column ``psi``, its mean ``psi_no_change`` and its threshold; the
            shares ``missing`` and ``missing_ref``; ``unseen``, of values that were
            never seen, and ``unseen_expected``, the share that chance brings [2]_;
            ``beyond``, of numbers outside of all that were seen; ``verdict``.
        tasks : DataFrame or dict of lists
            Of each task's predictions, the mean (of the second class, or of the number)
            now and then, and the index.
        words : list of str
            What to do.

    Notes
    -----
    Rows are taken as independent. Where many are of one user, chance moves more than
    this says; draw one row for each user.

    That columns change does not say that predictions are wrong, nor the reverse: only
    labels tell. `ModelReport` measures them once they are there.

    References
    ----------
    .. [1] Yurdakul, Naranjo, "Statistical properties of the population stability
       index", Journal of Risk Model Validation 14(4), 2020.
    .. [2] Good, "The population frequencies of species and the estimation of population
       parameters", Biometrika 40, 1953: the share of values seen once.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> from dephn_sk.inspection import drift_table
    >>> X, y = make_behavior_log(3_000, return_X_y=True, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    >>> model = model.fit(X[:1_000], y[:1_000])
    >>> now = X[2_000:].assign(city="Atlantis")
    >>> drift = drift_table(model, now, X[1_000:2_000])
    >>> drift.columns.set_index("column").loc["city", "verdict"]
    'changed much; more is new than chance explains'
    """
    X_new, X_ref = _rows("X_new", X_new), _rows("X_ref", X_ref)
    changes = _of_columns(estimator, X_new, X_ref, n_bins)
    level = alpha / max(sum(one.n_tests for one in changes), 1)
    columns = [one.row(level) for one in changes]
    tasks = list(_of_tasks(estimator, X_new, X_ref, n_bins, alpha))
    return Bunch(
        columns=as_frame(columns),
        tasks=as_frame(tasks),
        words=_advice(columns, tasks, X_ref is not None),
    )


def _rows(parameter: str, X: Any) -> Any:
    """A table in memory that has rows, or an error."""
    if X is None:
        return X
    check_in_memory(X, f"{parameter} of drift_table")
    X = X if hasattr(X, "shape") else np.array(X, dtype=object)
    if not X.shape or not X.shape[0]:
        raise ValueError(f"{parameter} holds no rows. Give at least one.")
    return X


def _of_columns(model: Any, X_new: Any, X_ref: Any, n_bins: int) -> list[_Change]:
    if X_ref is not None:
        return column_changes(X_new, X_ref, n_bins)
    final, X = network_within(model, X_new)
    if final is None:
        raise ValueError(
            f"X_ref is None, but a {type(model).__name__} keeps nothing of the rows "
            "that it was trained on. Give rows of that time."
        )
    encoder = final.encoder_
    kinds = encoder._encoding.kinds
    columns = {one.name: one for one in read_table(encoder, X, reset=False)}
    totals = [
        float(kind.counts.sums[0].sum())
        for kind in kinds.values()
        if isinstance(kind, Vocabulary) and kind.table is None
    ]
    n_then = max(totals, default=np.inf)
    return [_from_fit(kind, columns[name], n_then) for name, kind in kinds.items()]


def column_changes(X_new: Any, X_ref: Any, n_bins: int = N_BINS) -> list[_Change]:
    """Of each column of two tables."""
    then = {column.name: column for column in raw_columns(X_ref)}
    now = {column.name: column for column in raw_columns(X_new)}
    if lacking := [name for name in then if name not in now]:
        raise ValueError(f"X_new has no columns {lacking}, which X_ref has.")
    return [_between(then[name], now[name], n_bins) for name in then]


def _from_fit(kind: Any, column: Column, n_then: float) -> _Change:
    """Against what the encoder has learned."""
    role = "date" if column.kind == "date" else kind.role
    change = _Change(column.name, role, n_then=n_then, n_now=len(column))
    if isinstance(kind, Vocabulary):
        if kind.table is None:
            _compare_values(change, kind.counts, column)
        else:  # counted with other columns
            places, positions = kind.counts.places(column)
            missing, unseen = positions < 0, places[positions] < 0
            change.shares["missing"] = float(missing.mean())
            change.shares["unseen"] = float((unseen & ~missing).mean())
    elif isinstance(kind, NumericKind):
        fields = [(n, v) for n, v in kind.numbers(column)]
        missing = np.isnan(fields[0][1])
        change.shares["missing"] = float(missing.mean())
        then = next(iter(kind.missing_shares.values()))
        change.shares["missing_ref"] = float(then)
        change.grown["missing"] = change.shares["missing"], float(then)
        if role != "date":
            scale = kind.scales[fields[0][0]]
            outside = (fields[0][1] < scale.low) | (fields[0][1] > scale.high)
            change.shares["beyond"] = float(outside.mean())
            by_chance = 2 / (n_then + 1) if np.isfinite(n_then) else 0.0
            change.grown["beyond"] = change.shares["beyond"], by_chance
    return change


def _between(then: Column, now: Column, n_bins: int) -> _Change:
    """Of the same column of two tables."""
    kind = then.kind
    change = _Change(then.name, kind, n_then=len(then), n_now=len(now))
    if kind == "list":
        _compare_members(change, then, now)
        return change
    old = numbers_of(then)
    if old is None:
        _compare_values(change, ValueCounts.of(then, [None]), now)
        return change
    new = numbers_of(now)
    if new is None:
        raise ValueError(
            f"Column {then.name!r} holds numbers in X_ref, but {now.kind}s in X_new. "
            "Convert it to what it was."
        )
    missing = float(np.isnan(new).mean()), float(np.isnan(old).mean())
    change.shares |= {"missing": missing[0], "missing_ref": missing[1]}
    change.grown["missing"] = missing
    edges = edges_of(old, n_bins)
    change.then, change.now = (_binned(one, edges) for one in (old, new))
    known = old[~np.isnan(old)]
    if len(known):
        beyond = float(((new < known.min()) | (new > known.max())).mean())
        change.shares["beyond"] = beyond
        change.grown["beyond"] = beyond, 2 / (len(known) + 1)
    return change


def numbers_of(column: Column) -> NDArray | None:
    """Numbers of numbers, dates and durations, NaN where missing; None of others."""
    if column.kind == "number":
        numbers = column.numbers()
        return np.where(np.isinf(numbers), np.nan, numbers)
    if column.kind == "duration":
        return column.durations()
    if column.kind == "date":
        instants = column.instants().values.astype("datetime64[us]")
        lost = np.isnat(instants)
        return np.where(lost, np.nan, instants.astype(np.int64).astype(np.float64))
    return None


def edges_of(numbers: NDArray, n_bins: int) -> NDArray:
    """Where bins of about equally many rows begin; a value each, if there are few."""
    known = numbers[~np.isnan(numbers)]
    distinct = np.unique(known)
    if len(distinct) <= n_bins:
        return distinct[1:]
    return np.unique(np.quantile(known, np.linspace(0, 1, n_bins + 1)[1:-1]))


def _binned(numbers: NDArray, edges: NDArray) -> NDArray:
    """Rows of each bin, and last of what is missing."""
    places = np.searchsorted(edges, numbers, side="right")
    places[np.isnan(numbers)] = len(edges) + 1
    return np.bincount(places, minlength=len(edges) + 2).astype(np.float64)


def _compare_values(change: _Change, counts: ValueCounts, now: Column) -> None:
    """Of a column of categories; rare values share a bin with those never seen."""
    mass = counts.sums[0]
    total, n_now = mass.sum(), len(now)
    change.n_then = total
    places, positions = counts.places(now)
    found = places[positions]  # of each row: a value, len(counts) missing, -1 unseen
    missing, unseen = found == len(counts), found < 0
    shares = change.shares
    shares["missing"], shares["missing_ref"] = missing.mean(), mass[-1] / total
    # as many as are seen once (Good and Turing)
    shares["unseen"] = float(unseen.mean())
    shares["unseen_expected"] = float((mass[:-1] == 1).sum() / total)
    change.grown["missing"] = float(shares["missing"]), float(shares["missing_ref"])
    change.grown["unseen"] = shares["unseen"], shares["unseen_expected"]
    frequent = np.argsort(-mass[:-1], kind="stable")[:MOST_VALUES]
    frequent = frequent[mass[frequent] * min(total, n_now) / total >= LEAST]
    bins = np.zeros(len(counts) + 2, dtype=np.intp)  # 0 is the rest; the last, unseen
    bins[frequent] = 2 + np.arange(len(frequent))
    bins[len(counts)] = 1
    n_bins = len(frequent) + 2
    change.then = np.bincount(bins[:-1], mass, n_bins)
    change.now = np.bincount(bins[found], minlength=n_bins).astype(np.float64)


def _compare_members(change: _Change, then: Column, now: Column) -> None:
    """Of a column of lists: members never seen, and how many a row has."""
    (old, of_old), (new, of_new) = (read_lists(one, None) for one in (then, now))
    counts = ValueCounts.of(Column(then.name, old.members), [None])
    members = Column(now.name, new.members)
    if len(members) and len(counts):
        places, positions = counts.places(members)
        change.shares["unseen"] = float((places[positions] < 0).mean())
        total = counts.sums[0].sum()
        change.shares["unseen_expected"] = float(
            (counts.sums[0][:-1] == 1).sum() / total
        )
    lengths = [
        np.diff(one.offsets)[... if rows is None else rows].astype(np.float64)
        for one, rows in ((old, of_old), (new, of_new))
    ]
    edges = edges_of(lengths[0], N_BINS)
    change.then, change.now = (_binned(one, edges) for one in lengths)
    change.shares["missing"] = float((lengths[1] == 0).mean())
    change.shares["missing_ref"] = float((lengths[0] == 0).mean())


# ------------------------------------------------------------------- predictions


def _of_tasks(
    model: Any, X_new: Any, X_ref: Any, n_bins: int, alpha: float
) -> Iterator[dict[str, Any]]:
    """A row for each task, or each class of a task of several."""
    names = _task_names(model)
    now = list(_scores(predictions(model, X_new, names)))
    if X_ref is None:
        final, _ = network_within(model)
        rates = dict(zip(final.task_names_, final.task_rates_, strict=True))
        for name, score in now:
            then = rates.get(name)
            yield {
                "task": name,
                "mean": float(score.mean()),
                "mean_ref": float("nan") if then is None else float(then),
                "verdict": "mean prediction beside the rate in training; whether it "
                "has changed, reference rows tell",
            }
        return
    then = list(_scores(predictions(model, X_ref, names)))
    for (name, new), (_, old) in zip(now, then, strict=True):
        edges = edges_of(old, n_bins)
        given = _binned(old, edges), _binned(new, edges), alpha / len(now)
        psi, expected, limit = _psi(*given)
        yield {
            "task": name,
            "mean": float(new.mean()),
            "mean_ref": float(old.mean()),
            "psi": psi,
            "psi_no_change": expected,
            "psi_threshold": limit,
            "verdict": _verdict("prediction", psi, limit, []),
        }


def _task_names(model: Any) -> Sequence[str]:
    tasks = tasks_of(model)
    if tasks is not None:
        return tasks.names
    classes: Any = getattr(model, "classes_", None)
    several = isinstance(classes, list) or np.ndim(classes) == 2
    n_tasks = len(classes) if several else 1
    if hasattr(model, "multilabel_") and model.multilabel_:
        n_tasks = len(classes)
    return [f"task{t}" for t in range(n_tasks)]


def _scores(found: Sequence[Predicted]) -> Iterator[tuple[str, NDArray]]:
    """What is compared of each task: one number for each row."""
    for one in found:
        if len(one.classes) <= 2:
            yield one.name, one.prob[:, -1]
        else:
            for label, prob in zip(one.classes, one.prob.T, strict=True):
                yield f"{one.name}={label}", prob


def _advice(
    columns: Sequence[dict[str, Any]], tasks: Sequence[dict[str, Any]], ref: bool
) -> list[str]:
    """What to do, in sentences."""

    def named(word: str) -> str:
        found = [row["column"] for row in columns if word in row["verdict"]]
        return ", ".join(map(repr, found[:8])) + (", …" if len(found) > 8 else "")

    said = []
    if found := named("more is missing"):
        said.append(
            f"More is missing in {found}. Look whether a source stopped delivering "
            "before anything is trained."
        )
    if found := named("more is new"):
        said.append(
            f"Values that training did not know have come up in {found}. They share "
            "one vector; partial_fit on rows with labels gives them their own."
        )
    if found := named("beyond"):
        said.append(
            f"Numbers of {found} lie beyond all of training. Compare units and "
            "sentinels; if they are right, train anew, since partial_fit keeps scales."
        )
    if found := named("changed"):
        said.append(
            f"The mix of {found} has changed. Where labels have come, measure the "
            "model on them; if it is worse, partial_fit on recent rows or train anew."
        )
    moved = [repr(row["task"]) for row in tasks if "changed" in row["verdict"][:7]]
    if moved:
        said.append(
            f"Predictions of {', '.join(moved)} have moved. Thresholds and budgets "
            "that were set on the old ones need a look."
        )
    if not said:
        said.append("Nothing has changed by more than chance. There is nothing to do.")
    if not ref:
        said.append(
            "Without reference rows, numbers and predictions were only compared with "
            "what the encoder keeps. Give X_ref, rows of the time of training."
        )
    return said

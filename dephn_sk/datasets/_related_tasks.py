"""Two tasks of known relation over the features of any table.

Labels made by ``dephn_sk.datasets.make_related_tasks`` after the construction of
Criteo-R and Criteo-UR in the DEPHN paper, arXiv 2307.12519.
"""

from collections.abc import Iterator
from contextlib import suppress
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.utils import Bunch, check_random_state

from .._compat import Interval, StrOptions, validate_params

RELATIONS = {  # the size of the second confidence as a function of |c|
    "related": lambda size: 2 * np.log(size + 1) + 0.1 * np.exp(size),
    "unrelated": lambda size: 2 * np.sin(size) + 0.1 * np.cos(size),
}


@validate_params(
    {
        "X": ["array-like"],
        "relation": [StrOptions(set(RELATIONS))],
        "categorical_features": ["array-like", None],
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "max_categories": [Interval(Integral, 1, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "return_X_y": ["boolean"],
        "random_state": ["random_state"],
    }
)
def make_related_tasks(
    X: Any,
    relation: str = "related",
    *,
    categorical_features: ArrayLike | None = None,
    n_hidden: int = 16,
    max_categories: int = 20,
    noise: float = 0.45,
    return_X_y: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch | tuple[Any, Any]:
    r"""Give the rows of a table two binary labels of known relation.

    A small feed-forward network with random weights, a function of the features,
    is mapped by rank to a confidence :math:`c` that is uniform on (-3.6, 3.6). The
    second confidence is

    .. math::

        y_r &= \operatorname{sign}(c) \, (2 \ln(|c| + 1) + 0.1 e^{|c|})
               + \varepsilon \\
        y_{ur} &= \operatorname{sign}(c) \, (2 \sin |c| + 0.1 \cos |c|)

    for related and unrelated tasks, with :math:`\varepsilon` normal. The labels
    tell whether the confidences are positive. In a large table, the confidences of
    related tasks have correlation 0.988 and those of unrelated tasks 0.52.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_features)
        The features. Categories (see below), numbers and missing values may mix.
    relation : {"related", "unrelated"}, default="related"
        How the second task depends on the first one.
    categorical_features : array-like of int, str or bool, default=None
        Columns whose numbers are categories: positions, names or a mask. Columns
        of dtype category and those that hold no numbers always are.
    n_hidden : int, default=16
        Width of the network's hidden layer: with more the labels are harder to
        learn.
    max_categories : int, default=20
        The most frequent categories of a column that are told apart. All others
        look the same to the network, since nobody could learn them from few rows.
    noise : float, default=0.45
        Standard deviation of :math:`\varepsilon`.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    random_state : int, RandomState instance or None, default=None
        Determines the network and the noise. Pass an int for the same labels each
        time.

    Returns
    -------
    tasks : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : DataFrame or array-like of shape (n_samples, n_features)
            `X` itself.
        target : DataFrame or ndarray of shape (n_samples, 2)
            Labels 0 and 1, a frame if `X` is one.
        confidences : ndarray of shape (n_samples, 2)
            :math:`c` and the second confidence.
        task_names : list of str
            "first" and the relation.
        DESCR : str
            What the data are.

    Notes
    -----
    The paper prints :math:`y_r` with the sign on the logarithm alone. With the
    brackets as above it reaches the published correlation of 0.9877.

    References
    ----------
    Kong, Su, Zhao, Hou: Different Expression Parallel Heterogeneous Network using
    virtual gradient optimization for Multi-task Learning. IJCNN 2023,
    arXiv 2307.12519.

    Examples
    --------
    >>> import numpy as np
    >>> from dephn_sk.datasets import make_related_tasks
    >>> X = np.random.default_rng(0).normal(size=(1000, 5))
    >>> tasks = make_related_tasks(X, random_state=0)
    >>> tasks.target.shape
    (1000, 2)
    >>> print(f"{np.corrcoef(tasks.confidences.T)[0, 1]:.2f}")
    0.99
    """
    rng = check_random_state(random_state)
    hidden: Any = 0
    for column in _columns(X, categorical_features):
        if column.dtype.kind == "f":
            # a random vector times the number's rank; a missing one is in the middle
            known = ~np.isnan(column)
            ranks, n_known = np.zeros(len(column)), max(known.sum(), 1)
            ranks[known] = (rankdata(column[known]) - 0.5) / n_known - 0.5
            effect = np.outer(np.sqrt(12) * ranks, rng.normal(size=n_hidden))
        else:  # a random vector for each frequent category and one for all others
            order = np.argsort(-np.bincount(column), kind="stable")
            n_frequent = min(len(order), max_categories)
            place = np.minimum(np.argsort(order), n_frequent)
            effect = rng.normal(size=(n_frequent + 1, n_hidden))[place[column]]
        hidden = hidden + effect
    hidden -= hidden.mean(axis=0)
    hidden *= 2 / np.maximum(hidden.std(axis=0), 1e-12)  # 2: well into the bends
    output = np.tanh(hidden) @ rng.normal(size=n_hidden)

    c = 7.2 * (rankdata(output) - 0.5) / len(output) - 3.6
    second = np.sign(c) * RELATIONS[relation](np.abs(c))
    if relation == "related":
        second += rng.normal(scale=noise, size=len(c))
    confidences = np.column_stack([c, second])
    target = (confidences > 0).astype(np.int64)
    names = ["first", relation]
    if hasattr(X, "iloc"):
        target = type(X)(target, columns=names, index=X.index)
    if return_X_y:
        return X, target
    return Bunch(
        data=X, target=target, confidences=confidences, task_names=names, DESCR=__doc__
    )


def _columns(X: Any, categorical_features: ArrayLike | None) -> Iterator[NDArray]:
    """Each column: numbers as floats, categories as integer codes."""
    is_frame = hasattr(X, "columns")
    X = X if is_frame else np.asarray(X)
    if len(X.shape) != 2 or 0 in X.shape:
        raise ValueError(f"X must be a table with rows and columns, got {X.shape}.")
    names = list(X.columns) if is_frame else list(range(X.shape[1]))
    categorical = _positions(categorical_features, names)
    for position, name in enumerate(names):
        column = X[name] if is_frame else X[:, position]
        if str(column.dtype) == "category":
            yield column.cat.codes.to_numpy().astype(np.int64) + 1
            continue
        if position not in categorical:
            with suppress(TypeError, ValueError):  # no numbers
                yield np.asarray(column, dtype=np.float64)
                continue
        texts = np.asarray(column, dtype=object).astype(str)
        yield np.unique(texts, return_inverse=True)[1]


def _positions(categorical_features: ArrayLike | None, names: list[Any]) -> set[int]:
    """The positions that a mask, positions or names stand for."""
    if categorical_features is None:
        return set()
    given = np.asarray(categorical_features)
    if given.dtype == bool and len(given) == len(names):
        return set(np.flatnonzero(given))
    known = list(range(len(names))) if given.dtype.kind in "iu" else names
    unknown = [name for name in given.tolist() if name not in known]
    if unknown:
        raise ValueError(
            f"categorical_features contains {unknown[0]!r}, but X has the "
            f"{len(names)} columns {names}."
        )
    return {known.index(name) for name in given.tolist()}

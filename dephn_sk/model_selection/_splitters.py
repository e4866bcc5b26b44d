"""Splitters that keep every label's rate, out-of-fold predictions, where to search."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import loguniform, uniform
from sklearn.base import clone
from sklearn.model_selection import BaseShuffleSplit, check_cv
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.parallel import Parallel, delayed

from .._compat import (
    HasMethods,
    StrOptions,
    _BaseKFold,
    _check_method_params,
    _num_samples,
    _safe_indexing,
    _UnsupportedGroupCVMixin,
    _validate_shuffle_split,
    validate_params,
)
from ..logs import check_in_memory
from ..tasks import (
    Column,
    Tasks,
    fitted_tasks,
    in_scikit_shape,
    logarithms,
    read_columns,
    task_probabilities,
)

N_BINS = 5  # of numbers, as labels to stratify by


def _label_sets(y: Any) -> tuple[NDArray, NDArray]:
    """The number of each row's label set, and the labels of every label set.

    Labels are numbered through all tasks; a missing one is a label of its task, and of
    numbers with fractions, each fifth of them.
    """
    if y is None:
        raise ValueError("y is needed to stratify, got None.")
    codes = np.column_stack([1 + _codes(column) for column in read_columns(y).columns])
    n_codes = codes.max(axis=0) + 1
    label_set = np.zeros(len(codes), dtype=int)
    for column, n in zip(codes.T, n_codes, strict=True):
        _, label_set = np.unique(label_set * n + column, return_inverse=True)
    _, first = np.unique(label_set, return_index=True)
    return label_set, codes[first] + np.cumsum(n_codes) - n_codes


def _codes(column: Column) -> NDArray:
    known = column.known
    if known.dtype.kind != "f" or (known == np.floor(known)).all():
        return column.codes()
    codes = np.full(len(column), -1, dtype=np.intp)
    edges = np.quantile(known, np.linspace(0, 1, N_BINS + 1)[1:-1])
    codes[column.observed] = np.searchsorted(edges, known, side="right")
    return codes


def _deal(
    label_sets: NDArray, counts: NDArray, shares: NDArray, sizes: NDArray
) -> NDArray:
    """How many rows of each label set every fold gets, shape (n_sets, n_folds).

    Rows of one label set are interchangeable. Each fold first gets its whole share of
    every label set. The rest is dealt by iterative stratification, up to the folds'
    sizes: the rarest label first, each row to the fold that lacks most rows of that
    label, then of the row's other labels from the rarest on, then of rows.
    """
    n_tasks, n_folds = label_sets.shape[1], len(sizes)
    flat = label_sets.ravel()
    dealt = counts[:, None] * shares // shares.sum()
    rest = counts - dealt.sum(axis=1)
    total = np.bincount(flat, weights=np.repeat(counts, n_tasks))
    left = np.bincount(flat, weights=np.repeat(rest, n_tasks))
    missing = np.outer(total, shares / shares.sum())
    np.subtract.at(missing, flat, np.repeat(dealt, n_tasks, axis=0))
    rank = np.argsort(total[label_sets], axis=1, kind="stable")
    rarest_first = np.take_along_axis(label_sets, rank, axis=1)
    ends = np.cumsum(np.bincount(flat))
    sets_of_label = np.split(np.argsort(flat, kind="stable") // n_tasks, ends[:-1])
    # plain lists: the loop below reads and writes single numbers
    missing, room = missing.tolist(), (sizes - dealt.sum(axis=0)).tolist()
    while left.any():
        label = np.where(left > 0, left, np.inf).argmin()
        for label_set in sets_of_label[label]:
            labels = rarest_first[label_set].tolist()
            order = [label, *labels]
            for _ in range(rest[label_set]):
                fold = max(
                    (f for f in range(n_folds) if room[f]),
                    key=lambda f: (*(missing[i][f] for i in order), room[f]),
                )
                dealt[label_set, fold] += 1
                room[fold] -= 1
                for i in labels:
                    missing[i][fold] -= 1
            left[labels] -= rest[label_set]
            rest[label_set] = 0
    return dealt


def _fold_of_each(
    label_set: NDArray,
    label_sets: NDArray,
    shares: NDArray,
    sizes: NDArray,
    random_state: np.random.RandomState | None = None,
) -> NDArray:
    """The fold of each row; chance, or their order, settles what labels leave open."""
    shuffled = np.arange if random_state is None else random_state.permutation
    n_sets, n_folds = len(label_sets), len(sizes)
    sets = shuffled(n_sets)
    dealt = np.empty((n_sets, n_folds), dtype=int)
    dealt[sets] = _deal(label_sets[sets], np.bincount(label_set)[sets], shares, sizes)
    rows = shuffled(len(label_set))
    rows = rows[np.argsort(label_set[rows], kind="stable")]
    fold = np.empty(len(rows), dtype=int)
    fold[rows] = np.repeat(np.tile(np.arange(n_folds), n_sets), dealt.ravel())
    return fold


class _MultiLabelSplitter(_UnsupportedGroupCVMixin):
    """What both splitters share."""

    def split(
        self, X: Any, y: Any, groups: Any = None
    ) -> Iterator[tuple[NDArray, NDArray]]:
        """Indices of the train and test rows of each split.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Only its number of rows is read.
        y : array-like of shape (n_samples,) or (n_samples, n_tasks)
            Labels of any kind; NaN, None or pd.NA is *not observed*.
        groups : object, default=None
            Ignored, with a warning.

        Yields
        ------
        train : ndarray of shape (n_train,)
        test : ndarray of shape (n_test,)
        """
        return super().split(X, y, groups)


class MultiLabelStratifiedKFold(_MultiLabelSplitter, _BaseKFold):
    """K-fold cross-validation that keeps the label rates of several tasks.

    Iterative stratification [1]_: every fold gets its share of each task's labels, the
    rarest label first. The labels may be missing, and missing rates are kept too. Fold
    sizes differ by at most one row.

    scikit-learn's `StratifiedKFold` takes one task, and its `KFold` can leave a fold
    without a single row of a rare label.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether chance decides among rows with the same labels. Otherwise earlier rows
        go to earlier folds.
    random_state : int, RandomState instance or None, default=None
        Seed of the shuffling; an int gives the same folds each time.

    See Also
    --------
    MultiLabelStratifiedShuffleSplit : Random splits of a chosen size.

    Notes
    -----
    Rows with the same labels in all tasks are dealt at once: first each fold's whole
    share of them, then the rest row by row. A label that at least ``n_splits`` rows
    have reaches every fold unless rarer labels that it comes with prevent it.

    References
    ----------
    .. [1] Sechidis, Tsoumakas, Vlahavas (2011). "On the Stratification of Multi-Label
       Data". ECML PKDD. Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from dephn_sk.model_selection import MultiLabelStratifiedKFold
    >>> y = np.array([[1, np.nan]] * 2 + [[1, 1]] * 2 + [[0, 0]] * 8)
    >>> X = np.zeros((12, 1))
    >>> for train, test in MultiLabelStratifiedKFold(2).split(X, y):
    ...     print(test, np.nansum(y[test], axis=0))
    [0 2 4 5 6 7] [2. 1.]
    [ 1  3  8  9 10 11] [2. 1.]
    """

    def __init__(
        self, n_splits: int = 5, *, shuffle: bool = False, random_state: Any = None
    ) -> None:
        super().__init__(n_splits, shuffle=shuffle, random_state=random_state)

    def _iter_test_masks(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[NDArray]:
        label_set, label_sets = _label_sets(y)
        n_splits = self.n_splits
        shares = np.ones(n_splits, dtype=int)
        # they add up to the number of rows and differ by one at most
        sizes = (len(label_set) + np.arange(n_splits)[::-1]) // n_splits
        random_state = check_random_state(self.random_state) if self.shuffle else None
        fold = _fold_of_each(label_set, label_sets, shares, sizes, random_state)
        if random_state:
            fold = random_state.permutation(n_splits)[fold]
        for i in range(n_splits):
            yield fold == i


class MultiLabelStratifiedShuffleSplit(_MultiLabelSplitter, BaseShuffleSplit):
    """Random train and test sets that keep the label rates of several tasks.

    Every split deals the rows anew, as :class:`MultiLabelStratifiedKFold` does, to a
    train and a test set of the asked sizes.

    Parameters
    ----------
    n_splits : int, default=10
        Number of splits.
    test_size : float or int, default=None
        Share or number of test rows; None for the complement of `train_size`, 0.1
        where that is None too.
    train_size : float or int, default=None
        Share or number of train rows; None for the complement of `test_size`.
    random_state : int, RandomState instance or None, default=None
        Seed; an int gives the same splits each time.

    See Also
    --------
    MultiLabelStratifiedKFold : Folds that partition the rows.

    Examples
    --------
    Hold out a quarter of the rows:

    >>> import numpy as np
    >>> from dephn_sk.model_selection import MultiLabelStratifiedShuffleSplit
    >>> y = np.array([[1, np.nan]] * 4 + [[1, 1]] * 4 + [[0, 0]] * 8)
    >>> splitter = MultiLabelStratifiedShuffleSplit(1, test_size=0.25, random_state=0)
    >>> ((train, test),) = splitter.split(np.zeros((16, 1)), y)
    >>> np.nansum(y[train], axis=0), np.nansum(y[test], axis=0)
    (array([6., 3.]), array([2., 1.]))
    """

    def _iter_indices(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray, NDArray]]:
        label_set, label_sets = _label_sets(y)
        n_train, n_test = _validate_shuffle_split(
            len(label_set), self.test_size, self.train_size, self._default_test_size
        )
        sizes = np.array([n_train, n_test, len(label_set) - n_train - n_test])
        random_state = check_random_state(self.random_state)
        for _ in range(self.n_splits):
            fold = _fold_of_each(label_set, label_sets, sizes, sizes, random_state)
            train, test = np.flatnonzero(fold == 0), np.flatnonzero(fold == 1)
            yield random_state.permutation(train), random_state.permutation(test)


# what each method makes of the class probabilities, or numbers, of all tasks
_AS: dict[str, Any] = {
    "predict_proba": in_scikit_shape,
    "predict_log_proba": lambda tasks, p: in_scikit_shape(tasks, logarithms(p)),
    "predict": Tasks.decode,
}


def _as(method: str, tasks: Tasks, found: list[NDArray]) -> Any:
    if not tasks.numeric or method == "predict":
        return _AS[method](tasks, found)
    pairs = zip(tasks.tasks, found, strict=True)  # by name, as of a mixture
    of_classes = {task.name: p for task, p in pairs if task.n_levels}
    if method == "predict_log_proba":
        logs = logarithms([*of_classes.values()])
        return dict(zip(of_classes, logs, strict=True))
    return of_classes


def _tasks_of(estimator: Any, y: Any, method: str) -> Tasks:
    """The tasks that an unfitted estimator takes y for."""
    inner = estimator
    while inner is not None and not hasattr(inner, "_learn_tasks"):
        steps = getattr(inner, "steps", None)
        inner = steps[-1][1] if steps else getattr(inner, "estimator", None)
    if inner is None:
        return Tasks.learn(y)
    tasks: Tasks = inner._learn_tasks(read_columns(y), None)
    if len(tasks.numeric) == len(tasks.names) and method != "predict":
        raise ValueError(
            f"method={method!r} is of classes, but the labels of the tasks "
            f"{list(tasks.names)} are numbers. Give method='predict'."
        )
    return tasks


@validate_params(
    {
        "estimator": [HasMethods(["fit", "predict"])],
        "cv": ["cv_object"],
        "method": [StrOptions(set(_AS))],
        "params": [dict, None],
    }
)
def cross_val_predict(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    cv: Any = None,
    n_jobs: int | None = None,
    method: str = "predict_proba",
    params: dict[str, Any] | None = None,
) -> Any:
    """Predict each row by a model that was trained without it, labels missing or not.

    Parameters
    ----------
    estimator : multi-task estimator of this library, or Pipeline or search around one
    X : DataFrame or array-like of shape (n_samples, n_features)
    y : DataFrame or array-like of shape (n_samples,) or (n_samples, n_tasks)
        NaN is a label that was not observed; its row is predicted all the same.
    groups : array-like of shape (n_samples,), default=None
    cv : int, cross-validation splitter or iterable, default=None
        Must put every row in one test fold, else a ValueError says so. An int, or 5 for
        None, is the number of folds of a :class:`MultiLabelStratifiedKFold`.
    n_jobs : int, default=None
        Folds that run side by side.
    method : {"predict_proba", "predict_log_proba", "predict"}, default="predict_proba"
    params : dict, default=None
        Arguments of `fit`; what has as many rows as X is divided like it.

    Returns
    -------
    ndarray, list of ndarray, or dict of str to ndarray
        A class that no other fold holds has the probability 0.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskClassifier, datasets
    >>> log = datasets.make_behavior_log(500, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    >>> cross_val_predict(model, log.data, log.target, cv=2).shape
    (500, 3)
    """
    check_in_memory(X, "X of cross_val_predict")
    tasks, splits = _tasks_of(estimator, y, method), _partition(cv, X, y, groups)
    task, given = delayed(_out_of_fold), (tasks, params or {})
    folds = Parallel(n_jobs=n_jobs)(
        task(clone(estimator), X, y, *split, *given) for split in splits
    )
    back = np.argsort(np.concatenate([test for _, test in splits]))
    of_tasks = [np.concatenate(parts)[back] for parts in zip(*folds, strict=True)]
    return _as(method, tasks, of_tasks)


def _partition(cv: Any, X: Any, y: Any, groups: Any) -> list[tuple[NDArray, NDArray]]:
    """Train and test rows of each split, if every row is tested once."""
    check_consistent_length(X, y, groups)
    if cv is None or isinstance(cv, Integral):
        cv = MultiLabelStratifiedKFold(5 if cv is None else int(cv))
    splits = list(check_cv(cv).split(X, y, groups))
    tests = np.concatenate([test for _, test in splits])
    if not np.array_equal(np.sort(tests), np.arange(_num_samples(X))):
        raise ValueError(
            f"cv={cv!r} does not put every row in one test fold, which out-of-fold "
            "predictions need. Give a splitter such as MultiLabelStratifiedKFold."
        )
    return splits


def _out_of_fold(
    estimator: Any,
    X: Any,
    y: Any,
    train: NDArray,
    test: NDArray,
    tasks: Tasks,
    params: dict[str, Any],
) -> list[NDArray]:
    """Class probabilities, or numbers, of each task, of the rows of a test fold."""
    params = _check_method_params(X, params, indices=train)
    estimator.fit(_safe_indexing(X, train), _safe_indexing(y, train), **params)
    own, rows = fitted_tasks(estimator), _safe_indexing(X, test)
    numbers: Any = None
    found: list[Any] = [None] * len(own.names)
    if own.numeric:
        numbers = np.reshape(estimator.predict(rows), (len(test), -1))
    if len(own.numeric) < len(own.names):
        found = task_probabilities(estimator, own, rows)
    whole = []
    triples = zip(tasks.classes, own.classes, found, strict=True)
    for t, (classes, known, p) in enumerate(triples):
        if own.names[t] in own.numeric:
            whole.append(numbers[:, [t]].astype(np.float64))
            continue
        whole.append(np.zeros((len(test), len(classes))))
        whole[-1][:, np.searchsorted(classes, known)] = p
    return whole


# name: values to choose from, or a distribution
_SPACE = {
    "learning_rate": loguniform(5e-4, 5e-3),
    "batch_size": ["auto", 256, 1024],
    "embedding_dim": [4, 8, 16],
    "embedding_dropout": uniform(0.0, 0.5),
    "dropout": uniform(0.0, 0.4),
    "unseen_rate": [0.0, 0.02, 0.05],
    "weight_decay": loguniform(1e-6, 1e-2),
    "numeric_embedding": ["auto", "linear", "bins+piecewise-linear"],
    "public_experts": [("dnn", "cross", "field"), ("dnn",) * 3, ("dnn",) * 6],
    "private_experts": [(), ("cross",), ("cross", "field")],
    "expert_hidden": [(32,), (64, 32), (128, 64)],
    "tower_hidden": [(), (32,)],
}


def search_space(prefix: str = "") -> dict[str, Any]:
    """Distributions of DEPHN's hyper-parameters that are worth a search.

    They hold the defaults. Ten to fifty draws are a sensible search; what is not in
    here made no difference on the logs that the defaults were chosen on.

    Parameters
    ----------
    prefix : str, default=""
        Put before each name, such as ``"model__"`` for a step of a Pipeline.

    Returns
    -------
    dict from str to list or scipy.stats distribution
        As ``param_distributions`` of RandomizedSearchCV and its relatives.

    See Also
    --------
    suggest_parameters : The same space for Optuna.

    Examples
    --------
    >>> from sklearn.model_selection import ParameterSampler
    >>> from dephn_sk import DEPHNMultiTaskClassifier, search_space
    >>> (drawn,) = ParameterSampler(search_space(), n_iter=1, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(**drawn)
    """
    return {f"{prefix}{name}": values for name, values in _SPACE.items()}


def suggest_parameters(trial: Any, prefix: str = "") -> dict[str, Any]:
    """Draw the parameters of :func:`search_space` from a trial of Optuna.

    Parameters
    ----------
    trial : optuna.trial.Trial
        Or whatever has its ``suggest_float`` and ``suggest_categorical``.
    prefix : str, default=""
        Put before each name in the result.

    Returns
    -------
    dict
        Parameters of :class:`DEPHNMultiTaskClassifier`.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskClassifier, suggest_parameters
    >>> def objective(trial, X, y, X_val, y_val):
    ...     model = DEPHNMultiTaskClassifier(**suggest_parameters(trial))
    ...     return model.fit(X, y, X_val=X_val, y_val=y_val).score(X_val, y_val)
    """
    chosen = {}
    for name, values in _SPACE.items():
        if isinstance(values, list):
            # Optuna keeps numbers and strings alone
            by_label = {str(value): value for value in values}
            label = trial.suggest_categorical(name, list(by_label))
            chosen[f"{prefix}{name}"] = by_label[label]
        else:
            low, high = values.support()
            log = values.dist.name == "loguniform"
            chosen[f"{prefix}{name}"] = trial.suggest_float(name, low, high, log=log)
    return chosen

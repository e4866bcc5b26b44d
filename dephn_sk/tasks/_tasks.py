"""The tasks of a y: their names, their classes, and labels as numbers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets

from .._suggest import did_you_mean


class Targets:
    """What `fit` learns of y, and how labels become class indices.

    Attributes
    ----------
    names : tuple of str
        One for each task.
    classes : tuple of ndarray
        Sorted classes of each task; the second of a binary task is its positive one.
    single : bool
        Whether y was 1-D.
    """

    def __init__(
        self, names: Sequence[str], classes: Sequence[NDArray], single: bool
    ) -> None:
        self.names = tuple(names)
        self.classes = tuple(classes)
        self.single = single

    @classmethod
    def fit(cls, y: Any, classes: Any = None) -> Targets:
        """Learn tasks and classes, with an error that names the task.

        `classes` are all classes of a 1-D y, or a list of those of each task.
        """
        columns, names, single = label_columns(y)
        if not len(columns[0]):
            raise ValueError(
                "Found array with 0 sample(s) in y; give at least one row."
            )
        if classes is not None:
            announced = [classes] if single else list(classes)
            if len(announced) != len(columns):
                raise ValueError(
                    f"classes has {len(announced)} entries, but y has {len(columns)} "
                    "tasks."
                )
            names = names or tuple(f"task{t}" for t in range(len(columns)))
            return cls(
                names,
                [
                    _announced(classes, name, single)
                    for name, classes in zip(names, announced, strict=True)
                ],
                single,
            )
        names = names or tuple(f"task{t}" for t in range(len(columns)))
        classes = []
        for name, column in zip(names, columns, strict=True):
            where = "y" if single else f"Task {name!r}"
            values, observed, categories = split_missing(column)
            if single and not observed.all():
                raise _missing_in_single(observed)
            if not observed.any():
                raise ValueError(
                    f"{where} has no observed label: all {len(observed)} are missing. "
                    "Leave the task out."
                )
            values = values[observed]
            if values.dtype.kind == "c":
                raise ValueError(f"{where}: Complex data not supported: {values[0]}.")
            if values.dtype.kind == "f" and np.isinf(values).any():
                raise ValueError(f"{where} contains infinity; give class labels.")
            try:
                check_classification_targets(values)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
            except TypeError:
                pass  # labels that cannot be ordered, which `_classes` reports
            classes.append(_classes(values, categories, where, single))
        return cls(names, classes, single)

    @property
    def n_outputs(self) -> list[int]:
        """Logits of each task: one for a binary task, one a class otherwise."""
        return [1 if len(c) <= 2 else len(c) for c in self.classes]

    @property
    def binary(self) -> bool:
        """Whether every task is binary."""
        return all(len(c) <= 2 for c in self.classes)

    @property
    def alike(self) -> bool:
        """Whether one array holds the classes of all tasks without changing them."""
        kinds = {c.dtype.kind for c in self.classes}
        return len(kinds) == 1 or kinds <= set("iuf")

    def position(self, name: Any, parameter: str) -> int:
        """Index of a task, or an error that names the parameter."""
        if name not in self.names:
            raise ValueError(
                f"{parameter} names the task {name!r}; the tasks are "
                f"{list(self.names)}." + did_you_mean(name, self.names)
            )
        return self.names.index(name)

    def indices(self, y: Any, unseen: float | None = None) -> NDArray[np.float64]:
        """Class indices of shape (n_samples, n_tasks), NaN where not observed.

        A label that was not seen in fit is an error, or has the index `unseen`.
        """
        columns, names, _ = label_columns(y)
        if len(columns) != len(self.names):
            raise ValueError(
                f"y has {len(columns)} tasks, but {len(self.names)} were seen in fit: "
                f"{', '.join(self.names)}."
            )
        if not self.single and names is not None and names != self.names:
            raise ValueError(
                f"The tasks of y are {list(names)}, but {list(self.names)} were seen "
                "in fit, in that order."
            )
        indices = np.full((len(columns[0]), len(columns)), np.nan)
        for t, column in enumerate(columns):
            values, observed, _ = split_missing(column)
            if self.single and not observed.all():
                raise _missing_in_single(observed)
            known, classes = values[observed], self.classes[t]
            try:
                position = np.searchsorted(classes, known).clip(max=len(classes) - 1)
                new = np.broadcast_to(classes[position] != known, len(known))
            except TypeError:
                new = np.ones(len(known), dtype=bool)
                position = np.zeros(len(known), dtype=np.intp)
            if new.any() and unseen is None:
                first, *_ = known[new].tolist()
                raise ValueError(
                    f"Task {self.names[t]!r} has the label {first!r}, which was not "
                    f"seen in fit; its classes are {classes.tolist()}."
                )
            indices[observed, t] = np.where(new, unseen or 0.0, position)
        return indices

    def decode(self, indices: NDArray[np.intp]) -> NDArray:
        """Labels of class indices of shape (n_samples, n_tasks), as they were given."""
        columns = [c[i] for c, i in zip(self.classes, indices.T, strict=True)]
        if self.single:
            return columns[0]
        if self.alike:
            return np.stack(columns, axis=1)
        labels = np.empty(indices.shape, dtype=object)
        for t, column in enumerate(columns):
            labels[:, t] = column
        return labels


def label_columns(y: Any) -> tuple[list[Any], tuple[str, ...] | None, bool]:
    """The columns of y, the tasks' names where y has them, and whether y is 1-D."""
    if hasattr(y, "columns") and hasattr(y, "shape"):  # pandas, polars
        if y.shape[1] == 0:
            raise ValueError("y has no columns; give one column for each task.")
        names = tuple(str(name) for name in y.columns)
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"y has several columns of one name: {twice}.")
        columns = [
            y.iloc[:, t] if hasattr(y, "iloc") else y[:, t] for t in range(len(names))
        ]
        if len(columns) == 1:
            _warn_column(y.shape)
        return columns, names, len(columns) == 1
    if hasattr(y, "dtype") and not isinstance(y, np.ndarray) and hasattr(y, "name"):
        return [y], None if y.name in (None, "") else (str(y.name),), True  # a series
    y = check_array(
        y,
        ensure_2d=False,
        allow_nd=True,
        dtype=None,
        ensure_all_finite=False,
        input_name="y",
        ensure_min_samples=0,
    )
    if y.ndim == 1:
        return [y], None, True
    if y.ndim != 2 or y.shape[1] == 0:
        raise ValueError(
            f"y must be of shape (n_samples,) or (n_samples, n_tasks), got {y.shape}."
        )
    if y.shape[1] == 1:
        _warn_column(y.shape)
        return [y[:, 0]], None, True
    return list(y.T), None, False


def _missing_in_single(observed: NDArray[np.bool_]) -> ValueError:
    return ValueError(
        f"Input y contains NaN in {(~observed).sum()} of {len(observed)} rows. A label "
        "that was not observed needs a y of several tasks, of shape (n_samples, "
        "n_tasks)."
    )


def _announced(classes: Any, name: str, single: bool) -> NDArray:
    """Sorted classes that were announced for a task."""
    values, observed, _ = split_missing(np.asarray(classes))
    distinct = np.unique(values[observed])
    if not observed.all() or len(distinct) < 2 - single:
        raise ValueError(
            f"classes of {name!r} are {list(classes)}; give "
            f"{'one' if single else 'two'} or more, and none missing."
        )
    return distinct


def _warn_column(shape: tuple[int, ...]) -> None:
    warnings.warn(
        "A column-vector y was passed when a 1d array was expected: shape "
        f"{shape} is taken as one task.",
        DataConversionWarning,
        stacklevel=2,
    )


def split_missing(column: Any) -> tuple[NDArray, NDArray[np.bool_], NDArray | None]:
    """Values of one column of y, which of them are observed, and its declared classes.

    Classes are declared by a categorical column of pandas, an Enum of polars.
    """
    # those of a pandas categorical or a polars Enum; other kinds declare none
    declared = np.asarray(getattr(getattr(column, "dtype", None), "categories", None))
    categories = declared if declared.ndim == 1 else None
    if hasattr(column, "isna"):  # pandas
        missing = column.isna().to_numpy(dtype=bool)
        values = column.to_numpy(dtype=object if missing.any() else None)
    elif hasattr(column, "is_null"):  # polars
        missing = column.is_null().to_numpy()
        values = (
            column.to_numpy()
            if not missing.any()
            else np.array(column.to_list(), dtype=object)
        )
    else:
        values = np.asarray(column)
        missing = np.zeros(len(values), dtype=bool)
        if values.dtype.kind == "O":
            missing = np.fromiter(
                map(_is_missing, values), dtype=bool, count=len(values)
            )
    if values.dtype.kind in "fc":
        missing = missing | np.isnan(values)
    if values.dtype.kind == "O":
        values = _narrow(values, ~missing)
    return values, ~missing, categories


def _is_missing(value: Any) -> bool:
    """None, NaN and pd.NA, whose comparison with itself is no plain True."""
    return value is None or (value != value) is not False


def _narrow(values: NDArray, observed: NDArray[np.bool_]) -> NDArray:
    """Objects that are all numbers or booleans, as an array of those."""
    known = np.array(values[observed].tolist())
    if known.dtype.kind not in "biuf" or known.ndim != 1:
        return values
    narrowed = np.zeros(len(values), dtype=known.dtype)
    narrowed[observed] = known
    return narrowed


def _classes(
    values: NDArray, categories: NDArray | None, where: str, single: bool
) -> NDArray:
    if categories is not None and len(categories) >= 2 and not single:
        return np.sort(categories)
    try:
        classes = np.unique(values)
    except TypeError:
        types = sorted({type(v).__name__ for v in values})
        raise ValueError(
            f"{where} mixes labels of the types {', '.join(types)}, which cannot be "
            "ordered. Convert them to one type."
        ) from None
    if len(classes) > 1 or single:
        return classes
    # a binary task that happens to be constant keeps its two classes
    for pair in ((0, 1), (-1, 1)):
        if classes.dtype.kind in "biuf" and classes[0] in pair:
            return np.array(pair).astype(classes.dtype)
    raise ValueError(
        f"{where} has one class, {classes[0]!r}; a task needs two. Leave it out, or "
        "give it as 0 and 1 or as a categorical column with both classes."
    )

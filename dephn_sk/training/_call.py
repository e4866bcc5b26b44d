"""What a fit was given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..logs import Log, as_log, check_no_path, is_log
from ..preprocessing._frames import column_names, library
from ..preprocessing._log_rows import LogRows
from ..tasks import Times, label_columns
from ._fitted import FittedModel
from ._ranks import NONE, Ranks
from ._rows import CROSS_VALIDATED, check_call


@dataclass(frozen=True)
class FitCall:
    """The arguments of a fit, whose rows are a table in memory or a log.

    Attributes
    ----------
    template : estimator
        Unfitted, with the parameters of the fit.
    X, y, sample_weight, validation, groups, times, classes
        As they were given; a log as a Log.
    seed : int
    before : FittedModel or None
        From which training goes on.
    grows : bool
        Whether new categories get rows; then no rows are set aside.
    """

    template: Any
    X: Any
    y: Any
    sample_weight: Any
    validation: tuple[Any, Any]
    groups: Any
    times: Times
    classes: Any
    seed: int
    before: FittedModel | None
    grows: bool

    @property
    def sets_aside(self) -> bool:
        """Whether rows may be set aside for validation."""
        return not self.grows and self.validation[0] is None

    @property
    def is_log(self) -> bool:
        return isinstance(self.X, Log)

    def read(self, crew: Ranks = NONE) -> FitCall:
        """The same; of a log, a Log, or a table in memory where its rows are few.

        Each process of the crew calls it, and all have to be given the same kind of
        rows before they exchange what they count.
        """
        if not is_log(self.X):
            crew.alike(lambda: {"X": "a table in memory"})
            return self
        if self.template.memory is not None and self.before is None:
            raise ValueError(
                f"memory={self.template.memory!r} keeps tables, and X is a log, whose "
                "encoded rows stay in its cache_dir: give Log(..., cache_dir=folder), "
                "and set memory=None."
            )
        validation = self.validation
        if validation[0] is not None:
            names = self.y if validation[1] is None else validation[1]
            validation = as_log(validation[0]).among(crew), names
        call = replace(self, X=as_log(self.X).among(crew), validation=validation)
        crew.alike(call._told)
        logs = [one for one in (call.X, validation[0]) if one is not None]
        few = all(log.n_rows < CROSS_VALIDATED.stop for log in logs)
        return call.in_memory() if few else call

    def _told(self) -> dict[str, str]:
        """What has to be the same of a log wherever its files lie."""
        given = {"y": self.y, "sample_weight": self.sample_weight}
        given |= {"y_val": self.validation[1], "groups": self.groups}
        found = {"X": "a log", **{name: str(one) for name, one in given.items()}}
        for name, log in (("X", self.X), ("X_val", self.validation[0])):
            if log is not None:
                columns = log.names if log.columns is None else log.columns
                found[f"the columns of {name}"] = str(columns)
                found[f"the number of rows of {name}"] = str(log.n_rows)
        return found

    def in_memory(self) -> FitCall:
        """The same with the rows of the logs in memory."""
        rows = LogRows.of(self.X, self.y, self.sample_weight, self.groups)
        table = _table(rows)
        weights = [table.column(one).to_numpy() for one in rows.weights]
        columns = np.column_stack(weights) if weights else None
        validation = self.validation
        if validation[0] is not None:
            others = LogRows.of(*validation, names=rows.names)
            valid = _table(others)
            labels = label_columns(valid, others.y, others.ndim)
            validation = valid.select(list(rows.names)), labels
        groups = None
        if rows.groups is not None:
            groups = table.column(rows.groups).to_numpy()
        return replace(
            self,
            X=table.select(list(rows.names)),
            y=label_columns(table, rows.y, rows.ndim),
            sample_weight=columns,
            validation=validation,
            groups=groups,
        )


def _table(rows: LogRows) -> Any:
    table = rows.log.table(list(dict.fromkeys([*rows.names, *rows.own])))
    rows.log.check_unchanged()
    return table


def check_given(
    X: Any,
    y: Any,
    validation: tuple[Any, Any],
    times: Times,
    weight: Any = None,
    groups: Any = None,
) -> None:
    """Raise for what is wrong before a single row is read."""
    X_val, y_val = validation
    for name, given in (("X", X), ("X_val", X_val)):
        check_no_path(name, given)
        if isinstance(given, Iterator):
            raise TypeError(
                f"{name} is an iterator, which can be read once only; give a table, or "
                "a function that returns a fresh iterator of frames each time."
            )
    if not is_log(X):
        if is_log(X_val):
            raise TypeError(
                f"X_val is a log, but X is a {type(X).__name__}, a table; give both in "
                "one form."
            )
        _check_no_names(X, y=y, sample_weight=weight, groups=groups, y_val=y_val)
        check_call(X, y, validation)
        return
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None. Of a "
            "log, give the names of the columns that hold labels."
        )
    if X_val is None and y_val is not None:
        raise ValueError("X_val is missing: give both X_val and y_val, or neither.")
    if X_val is not None and not is_log(X_val):
        raise TypeError(
            f"X_val is a {type(X_val).__name__}, but X is a log; give a log of the "
            "same columns."
        )
    for name in ("label_time", "label_delay", "observed_until"):
        if getattr(times, name) is not None:
            raise ValueError(
                f"{name} cannot be used with a log. Leave out the rows whose labels "
                "may still change, or give null for those labels."
            )


def _check_no_names(X: Any, **given: Any) -> None:
    """Raise where names of columns are given beside a table."""
    columns = () if library(X) == "numpy" else column_names(X) or ()
    for name, value in given.items():
        names = value if isinstance(value, (list, tuple)) and value else [value]
        if not all(isinstance(one, str) for one in names):
            continue
        if isinstance(value, str) or set(names) <= set(columns):
            raise TypeError(
                f"{name}={value!r} names columns, which is for logs, and X is a "
                f"{type(X).__name__} in memory. Give the values themselves, such as "
                f"table[{value!r}]; labels and weights must not be in X."
            )

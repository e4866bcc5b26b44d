"""Delayed labels: a 0 whose positive may still come is no 0."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._compat import _safe_indexing
from ._kinds import Binary
from ._labels import Column, Labels, read_columns
from ._tasks import Tasks

DAY = timedelta(days=1)
ON_OPEN_WINDOW = ("mask", "weigh")
ALMOST_ALL = 1 - 1e-9


@dataclass(frozen=True, eq=False)
class Delays:
    r"""How long labels have been waited for, and how long their positives took.

    A row is shown, and its positive may come within a window of :math:`w` days. Labels
    are read :math:`e` days after it was shown. Where :math:`e < w` the window is open.

    ``"mask"`` takes open labels for not observed, ones and zeros alike.

    ``"weigh"`` multiplies weights of open labels by what makes them count as closed
    ones do, importance weights of a feedback shift [1]_, times :math:`F(e)`:

    .. math:: v_1 = 1, \quad v_0 = F(e) \frac{1 - \bar p}{1 - \bar p F(e)}

    :math:`F(e)` is the share of the positives of a window that come within :math:`e`,
    and :math:`\bar p = \sum_i w_i y_i / \sum_i w_i F(e_i)` their rate. :math:`F` is the
    product-limit estimate for delays that are cut off on the right [2]_: with
    :math:`n_j` positives of the delay :math:`u_j`, and :math:`N_j` of no longer delay
    that were waited for at least as long,

    .. math:: F(e) = \prod_{u_j > e} (1 - n_j / N_j)

    It reads positives alone, so that their rate may change over time. Delays must not
    depend on when a row was shown, nor on the row.

    Attributes
    ----------
    names : tuple of str
        Of the tasks.
    waited : ndarray of shape (n_samples, n_tasks)
        :math:`e`, at most the window; infinite where a task has none.
    delays : ndarray of shape (n_samples, n_tasks)
        Of the positives; NaN elsewhere.
    windows : ndarray of shape (n_tasks,)
        Infinite where a task has none.
    weighs : bool
        Whether it is ``"weigh"``.

    References
    ----------
    .. [1] Yasui, Morishita, Fujita, Shibata, "A Feedback Shift Correction in Predicting
       Conversion Rates under Delayed Feedback", WWW 2020.
    .. [2] Lagakos, Barraj, De Gruttola, "Nonparametric Analysis of Truncated Survival
       Data, with Application to AIDS", Biometrika 1988.

    Examples
    --------
    >>> # waited for long, and for two days; came after one and five days, or not yet
    >>> y = np.array([[1.0], [1], [0]])
    >>> labels = Labels(("buy",), y, np.ones((3, 1), bool))
    >>> waited, delays = np.array([[7.0], [7], [2]]), np.array([[1.0], [5], [np.nan]])
    >>> buy = Delays(("buy",), waited, delays, np.array([7.0]), weighs=True)
    >>> buy.factors(labels, np.arange(3), None).round(2).ravel().tolist()
    [1.0, 1.0, 0.17]
    """

    names: tuple[str, ...]
    waited: NDArray[np.float64]
    delays: NDArray[np.float64]
    windows: NDArray[np.float64]
    weighs: bool

    @property
    def open(self) -> NDArray[np.bool_]:
        """Whose positives may still come, (n_samples, n_tasks)."""
        return self.waited < self.windows

    def closed(self, labels: Labels) -> Labels:
        """The labels, of which open ones were not observed."""
        closed = labels.observed & ~self.open
        return replace(
            labels, values=np.where(closed, labels.values, 0), observed=closed
        )

    def factors(
        self, labels: Labels, rows: NDArray, given: NDArray | None
    ) -> NDArray[np.float64]:
        """What weights are multiplied by, (n_samples, n_tasks), from some of the rows.

        `given` are sample weights of shape (n_samples, 1) or (n_samples, n_tasks).
        """
        factors = np.ones(self.waited.shape)
        weights = labels.observed * (1.0 if given is None else given)
        for t in np.flatnonzero(self.open.any(axis=0)):
            counts = rows[weights[rows, t] > 0]
            waited, positive = self.waited[:, t], labels.values[:, t] == 1
            came = counts[positive[counts]]
            share = share_within(self.delays[came, t], waited[came], waited)
            share[~self.open[:, t]] = 1.0
            mass = weights[counts, t]
            rate = (mass @ positive[counts]) / max(mass @ share[counts], 1e-300)
            rate = min(float(rate), ALMOST_ALL)
            zero = share * (1 - rate) / (1 - rate * share)
            factors[:, t] = np.where(positive, share > 0, zero)
        return factors


def share_within(
    delays: NDArray, waited: NDArray, elapsed: NDArray
) -> NDArray[np.float64]:
    """Share of positives that come within each of some times, from those that came.

    `delays` of positives, each at most as long as it was `waited` for.

    Examples
    --------
    >>> # of two that were waited for long, one came within a day; of those waited for
    >>> # one day only, who knows
    >>> delays, waited = np.array([0.5, 5, 0.5]), np.array([7.0, 7, 1])
    >>> share_within(delays, waited, np.array([0.1, 1, 7])).round(2).tolist()
    [0.0, 0.5, 1.0]
    """
    if not len(delays):
        return np.zeros(len(elapsed))
    ends, counts = np.unique(delays, return_counts=True)
    up_to = np.searchsorted(np.sort(delays), ends, side="right")
    at_risk = up_to - np.searchsorted(np.sort(waited), ends)
    later = np.append(np.cumprod((1 - counts / at_risk)[::-1])[::-1], 1.0)
    return later[np.searchsorted(ends, elapsed, side="right")]


# ------------------------------------------------------------ from what is given


@dataclass(frozen=True)
class Times:
    """`label_time`, `label_delay` and `observed_until`, as `fit` was given them.

    `rows` are the numbers that the rows had there, None where these are all.
    """

    label_time: Any = None
    label_delay: Any = None
    observed_until: Any = None
    rows: NDArray | None = None

    def take(self, rows: NDArray) -> Times:
        """The times of some rows."""
        given = {"label_time": self.label_time, "label_delay": self.label_delay}
        taken = {k: _safe_indexing(v, rows) for k, v in given.items() if v is not None}
        return replace(self, rows=rows, **taken)

    def read(
        self, windows: Any, on_open: str, labels: Labels, tasks: Tasks
    ) -> Delays | None:
        """The delays of all rows; None where nothing is said of windows.

        Raises
        ------
        ValueError
            It names what is missing, or the row and the task that cannot be.
        """
        given = {name: value for name, value in vars(self).items() if name != "rows"}
        missing = [k for k in ("label_time", "observed_until") if given[k] is None]
        if windows is None:
            _check_no_times(
                [k for k, value in given.items() if value is not None], tasks
            )
            return None
        weighs = on_open == "weigh"
        if weighs and self.label_delay is None:
            missing.append("label_delay")
        if missing:
            raise ValueError(
                f"label_window={windows!r} with on_open_window={on_open!r} needs "
                f"{' and '.join(missing)} of fit. Where there is none, as in "
                "partial_fit, give NaN in the place of labels that may still change, "
                "and set label_window=None."
            )
        each = _windows(windows, tasks)
        timed = np.flatnonzero(np.isfinite(each))
        n_rows, shape = len(labels), labels.values.shape
        until = _days(np.array([self.observed_until], object), "observed_until")[0]
        waited, delays = np.full(shape, np.inf), np.full(shape, np.nan)
        times = _of_tasks(self.label_time, "label_time", n_rows, tasks, timed)
        waited[:, timed] = until - times
        if self.label_delay is not None:
            took = _of_tasks(self.label_delay, "label_delay", n_rows, tasks, timed)
            positive = labels.observed[:, timed] & (labels.values[:, timed] == 1)
            delays[:, timed] = np.where(positive, took, np.nan)
        rows = np.arange(n_rows) if self.rows is None else self.rows
        _check(waited, delays, each, labels, weighs, rows)
        waited = np.minimum(np.where(np.isnan(waited), 0, waited), each)
        if not weighs:
            for task, condition in tasks.pairs:  # a 0 may be one for want of that
                waited[waited[:, condition] < each[condition], task] = 0
        return Delays(tasks.names, waited, delays, each, weighs)


def _check_no_times(given: Sequence[str], tasks: Tasks) -> None:
    """Raise where times are given, but no window."""
    for name in given:
        why = (
            "label_window=None: say how long after its label_time a positive may come."
        )
        if len(tasks.numeric) == len(tasks.names):
            why = (
                f"the labels of {list(tasks.names)} are numbers, which have no "
                f"positives to wait for. Leave {name} out, and give NaN for labels "
                "that may still change."
            )
        raise ValueError(f"{name} is given, but {why}")


def _windows(given: Any, tasks: Tasks) -> NDArray[np.float64]:
    """The window of each task, infinite where it has none."""
    by_name = given
    if not isinstance(given, Mapping):
        by_name = dict.fromkeys(tasks.names, given)
    windows = np.full(len(tasks.names), np.inf)
    for name, window in by_name.items():
        t = tasks.position(name, "label_window")
        if not isinstance(window, Real) or not 0 < float(window) < np.inf:
            raise ValueError(
                f"label_window of task {name!r} is {window!r}; give a positive number, "
                "of days where label_time are dates."
            )
        task = tasks.tasks[t]
        if not isinstance(task, Binary):
            what = f"has {len(task.classes)} classes"
            if not task.n_levels:
                what = f"is of numbers, {task.shown!r}"
            raise ValueError(
                f"label_window names task {name!r}, which {what}; only a binary task "
                "has positives to wait for. Give a dict with those."
            )
        windows[t] = window
    return windows


def _of_tasks(
    given: Any, parameter: str, n_rows: int, tasks: Tasks, wanted: NDArray
) -> NDArray[np.float64]:
    """Days of the wanted tasks, (n_rows, n_wanted); one column may serve all."""
    read = read_columns(given, parameter)
    columns: Sequence[Column] = read.columns
    names = [tasks.names[t] for t in wanted]
    by_task = read.ndim == 2 and read.named
    if len(columns) == 1 and not (by_task and columns[0].name in tasks.names):
        columns = [columns[0]] * len(names)
    elif by_task:
        by_name = {column.name: column for column in columns}
        for name in names:
            if name not in by_name:
                raise ValueError(
                    f"{parameter} has no column for task {name!r}, which has a "
                    f"label_window; its columns are {list(by_name)}."
                )
        columns = [by_name[name] for name in names]
    elif len(columns) == len(tasks.names):
        columns = [columns[t] for t in wanted]
    if len(read) != n_rows or len(columns) != len(names):
        raise ValueError(
            f"{parameter} has the shape {(len(read), len(read.columns))[: read.ndim]}; "
            f"it must be ({n_rows},), or ({n_rows}, {len(tasks.names)}), a column for "
            f"each of the tasks {list(tasks.names)}."
        )
    days = np.full((n_rows, len(names)), np.nan)
    for i, column in enumerate(columns):
        days[column.observed, i] = _days(column.known, parameter)
    return days


def _days(values: NDArray, parameter: str) -> NDArray[np.float64]:
    """Dates and spans as days, UTC where they say no zone; numbers as they are."""
    kind = values.dtype.kind
    if kind == "O":
        return np.array([_day(value, parameter) for value in values.tolist()], float)
    if kind == "M":
        values = values - np.datetime64(0, "s")
    if kind in "mM":
        return np.asarray(values / np.timedelta64(1, "us"), float) / 86_400e6
    if kind in "iuf":
        return values.astype(np.float64)
    return np.array([_day(value, parameter) for value in values.tolist()], float)


def _day(value: Any, parameter: str) -> float:
    """One date, span or number."""
    if isinstance(value, np.generic) and not isinstance(value, np.number):
        return float(_days(np.array([value]), parameter)[0])
    if isinstance(value, str):
        with contextlib.suppress(ValueError):  # said below
            value = datetime.fromisoformat(value)
    if isinstance(value, timedelta):
        return value / DAY
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, datetime):
        zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
        return zoned.timestamp() / 86_400
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    raise ValueError(
        f"{parameter} holds {value!r}; give numbers, or dates and spans of time."
    )


def _check(
    waited: NDArray,
    delays: NDArray,
    windows: NDArray,
    labels: Labels,
    weighs: bool,
    rows: NDArray,
) -> None:
    """Raise for times that cannot be, with the row and the task."""
    timed = labels.observed & np.isfinite(windows)
    late = delays > np.minimum(waited, windows)
    positive = timed & (labels.values == 1)
    problems = {
        "has a label, but no label_time": timed & np.isnan(waited),
        "has a label_time after observed_until": timed & (waited < 0),
        "is positive, but has no label_delay": weighs & positive & np.isnan(delays),
        "has a negative label_delay": delays < 0,
        "is positive, but its label_delay is longer than the label_window, or than "
        "until observed_until; such a label is 0": late,
    }
    for what, where in problems.items():
        if where.any():
            row, t = np.argwhere(where)[0]
            raise ValueError(f"Task {labels.names[t]!r} of row {rows[row]} {what}.")
    closed = labels.observed & ~(waited < windows)
    for t in np.flatnonzero(np.isfinite(windows) & ~closed.any(axis=0)):
        raise ValueError(
            f"Task {labels.names[t]!r} has no label whose window of {windows[t]:g} is "
            "closed: all were shown less than that before observed_until. Give older "
            "rows, too, or a shorter label_window."
        )

"""ModelReport: all that is measured of a model, as tables, JSON and a page."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from ..inspection._any_model import as_frame, network_within
from ..inspection._drift import drift_table
from ..model_selection._thresholds import Goal
from . import _columns, _making, _quality, _together, _use
from ._comparison import bootstrap
from ._findings import findings
from ._importance import importance
from ._page import page
from ._rows import Rows, table_of, taken
from ._slices import slices

MOST_ROWS = 200_000
IMPORTANCE_ROWS = 10_000
EFFECT_ROWS = 500
DRIFT_ROWS = 50_000
ALONE_ROWS = 50_000

Table = list[dict[str, Any]]


class Tables:
    """Tables by name, and a page that shows them."""

    title: str
    notes: list[str]
    findings: list[str]
    _found: dict[str, Table]

    @property
    def tables(self) -> dict[str, Any]:
        """Each table by name: a frame, or a dict of lists without pandas."""
        return {name: as_frame(rows) for name, rows in self._found.items()}

    def to_dict(self) -> dict[str, Any]:
        """All of it as what JSON holds; what is not defined is None.

        Returns
        -------
        dict
            ``title``, ``notes``, ``findings``, and ``tables``: lists of rows by name.
        """
        tables = {
            name: [{key: _plain(value) for key, value in row.items()} for row in rows]
            for name, rows in self._found.items()
        }
        return {
            "title": self.title,
            "notes": list(self.notes),
            "findings": list(self.findings),
            "tables": tables,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page, one HTML file that asks nothing of any other.

        Parameters
        ----------
        path : str or PathLike
            A file that is there is replaced, once the new one is on the disk.

        Returns
        -------
        None
        """
        path = Path(path)
        if path.is_dir() or not path.parent.is_dir():
            raise FileNotFoundError(
                f"path={str(path)!r} must be a file in a folder that is there, such as "
                "'report.html'."
            )
        text = page(self.title, self.notes, self.findings, self._found)
        unfinished = path.with_name(f".{path.name}.part")
        try:
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    def _repr_html_(self) -> str:
        """The page within a frame of its own, for a notebook."""
        from html import escape

        text = page(self.title, self.notes, self.findings, self._found)
        return (
            f'<iframe title="{escape(self.title)}" srcdoc="{escape(text)}" '
            'style="width:100%;height:40rem;border:1px solid #8886"></iframe>'
        )

    def __repr__(self) -> str:
        names = ", ".join(self._found)
        return "\n".join([self.title, *self.notes, *self.findings, f"Tables: {names}"])


class ModelReport(Tables):
    """Measure a fitted model of several tasks on rows that it has not seen.

    Numbers first: ``tables`` holds a frame for each question, ``to_dict()`` all of them
    for JSON. ``save("report.html")`` writes one page with pictures that needs no
    network and no script.

    Parameters
    ----------
    model : estimator
        Fitted: of this library, alone or within a Pipeline, a search, a
        :class:`~dephn_sk.calibration.TaskCalibrator` or a
        :class:`~dephn_sk.model_selection.ThresholdedClassifier`; or any classifier of
        one or several labels that has predict_proba.
    X_test : DataFrame or array-like of shape (n_samples, n_features)
        Rows that the model was not trained on.
    y_test : DataFrame or array-like of shape (n_samples,) or (n_samples, n_tasks)
        NaN is a label that was not observed; its row does not count in that task.
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), \
default=None
        Weights, in all that is measured against labels.
    groups : array-like of shape (n_samples,), default=None
        The user of each row, for AUC within users, and for slices, whose rows are then
        not taken as independent.
    X_train : DataFrame or array-like of shape (n_train, n_features), default=None
        For drift. None: what the model's encoder has kept.
    costs : dict of str to (float, float), default=None
        By task, what a false positive and a false negative cost.
    n_repeats : int, default=5
        Shuffles of each column for its importance; 0 leaves importance out, and effects
        and pairs of columns then take the columns in their order.
    max_rows : int, default=200000
        More rows are drawn at random, and the report says so.
    random_state : int, RandomState instance or None, default=0

    Attributes
    ----------
    tables : dict of str to DataFrame, or to dict of lists
        ``scores`` and, of numbers, ``scores_of_numbers``; ``calibration``, ``lift``,
        ``thresholds``; ``tasks_together``, ``missing_labels``, ``funnel``;
        ``columns_alone``, ``odd_columns``; ``importance``, ``gates``, ``effects``;
        ``slices``; ``drift``, ``drift_of_predictions``; ``training``, ``parameters``,
        ``versions``, ``times``. A table that does not apply is not there.
    findings : list of str
        The most important of it in words.
    notes : list of str
        On what rows it was measured.

    Notes
    -----
    Scores are those of :mod:`dephn_sk.metrics`, which are scikit-learn's on the rows in
    which a task is observed. Importance is measured on at most 10,000 rows, effects on
    500, drift and what columns tell alone on 50,000. Weights are not used for drift,
    gates, and wherever rows are counted.

    Of a task of several classes, effects and slices are those of its five most frequent
    classes, each against the rest; of numbers, those of their mean.

    Examples
    --------
    >>> from dephn_sk import DEPHNMultiTaskClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> from dephn_sk.report import ModelReport
    >>> X, y = make_behavior_log(2_000, return_X_y=True, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    >>> model = model.fit(X[:1_000], y[:1_000])
    >>> report = ModelReport(model, X[1_000:], y[1_000:], n_repeats=1)
    >>> report.tables["scores"]["task"].tolist()
    ['click', 'like', 'purchase']
    """

    def __init__(
        self,
        model: Any,
        X_test: Any,
        y_test: Any,
        sample_weight: Any = None,
        groups: Any = None,
        X_train: Any = None,
        *,
        costs: Mapping[str, Any] | None = None,
        n_repeats: int = 5,
        max_rows: int = MOST_ROWS,
        random_state: Any = 0,
    ) -> None:
        started, rng = time.perf_counter(), check_random_state(random_state)
        _check_options(n_repeats=(n_repeats, 0), max_rows=(max_rows, 1))
        given = X_test, y_test, sample_weight, groups
        rows = Rows.of(model, *given, max_rows, rng)
        predicted = time.perf_counter()
        binary = [one.name for one in rows.predicted if one.is_binary]
        Goal(1.0, costs, None).check(binary, rows.names)
        self.title = f"Report of a {type(model).__name__}"
        self.notes = _notes(rows)
        self._found = {}
        self._measure(model, rows, dict(costs or {}))
        words = self._look_inside(model, rows, n_repeats, rng)
        words += self._compare_rows(model, rows, X_train, rng)
        self._tell_making(model)
        self._add("times", _times(model, rows, started, predicted))
        self.findings = [*findings(self._found), *words]

    def _add(self, name: str, rows: Iterable[dict[str, Any]]) -> Table:
        table = list(rows)
        if table:
            self._found[name] = table
        return table

    def _measure(self, model: Any, rows: Rows, costs: dict[str, Any]) -> None:
        """What the predictions are worth."""
        own = getattr(model, "thresholds_", {})
        self._add("scores", _quality.scores(rows))
        self._add("scores_of_numbers", _quality.numbers(rows))
        self._add("calibration", _quality.calibration(rows))
        self._add("lift", _quality.lift(rows))
        self._add("thresholds", _quality.thresholds(rows, own, costs))
        self._add("tasks_together", _together.together(rows))
        self._add("missing_labels", _together.missing(rows))
        some = rows.take(_drawn(len(rows), ALONE_ROWS, check_random_state(0)))
        told = sorted(_columns.alone(some), key=_least_told)
        self._add("columns_alone", told)
        odd = [*_columns.odd(rows.columns), *_columns.odd_labels(rows)]
        self._add("odd_columns", odd)
        self._add("funnel", _together.funnel(model, rows))

    def _look_inside(
        self, model: Any, rows: Rows, n_repeats: int, rng: np.random.RandomState
    ) -> list[str]:
        """What the model uses, and for whom it is wrong."""
        names = [column.name for column in rows.columns]
        if n_repeats:
            some = _drawn(len(rows), IMPORTANCE_ROWS, rng)
            part = rows if len(some) == len(rows) else rows.take(some)
            found = importance(model, part, n_repeats, rng)
            if table := self._add("importance", found):
                strong = _use.strongest(table)
                names = [name for name in strong if name in names]
        gates, words = _use.gates(model, taken(rows.X, _drawn(len(rows), 500, rng)))
        self._add("gates", gates)
        some = _drawn(len(rows), EFFECT_ROWS, rng)
        self._add("effects", _use.effects(model, rows, some, names))
        worst, n_looks = slices(rows, names)
        if self._add("slices", worst):
            n_wrong = sum(row["wrong"] for row in worst)
            words.append(
                f"{n_looks:,} slices were looked at; the predictions of {n_wrong} are "
                "wrong by more than chance explains."
            )
        return words

    def _compare_rows(
        self, model: Any, rows: Rows, X_train: Any, rng: np.random.RandomState
    ) -> list[str]:
        """Drift from training to test."""
        if X_train is None and network_within(model)[0] is None:
            return []
        new = taken(rows.X, _drawn(len(rows), DRIFT_ROWS, rng))
        if X_train is not None:
            X_train = table_of(X_train, "X_train")
            if not X_train.shape[0]:
                raise ValueError("X_train holds no rows. Give some, or None.")
            X_train = taken(X_train, _drawn(X_train.shape[0], DRIFT_ROWS, rng))
        found = drift_table(model, new, X_train)
        self._found["drift"] = _listed(found.columns)
        self._found["drift_of_predictions"] = _listed(found.tasks)
        # reference rows have another name here, and the model was trained on them, of
        # which it is more certain: that its predictions moved says nothing
        words = [one for one in found.words if not one.startswith("Predictions of")]
        return [one.replace("X_ref", "X_train") for one in words]

    def _tell_making(self, model: Any) -> None:
        self._add("training", _making.training(model))
        self._add("parameters", _making.parameters(model))
        self._add("versions", _making.versions_table())

    @staticmethod
    def compare(
        models: Mapping[str, Any],
        X_test: Any,
        y_test: Any,
        sample_weight: Any = None,
        groups: Any = None,
        *,
        n_bootstrap: int = 200,
        max_rows: int = 50_000,
        random_state: Any = 0,
    ) -> Comparison:
        """Measure several models on the same rows.

        Parameters
        ----------
        models : dict of str to estimator
            Fitted, by name; all others are compared with the first.
        X_test, y_test, sample_weight, groups
            As of the class.
        n_bootstrap : int, default=200
            Resamples, of rows, or of groups where these are given, the same for all
            models.
        max_rows : int, default=50000
            More rows are drawn at random.
        random_state : int, RandomState instance or None, default=0

        Returns
        -------
        Comparison
            Its tables: ``scores`` (task, metric, a column for each model),
            ``differences`` (the difference from the first model with a 95 % interval),
            ``calibration``, ``lift`` and ``versions``.

        Examples
        --------
        >>> from dephn_sk.baselines import DNNClassifier, MMoEClassifier
        >>> from dephn_sk.datasets import make_behavior_log
        >>> from dephn_sk.report import ModelReport
        >>> X, y = make_behavior_log(1_000, return_X_y=True, random_state=0)
        >>> models = {
        ...     "DNN": DNNClassifier(max_epochs=1).fit(X[:500], y[:500]),
        ...     "MMoE": MMoEClassifier(max_epochs=1).fit(X[:500], y[:500]),
        ... }
        >>> found = ModelReport.compare(models, X[500:], y[500:], n_bootstrap=20)
        >>> list(found.tables["scores"].columns)
        ['task', 'metric', 'DNN', 'MMoE']
        """
        given = X_test, y_test, sample_weight, groups
        return Comparison(
            models,
            *given,
            n_bootstrap=n_bootstrap,
            max_rows=max_rows,
            random_state=random_state,
        )


class Comparison(Tables):
    """Several models on the same rows, as :meth:`ModelReport.compare` makes it.

    Parameters
    ----------
    models : dict of str to estimator
    X_test, y_test, sample_weight, groups
        As of :class:`ModelReport`.
    n_bootstrap : int, default=200
    max_rows : int, default=50000
    random_state : int, RandomState instance or None, default=0

    Attributes
    ----------
    tables : dict of str to DataFrame, or to dict of lists
    findings, notes : list of str
    """

    def __init__(
        self,
        models: Mapping[str, Any],
        X_test: Any,
        y_test: Any,
        sample_weight: Any = None,
        groups: Any = None,
        *,
        n_bootstrap: int = 200,
        max_rows: int = 50_000,
        random_state: Any = 0,
    ) -> None:
        _check_options(n_bootstrap=(n_bootstrap, 1), max_rows=(max_rows, 1))
        if not isinstance(models, Mapping) or len(models) < 2:
            raise ValueError(
                f"models is {models!r:.200}; give a dict of two or more, by name. Of "
                "one, make a ModelReport."
            )
        rng = check_random_state(random_state)
        seed = int(rng.randint(2**31 - 1))  # the same rows are drawn for all
        read = partial(Rows.of, max_rows=max_rows)
        given = X_test, y_test, sample_weight, groups
        of_models = {
            name: read(model, *given, rng=check_random_state(seed))
            for name, model in models.items()
        }
        first = next(iter(of_models.values()))
        for name, rows in of_models.items():
            if rows.names != first.names:
                raise ValueError(
                    f"The tasks of {name!r} are {rows.names}, but those of "
                    f"{next(iter(of_models))!r} are {first.names}."
                )
        self.title = f"Comparison of {', '.join(models)}"
        self.notes = _notes(first)
        scores, differences, self.findings = bootstrap(of_models, n_bootstrap, rng)
        self._found = {"scores": scores, "differences": differences}
        for name, table in (
            ("calibration", _quality.calibration),
            ("lift", _quality.lift),
        ):
            self._found[name] = [
                {"model": model, **row}
                for model, rows in of_models.items()
                for row in table(rows)
            ]
        self._found["versions"] = list(_making.versions_table())


def _check_options(**given: tuple[Any, int]) -> None:
    """Raise where a number is no integer, or less than it may be."""
    for name, (value, least) in given.items():
        if not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name}={value!r} must be an integer >= {least}.")


def _least_told(row: dict[str, Any]) -> float:
    return -row["alone"] if row["alone"] == row["alone"] else np.inf


def _drawn(n: int, most: int, rng: np.random.RandomState) -> Any:
    """Rows, drawn where there are more than that."""
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def _notes(rows: Rows) -> list[str]:
    n, given = len(rows), rows.n_given
    said = [f"Measured on {n:,} test rows."]
    if n < given:
        said = [f"Measured on {n:,} rows that were drawn at random from {given:,}."]
    if rows.weight is not None:
        said.append("Rows are weighted.")
    if rows.group is not None:
        said.append(f"They are of {len(np.unique(rows.group)):,} groups.")
    return said


def _times(model: Any, rows: Rows, started: float, predicted: float) -> Table:
    spent = {
        "training, seconds": _making.seconds_of_fit(model),
        "reading and predicting the test rows, seconds": predicted - started,
        "the whole report, seconds": time.perf_counter() - started,
    }
    known = {what: value for what, value in spent.items() if not np.isnan(value)}
    return [{"what": what, "value": round(value, 3)} for what, value in known.items()]


def _listed(frame: Any) -> Table:
    """The rows of a frame, or of a dict of lists."""
    names = list(frame)
    columns = [list(frame[name]) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(value: Any) -> Any:
    """A value as JSON holds it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and np.isnan(value):
        return None
    if isinstance(value, float) and np.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value

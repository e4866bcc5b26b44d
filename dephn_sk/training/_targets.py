"""What y is taken for: parameters of estimators whose labels are numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._parameters import parameter
from ..tasks import Columns, Tasks, inferred, kinds_of
from ._label_parameters import LabelParameters
from ._parameters import TrainingParameters


class RegressionParameters(TrainingParameters):
    """Numbers alone.

    Parameters
    ----------
    loss : str or dict of str to str
        Of all tasks, or of each by its name; tasks that are not named have
        ``"squared"``. ``"squared"`` and ``"poisson"`` (labels of at least 0),
        ``"gamma"`` (above 0) and ``"zero-inflated-lognormal"`` (at least 0) predict
        the mean, ``"absolute"`` the median, ``"quantile(0.9)"`` that quantile. See
        :ref:`amounts`.
    n_networks : int or "auto"
        Networks that differ in initial values and dropout, and learn side by side from
        the same rows. The prediction is the mean of theirs, which early stopping
        watches; so one stop serves all. More of them predict better and cost more; see
        :ref:`networks`. ``"auto"``: five of few rows, where `max_epochs` comes from a
        cross-validation that costs more than they do, otherwise one.
    monitor : {"loss", "score"} or (one of them, task name)
        What early stopping watches: the loss that is trained on or the mean over tasks
        of R², or that of one task.
    """

    class_weight = None  # there are no classes

    loss: str | Mapping[str, str] = parameter("squared", [str, Mapping])

    def _learn_tasks(self, columns: Columns, classes: Any) -> Tasks:
        """The tasks of a y, each of numbers."""
        if classes is not None:
            raise ValueError(
                f"classes={classes!r} is given, but the labels of "
                f"{type(self).__name__} are numbers. Leave it out."
            )
        named = kinds_of(self.loss, columns, "loss")
        usual = kinds_of("squared", columns, "loss")
        return Tasks.learn(
            columns, named=[n or u for n, u in zip(named, usual, strict=True)]
        )


class MixtureParameters(LabelParameters):
    """Numbers and classes beside each other.

    Parameters
    ----------
    tasks : dict of str to str, str or None
        The kind of each task by its name, or of all: ``"binary"``, ``"multi-class"``,
        or a loss for numbers, ``"squared"``, ``"absolute"``, ``"quantile(0.9)"``,
        ``"poisson"``, ``"gamma"`` or ``"zero-inflated-lognormal"``; see
        :ref:`amounts`. Of a task that is not named, text, booleans, categories and the
        numbers 0 and 1 are classes, and numbers with fractions ``"squared"``; other
        whole numbers may be amounts or names of classes, and are an error that names
        the task.
    n_networks : int or "auto"
        Networks that differ in initial values and dropout, and learn side by side from
        the same rows. The prediction is the mean of their probabilities and of their
        numbers, which early stopping watches; so one stop serves all. More of them
        predict better and cost more; see :ref:`networks`. ``"auto"``: five of few rows,
        where `max_epochs` comes from a cross-validation that costs more than they do,
        otherwise one.
    class_weight : dict, "balanced", list or None
        For tasks that have classes: ``"balanced"``, or a dict from task name, or a
        list, of what scikit-learn takes. Named for a task of numbers, it is an error.
    monitor : {"loss", "score"} or (one of them, task name)
        What early stopping watches: the loss that is trained on or the mean over tasks
        of R², ROC AUC or accuracy (of a multi-class task), or that of one task.
    """

    tasks: Mapping[str, str] | str | None = parameter(None, [str, Mapping, None])

    def _learn_tasks(self, columns: Columns, classes: Any) -> Tasks:
        """The tasks of a y, each of its kind."""
        found = kinds_of(self.tasks, columns, "tasks", classes=True)
        for t, column in enumerate(columns.columns):
            found[t] = found[t] or inferred(column)
            if found[t] is None and len(column.known):
                some = column.distinct[:5].tolist()
                raise ValueError(
                    f"Task {column.name!r} holds whole numbers such as {some}, which "
                    "may be amounts, counts or names of classes. Say which: "
                    f"tasks={{{column.name!r}: 'squared'}}, or 'poisson', "
                    "'zero-inflated-lognormal', 'multi-class', ..."
                )
        return Tasks.learn(columns, classes, named=found)

"""A model card: what a model is, of which data, and what it was measured to do."""

from __future__ import annotations

import inspect
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.pipeline import Pipeline

from ..preprocessing import FieldEncoder
from ..preprocessing._spelling import shown
from ..training import FittedAttributes
from ..training._parameters import unchanged


def card_of(model: Any, metrics: Mapping[str, Any] | None = None) -> str:
    """A model card in Markdown: data, tasks, metrics, parameters and versions.

    Parameters
    ----------
    model : estimator
        Fitted.
    metrics : dict of str to float, sequence or dict, default=None
        By name: a number, or one for each task.

    Returns
    -------
    str
    """
    final = _final(model)
    sections = {
        "Intended use": ["*What it is for, and for what it is not: to be filled in.*"],
        "Data": [
            "*Where the rows come from, and from which time: to be filled in.*",
            *_fields(final),
        ],
        "Tasks": _tasks(final),
        "Metrics": _metrics(metrics or {}, getattr(final, "task_names_", ())),
        "Parameters": _parameters(final),
        "Versions": _table(["package", "version"], versions().items()),
    }
    parts = [f"# {type(model).__name__}", _summary(model, final)]
    for title, lines in sections.items():
        if lines:
            parts += [f"## {title}", *lines]
    return "\n\n".join(filter(None, parts)) + "\n"


def versions() -> dict[str, str]:
    """Of what a model depends on."""
    from .. import __version__

    return {
        "dephn_sk": __version__,
        "torch": str(torch.__version__),
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _final(model: Any) -> Any:
    """The classifier or encoder of ours that a Pipeline, a search or a view ends in."""
    while not isinstance(model, FittedAttributes | FieldEncoder) and model is not None:
        if isinstance(model, Pipeline):
            model = model[-1]
        else:
            inner = "best_estimator_", "estimator_", "estimator"
            model = next((getattr(model, n) for n in inner if hasattr(model, n)), None)
    return model


def _summary(model: Any, final: Any) -> str:
    if final is None or final is model:
        return ""
    return f"It ends in a {type(final).__name__}."


def _fields(final: Any) -> list[str]:
    """The table of the encoder's fields."""
    encoder = getattr(final, "encoder_", final)
    if not isinstance(encoder, FieldEncoder):
        return []
    head = ["field", "kind", "codes", "rare", "missing"]
    rows = (
        [name, kind, codes, _share(rare), _share(missing)]
        for name, kind, codes, rare, missing in encoder.report_.rows
    )
    return _table(head, rows)


def _tasks(final: Any) -> list[str]:
    """What each task's labels are, and what training has come to."""
    if not isinstance(final, FittedAttributes):
        return []
    history = final.net_.history
    kept = history[(final.kept_epoch_ or len(history)) - 1]
    tasks, n = final.tasks_, len(final.tasks_.names)
    scores = kept.get("valid_task_score", [None] * n)
    rows = zip(tasks.names, tasks.shown, final.task_rates_, scores, strict=True)
    lines = [
        [name, _classes(classes), _share(rate), _number(score)]
        for name, classes, rate, score in rows
    ]
    head = ["task", "classes", "rate", "validation score"]
    epochs = f"{final.n_iter_} epochs were run"
    best = f", epoch {final.kept_epoch_} was kept" if final.kept_epoch_ else ""
    weights = sum(p.numel() for p in final.network_.parameters())
    about = "The score is ROC AUC, accuracy of a task with more classes than two."
    about = about.replace(".", ", R² of numbers.") if tasks.numeric else about
    return [*_table(head, lines), f"{epochs}{best}; {weights:,} parameters. {about}"]


def _metrics(metrics: Mapping[str, Any], tasks: Sequence[str]) -> list[str]:
    if not metrics:
        return []
    rows = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            rows += [[name, task, _number(one)] for task, one in value.items()]
        elif np.ndim(value):
            pairs = zip(tasks, value, strict=True)
            rows += [[name, task, _number(one)] for task, one in pairs]
        else:
            rows.append([name, "", _number(value)])
    return _table(["metric", "task", "value"], rows)


def _parameters(final: Any) -> list[str]:
    """Those that are not their defaults; a folder is a matter of one machine."""
    if final is None:
        return []
    defaults = inspect.signature(type(final)).parameters
    given = getattr(final, "fitted_params_", final.get_params(deep=False))
    rows = [
        [name, f"`{shown(value)}`"]
        for name, value in sorted(given.items())
        if name != "memory" and not unchanged(value, defaults[name].default)
    ]
    if not rows:
        return ["All are the defaults."]
    return [*_table(["parameter", "value"], rows), "All others are the defaults."]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """One text with the lines of a table."""
    lines = [head, ["---"] * len(head), *map(list, map(_cells, rows))]
    return ["\n".join(f"| {' | '.join(line)} |" for line in lines)]


def _cells(row: Sequence[Any]) -> Iterator[str]:
    """Cells without what would end them, or be taken for HTML."""
    for cell in row:
        text = " ".join(("" if cell is None else str(cell)).split())
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
        yield text.replace("|", "\\|").replace("<", "&lt;")


def _classes(classes: Any) -> str:
    if isinstance(classes, str):  # a kind of number
        return classes
    return ", ".join(map(str, classes[:20].tolist()))


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _number(value: Any) -> str:
    return "" if value is None or np.isnan(value) else f"{value:.4g}"

"""to_onnx: a fitted estimator as one graph, from raw columns to probabilities."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from ._assembly import logits, merged, outputs
from ._bags import SPLIT_OPSET
from ._chain import Chain
from ._encoded import encoded_inputs
from ._files import save, set_aside
from ._graph import Graph
from ._half import halve_tables
from ._inputs import add_inputs, check_inputs, groups_of, raw_fields
from ._metadata import described
from ._tasks import check_known

LOWEST_OPSET = 18
DEFAULT_OPSET = SPLIT_OPSET
TABLES = ("float32", "float16")


def to_onnx(
    estimator: Any,
    path: Any = None,
    *,
    inputs: str = "raw",
    shared: Collection[str] = (),
    opset: int | None = None,
    calibrator: Any = None,
    labels: bool = False,
    tables: str = "float32",
) -> Any:
    """Write a fitted estimator as one ONNX graph, from raw columns to probabilities.

    The graph does all that ``predict_proba`` does: vocabularies, scales, dates, bags,
    the network, calibration. Of tasks whose labels are numbers, it gives what
    ``predict`` does, as ``predictions``. What a graph cannot say is an error that names
    the column or parameter, before anything is written.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of this library; or a Pipeline of
        :class:`~dephn_sk.preprocessing.FieldEncoder` and one, a search, or a
        :class:`~dephn_sk.calibration.TaskCalibrator` or
        :class:`~dephn_sk.model_selection.ThresholdedClassifier` around it.
    path : path-like, default=None
        Where to write the graph. Above 2 GiB, the tables go to a second file beside it,
        named like it with ``.data``, to which the returned model refers, too.
    inputs : {"raw", "user+items", "encoded"}, default="raw"
        ``"raw"``: an input for each column, as in the table that was fitted.
        ``"user+items"``: the same, but the columns of `shared` have one row for all
        rows of the others. ``"encoded"``: what the estimator's encoder makes of a
        table; steps of any kind may stand before it.
    shared : collection of str, default=()
        The user's columns.
    opset : int, default=None
        Version of the operators, 18 or higher; None is 20. Delimited text needs 20.
    calibrator : TaskCalibrator, default=None
        Fitted around this estimator; its probabilities are given.
    labels : bool, default=False
        Whether the graph also gives what `predict` does of each task that has classes:
        the most probable one, or, of a
        :class:`~dephn_sk.model_selection.ThresholdedClassifier`, that of its threshold.
    tables : {"float32", "float16"}, default="float32"
        The precision in which embeddings are stored; the network computes in that of
        the estimator.

    Returns
    -------
    onnx.ModelProto
        Its metadata, under ``dephn_sk``, is a JSON text that says what a server needs:
        columns, types, tasks, classes, rates, versions.

    Raises
    ------
    ValueError
        For what a graph cannot say, and for rows of columns that it cannot take.
    ImportError
        Without the extra ``onnx``.

    See Also
    --------
    feed : The rows of a table as the graph's inputs.

    Notes
    -----
    Missing values: a number is NaN, a date the smallest int64; text, integers and
    booleans have a mask, the input ``missing`` of shape (n, n_masked), whose columns
    the metadata name. A row that ``predict_proba`` refuses, such as one with an
    infinite number, comes out as NaN.

    Examples
    --------
    >>> import numpy as np
    >>> import onnxruntime
    >>> from dephn_sk import DEPHNMultiTaskClassifier
    >>> from dephn_sk.datasets import make_behavior_log
    >>> from dephn_sk.export import feed, to_onnx
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    >>> model = model.fit(log.data, log.target)
    >>> graph = to_onnx(model).SerializeToString()
    >>> session = onnxruntime.InferenceSession(graph)
    >>> (probabilities,) = session.run(None, feed(model, log.data))
    >>> np.allclose(probabilities, model.predict_proba(log.data), rtol=1e-5, atol=1e-7)
    True
    """
    _require_onnx()
    opset = DEFAULT_OPSET if opset is None else opset
    check_inputs(inputs, shared)
    _check_options(opset, tables)
    chain = Chain.of(estimator)
    if calibrator is not None:
        chain = chain.calibrated_by(calibrator)
    _check_sayable(chain)
    graph = Graph(opset)
    if inputs == "encoded":
        groups, read = [], encoded_inputs(graph, chain)
    else:
        encoders = chain.encoders()
        groups = groups_of(encoders[0], shared, inputs)
        for group in groups:
            add_inputs(graph, group)
        fields = [(raw_fields(graph, encoders, one), one.rows) for one in groups]
        read = merged(graph, chain, fields, graph.n_rows(groups[0].inputs[0].name))
    value = logits(graph, chain.final.network_, read)
    given = outputs(graph, chain, value, read.refused, labels)
    if tables == "float16":
        halve_tables(graph, chain.final.network_)
    about = described(chain, inputs, groups, given, opset, tables)
    parts = set_aside(graph.initializers, path)
    model = graph.model(dephn_sk=json.dumps(about))
    if path is not None:
        save(model, path, parts)
    return model


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"to_onnx needs {error.name}. Run: pip install 'dephn-sk[onnx]'."
        ) from error


def _check_options(opset: int, tables: str) -> None:
    from onnx import defs

    highest = defs.onnx_opset_version()
    if not LOWEST_OPSET <= opset <= highest:
        raise ValueError(
            f"opset must be from {LOWEST_OPSET} to {highest}, the highest that the "
            f"installed onnx knows, got {opset}."
        )
    if tables not in TABLES:
        raise ValueError(f"tables must be one of {TABLES}, got {tables!r}.")


def _check_sayable(chain: Chain) -> None:
    """Refuse parameters and tasks that no graph can say, by name."""
    parameters = chain.final.fitted_params_
    if parameters["precision"] == "bf16":
        raise ValueError(
            "The estimator was fitted with precision='bf16', and predicts in it, which "
            "a graph does not. Fit with precision='full' or 'tf32'."
        )
    functions = [one for one in parameters.get("mappings", ()) if callable(one)]
    if functions:
        raise ValueError(
            f"mappings={parameters['mappings']!r} holds a function, which no graph can "
            "say. Use the mappings that have a name."
        )
    for task in chain.final.tasks_.tasks:
        check_known(task)

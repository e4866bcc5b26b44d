"""The network of a fitted estimator as a graph, by its plain equations."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..nn import PaddedMembers, TaskNetwork
from ..training._evaluation import LOGIT_LIMIT

ROWS, MOST = 3, 2  # of the example that is traced; any that is not 0 or 1


class GraphNetwork(nn.Module):
    """A network that takes bags as rectangles, one after the other.

    Shape: ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)``, for each
    bag codes and, if it has them, weights ``(batch, most)`` -> ``(batch, n_logits)``

    Parameters
    ----------
    network : TaskNetwork
    weighted : sequence of bool
        Which bags have weights.
    """

    def __init__(self, network: TaskNetwork, weighted: Sequence[bool]) -> None:
        super().__init__()
        self.network = network
        self.weighted = tuple(weighted)

    def forward(self, codes: Tensor, numbers: Tensor, *rectangles: Tensor) -> Tensor:
        rest = iter(rectangles)
        bags = [
            PaddedMembers(next(rest), next(rest) if w else None) for w in self.weighted
        ]
        logits = self.network(codes, numbers, bags)
        return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)


def network_graph(
    network: TaskNetwork,
    n_codes: int,
    n_numbers: int,
    bags: Sequence[tuple[bool, bool]],
    opset: int,
) -> Any:
    """The model of a network, from fields to logits.

    Inputs are ``codes``, ``numbers``, and ``bag<i>`` and ``weights<i>`` of each bag;
    one that the network never reads may be absent. The output is ``logits``.

    Parameters
    ----------
    network : TaskNetwork
    n_codes, n_numbers : int
        Categorical and numeric fields.
    bags : sequence of (bool, bool)
        Of each bag, whether it has weights, and whether all rows share one.
    opset : int
    """
    dtype = next(network.parameters()).dtype
    names, arguments = (
        ["codes", "numbers"],
        [
            torch.zeros(ROWS, n_codes, dtype=torch.long),
            torch.zeros(ROWS, n_numbers, dtype=dtype),
        ],
    )
    batch, shapes = torch.export.Dim("n"), []
    shapes = [{0: batch}, {0: batch}]
    for i, (weighted, shared) in enumerate(bags):
        shape = (1 if shared else ROWS, MOST)
        most = torch.export.Dim(f"most{i}")
        names.append(f"bag{i}")
        arguments.append(torch.zeros(shape, dtype=torch.long))
        if weighted:
            names.append(f"weights{i}")
            arguments.append(torch.zeros(shape, dtype=dtype))
        shapes += [{1: most} if shared else {0: batch, 1: most}] * (1 + weighted)
    rectangles = tuple(shapes[2:])
    module = GraphNetwork(network, [weighted for weighted, _ in bags]).eval()
    with torch.no_grad(), _quietly():
        try:
            program = torch.onnx.export(
                module,
                tuple(arguments),
                dynamo=True,
                dynamic_shapes=(*shapes[:2], *([rectangles] if bags else [])),
                input_names=names,
                output_names=["logits"],
                opset_version=opset,
                custom_translation_table=_OF_DOUBLES if dtype.itemsize > 4 else None,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ValueError(
                f"torch cannot trace the network {type(network).__name__}: "
                f"{error.__cause__}. Write its forward without what depends on values, "
                "or give it a plain equation where torch.compiler.is_compiling()."
            ) from error
    assert program is not None  # only where a file is written
    return program.model_proto


def _leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """The larger one of x and its part; onnxruntime has LeakyRelu for floats alone."""
    from onnxscript import opset18

    slope: Any = negative_slope
    return opset18.Max(x, opset18.Mul(x, opset18.CastLike(slope, x)))


def _cosine(x: Any) -> Any:
    """A sine; older ones have no cosine of doubles."""
    from onnxscript import opset18

    quarter: Any = math.pi / 2
    return opset18.Sin(opset18.Add(x, opset18.CastLike(quarter, x)))


_OF_DOUBLES: dict[Any, Any] = {
    torch.ops.aten.leaky_relu.default: _leaky_relu,
    torch.ops.aten.cos.default: _cosine,
}


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what torch tells those who develop exporters."""
    loggers = [
        logging.getLogger(name)
        for name in (
            "torch.onnx",
            "torch.export",
            "torch.__trace",
            "onnxscript",
            "onnx_ir",
        )
    ]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)

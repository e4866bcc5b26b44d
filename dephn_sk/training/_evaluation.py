"""What a network says of rows: predictions, and losses and scores of validation."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..nn import TaskNetwork
from ..tasks import KEPT_ROWS, PREDICT_BLOCK, Scores, Tasks
from ._loss import MultiTaskLoss
from ._precision import tensor_float_32
from ._source import Source

# a TaskNetwork, or one that is compiled
Network: TypeAlias = Callable[..., Tensor]
ROW_MULTIPLE = 64
LOGIT_LIMIT = 15.0


def forward(network: Network, inputs: dict[str, Any], precision: str) -> Tensor:
    """Logits, in the precision of the parameters whatever they were made in."""
    if precision != "bf16":
        return network(**inputs)
    with torch.autocast(inputs["codes"].device.type, torch.bfloat16):
        return network(**inputs).float()


def products(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Matrix products of the precision that is asked for, as long as it runs."""
    lower = device.type == "cuda" and precision == "tf32"
    return tensor_float_32 if lower else nullcontext()


@torch.inference_mode()
def predict_logits(
    network: TaskNetwork, source: Source, precision: str = "full"
) -> NDArray:
    """Logits of all rows, (n_rows, sum(n_outputs)), in order.

    Blocks are filled up to a multiple of rows: products of matrices of other heights
    may differ in the last bit, and a row's prediction must not depend on its
    neighbours.
    """
    with products(source.device, precision):
        blocks = [
            forward(network, _fill(inputs), precision)[: len(inputs["codes"])]
            for inputs, *_ in source.batches(PREDICT_BLOCK)
        ]
    return torch.cat(blocks).clamp(-LOGIT_LIMIT, LOGIT_LIMIT).cpu().numpy()


def _fill(inputs: dict[str, Any]) -> dict[str, Any]:
    """Rows of zeros, and empty bags, up to a multiple of ROW_MULTIPLE."""
    missing = -len(inputs["codes"]) % ROW_MULTIPLE
    if not missing:
        return inputs
    filled = dict(inputs)
    for key in ("codes", "numbers"):  # pad refuses a table without columns, torch < 2.7
        zeros = inputs[key].new_zeros(missing, inputs[key].shape[1])
        filled[key] = torch.cat([inputs[key], zeros])
    if "bags" in inputs:
        ends = [bag.offsets[-1:].expand(missing) for bag in inputs["bags"]]
        filled["bags"] = [
            bag._replace(offsets=torch.cat([bag.offsets, end]))
            for bag, end in zip(inputs["bags"], ends, strict=True)
        ]
    return filled


class Validation:
    """Losses and scores over the rows of a validation set, batch by batch.

    Parameters
    ----------
    source : Source
    tasks : Tasks
    """

    def __init__(self, source: Source, tasks: Tasks) -> None:
        self.n_rows = source.n_rows
        self.tasks = tasks
        self.total: Any = 0.0
        self._scores = Scores(tasks)
        # logits, labels and weights of rows in one piece of memory each: many small
        # results, kept between large ones that are freed, would leave it in pieces
        self.parts: list[Any] = []
        self._known: Any = False
        self._n_held = 0

    def add(self, task_loss: Tensor, *parts: Tensor | None) -> None:
        """Take in a batch: its mean losses, logits, labels and weights."""
        first = parts[0]
        assert first is not None
        n_rows = len(first)
        self.total = self.total + task_loss * n_rows
        if not self.parts or self._n_held + n_rows > len(self.parts[0]):
            self._score()
            size = max(n_rows, min(self.n_rows, KEPT_ROWS))
            self.parts = [p if p is None else _like(p, size) for p in parts]
        start, self._n_held = self._n_held, self._n_held + n_rows
        for whole, part in zip(self.parts, parts, strict=True):
            if whole is not None:
                whole[start : self._n_held] = part

    def _score(self) -> None:
        """Hand over the rows that are held."""
        if self._n_held:
            logits, labels, weights = (_array(p, self._n_held) for p in self.parts)
            known = True if weights is None else weights.any(axis=0)
            self._known, self._n_held = self._known | known, 0
            predictions = self.tasks.predict(logits)
            self._scores.add(predictions, self.tasks.unscaled(labels), weights)

    def record(self, criterion: MultiTaskLoss) -> dict[str, Any]:
        """What history keeps: the loss, and loss and score of each task.

        The loss of a task of which no label is known is NaN.
        """
        self._score()
        task_loss = self.total / self.n_rows
        return {
            "valid_loss": criterion.total(task_loss).item(),
            "valid_task_loss": np.where(self._known, task_loss.cpu(), np.nan).tolist(),
            "valid_task_score": self._scores.values(),
        }


def _like(part: Tensor, n_rows: int) -> Tensor:
    return part.new_empty(n_rows, part.shape[1])


def _array(tensor: Any, n_rows: int) -> Any:
    return None if tensor is None else tensor[:n_rows].cpu().numpy()


def monitored(record: dict[str, Any], monitor: tuple[str, int | None]) -> float:
    """The value of an epoch that early stopping watches; NaN where undefined."""
    quantity, task = monitor
    values = record[f"valid_task_{quantity}"]
    if task is not None:
        return values[task]
    if quantity == "loss":
        return record["valid_loss"]
    known = [score for score in values if not np.isnan(score)]
    return float(np.mean(known)) if known else np.nan

"""The skorch net: one optimization step, one epoch, and predictions in blocks.

skorch gives callbacks, history, components and persistence. Its path from data to batch
is replaced: a source (see ``_batches``) yields slices of tensors, and nothing waits for
the device within an epoch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PrintLog
from torch import Tensor, nn

from ..nn import label_similarity, use_generator
from ._averaging import WeightAverage
from ._precision import tensor_float_32
from ._source import ArraySource, Batch, generator_of

PREDICT_BLOCK = 4096
CHECKED_ROWS = 1024  # whose predictions must be finite after an epoch
ROW_MULTIPLE = 64
LOGIT_LIMIT = 15.0
_LISTS = (
    "train_task_loss",
    "valid_task_loss",
    "valid_task_score",
    "valid_monitor",
    "gates",
)


class MultiTaskNet(NeuralNet):
    """A skorch net over sources of batches.

    ``fit((train, valid))`` takes two sources, the second of which may be None. Per
    epoch, the history records ``train_loss``, ``train_task_loss`` (a list with one loss
    for each task), the same for ``valid``, ``valid_task_score``, ``valid_monitor``, and
    ``gates``, the trainable gates where the module has them.

    Parameters
    ----------
    n_classes : sequence of int
        Of each task, for the label similarity.
    score_tasks : callable
        ``(logits, labels, weights) -> list of float``, the validation scores of the
        tasks.
    monitor : (str, int or None)
        ``"loss"`` or ``"score"`` of one task, or, with None, the loss that is trained
        on and the mean of the scores.
    weight_averaging : float
        Decay of the moving average of the weights that validates, and remains at the
        end; 0 for none.
    precision : {"full", "tf32", "bf16"}
        Of matrix products: TensorFloat-32 where CUDA has it, or bfloat16 by autocast.
    seed : int
        Of shuffling and dropout.
    """

    def __init__(
        self,
        *args: Any,
        n_classes: Iterable[int] = (),
        score_tasks: Any = None,
        monitor: tuple[str, int | None] = ("loss", None),
        weight_averaging: float = 0.0,
        precision: str = "full",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        self.n_classes = n_classes
        self.score_tasks = score_tasks
        self.monitor = monitor
        self.weight_averaging = weight_averaging
        self.precision = precision
        self.seed = seed
        super().__init__(*args, **kwargs)

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        # PassthroughScoring needs the loss of each batch, which nobody waits for here
        return [
            ("epoch_timer", EpochTimer()),
            ("print_log", PrintLog(keys_ignored=list(_LISTS))),
        ]

    def initialize_optimizer(self, triggered_directly: bool | None = None) -> Any:
        """A rule for each group of the network's parameters."""
        groups = self.module_.parameter_groups()
        by_rule = [g for g in groups if g.get("rule") == "sgd"]
        apart = {id(p) for group in by_rule for p in group["params"]}
        named = [
            (name, p)
            for name, p in self.get_all_learnable_params()
            if id(p) not in apart
        ]
        args, kwargs = self.get_params_for_optimizer("optimizer", named)
        self.optimizer_ = self.optimizer(*args, **kwargs)
        self.gate_optimizer_ = None
        if by_rule:
            self.gate_optimizer_ = torch.optim.SGD(
                [{"params": g["params"], "lr": g["lr"]} for g in by_rule]
            )
        self.average_ = None
        # pickled together with the module, whose parameters it holds
        together = {*self.cuda_dependent_attributes_, "average_"}
        self.cuda_dependent_attributes_ = sorted(together)
        return self

    def __getstate__(self) -> dict[str, Any]:
        # the module that was given is module_, and skorch maps only that to a device
        # that exists where the pickle is read
        parts = {"module": type(self.module), "criterion": type(self.criterion)}
        return {**super().__getstate__(), **parts}

    def grow_embeddings(self, cardinalities: Any, bag_cardinalities: Any) -> None:
        """Room for further codes; rows and the optimizer's state of old ones stay."""
        generator = generator_of(self.seed, "growth", len(self.history))
        for module in list(self.module_.tables()):
            old = module.table
            positions = module.grow(
                cardinalities, bag_cardinalities, generator=generator
            )
            for group in self.optimizer_.param_groups:
                group["params"] = [
                    module.table if p is old else p for p in group["params"]
                ]
            state = self.optimizer_.state.pop(old, {})
            for key, value in state.items():
                if value.dim():  # a line for each row
                    grown = value.new_zeros(len(module.table), *value.shape[1:])
                    state[key] = grown.index_copy_(0, positions, value)
            self.optimizer_.state[module.table] = state
            if self.average_ is not None:
                self.average_.grow(old, module.table, positions)

    def trim(self) -> None:
        """Forget moments and the last step's weights; training begins them anew."""
        self.average_ = None
        for optimizer in (self.optimizer_, self.gate_optimizer_):
            if optimizer is not None:
                optimizer.state.clear()
                optimizer.zero_grad()

    def check_data(self, X: Any, y: Any = None) -> None:
        """Sources are checked where they are made."""

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """The two sources, as they were given."""
        return X

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """The source itself: each epoch asks it for its own batches."""
        return dataset

    def partial_fit(self, *args: Any, **kwargs: Any) -> MultiTaskNet:
        try:
            return super().partial_fit(*args, **kwargs)
        except _Interrupted:
            raise KeyboardInterrupt from None

    def run_single_epoch(self, iterator: Any, *args: Any, **kwargs: Any) -> None:
        if iterator is None:
            return
        try:
            with _no_denormals(), self._products():
                self._run_single_epoch(iterator, *args, **kwargs)
        except KeyboardInterrupt:
            # skorch takes it for the wish of a callback to stop, and returns normally
            raise _Interrupted from None

    def _run_single_epoch(
        self,
        iterator: Any,
        training: bool,
        prefix: str,
        step_fn: Any,
        **fit_params: Any,
    ) -> None:
        self._set_training(training)
        hooks = self._batch_hooks()
        device = iterator.device
        total: Tensor | float = 0.0
        epoch = len(self.history)
        shuffle = {}
        if training:
            if self.average_ is not None:
                self.average_.swap()  # train on, from the weights of the last step
            elif self.weight_averaging:
                self.average_ = WeightAverage(
                    self.module_.parameters(), self.weight_averaging
                )
            shuffle = {"seed": self.seed, "epoch": epoch}
            use_generator(
                self.module_, generator_of(self.seed, "dropout", epoch, device=device)
            )
        seen = _Seen(len(iterator))
        for batch in iterator.batches(self.batch_size, **shuffle):
            if hooks:
                self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            total = total + step["task_loss"] * len(batch.labels)
            if not training:
                seen.add(step["y_pred"], batch.labels, batch.weights)
            if hooks:
                self.history.record_batch(f"{prefix}_loss", step["loss"].item())
                self.history.record_batch(f"{prefix}_batch_size", len(batch.labels))
                self.notify("on_batch_end", batch=batch, training=training, **step)
        if not hooks:  # callbacks such as Checkpoint read a last batch
            self.history.new_batch()
            self.history.record_batch(f"{prefix}_batch_size", len(batch.labels))
        task_loss = total / len(iterator)
        with torch.no_grad():
            loss = self.criterion_.total(task_loss).item()
        earlier = [row.get(f"{prefix}_loss", np.inf) for row in self.history[:-1]]
        self.history.record(f"{prefix}_loss", loss)
        self.history.record(f"{prefix}_loss_best", loss < min(earlier, default=np.inf))
        self.history.record(f"{prefix}_task_loss", task_loss.tolist())
        if not training:
            self._record_validation(loss, task_loss.tolist(), seen)
            return
        if self.average_ is not None:
            self.average_.swap()
        self._set_training(False)
        with torch.inference_mode():  # the loss is from before the last step
            few = next(iter(iterator.batches(min(self.batch_size, CHECKED_ROWS))))
            finite = self._forward(few.inputs).isfinite().all().item()
        if not (finite and np.isfinite(loss)):
            raise ValueError(
                f"Training diverged in epoch {epoch}: the loss is {loss}, and the "
                f"predictions are {'finite' if finite else 'not finite'}. Lower "
                "learning_rate (or gate_learning_rate, where there is one)."
            )
        gates = self.module_.gates
        if gates is not None:
            self.history.record("gates", gates.tolist())

    def _record_validation(
        self, loss: float, task_loss: list[float], seen: _Seen
    ) -> None:
        """Scores of the tasks, and the value that early stopping watches."""
        logits, labels, weights = (
            None if whole is None else whole.cpu().numpy() for whole in seen.parts
        )
        if weights is not None:  # a task of which no label is known has no loss
            known = weights.any(axis=0)
            task_loss = np.where(known, task_loss, np.nan).tolist()
            self.history.record("valid_task_loss", task_loss)
        scores = self.score_tasks(logits, labels, weights)
        self.history.record("valid_task_score", scores)
        quantity, task = self.monitor
        values = task_loss if quantity == "loss" else scores
        if task is not None:
            value = values[task]
        else:
            value = loss if quantity == "loss" else _mean_of_known(scores)
        if np.isnan(value):
            raise ValueError(
                f"monitor={self.monitor!r} is undefined: the validation rows hold no "
                "label, or one class, of "
                f"{'every task' if task is None else f'task number {task}'}. Set aside "
                "more rows, or monitor 'loss'."
            )
        self.history.record("valid_monitor", value)

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        self._zero_grad_optimizer()
        step = self.train_step_single(batch, **fit_params)
        if self._overridden("on_grad_computed"):
            self.notify(
                "on_grad_computed",
                named_parameters=list(self._with_gradients()),
                batch=batch,
            )
        if self.average_ is not None:
            self.average_.before_step()
        self.optimizer_.step()
        if self.gate_optimizer_ is not None:
            self.gate_optimizer_.step()
        if self.average_ is not None:
            self.average_.update()
        return step

    def _with_gradients(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters by name; of a large table, only the rows that the step touches.

        Callbacks that clip or watch gradients take no sparse ones. What they change in
        place here is changed in the sparse gradient, too.
        """
        for name, parameter in self.get_all_learnable_params():
            gradient = parameter.grad
            if gradient is None or not gradient.is_sparse:
                yield name, parameter
                continue
            parameter.grad = gradient = gradient.coalesce()
            rows = parameter.detach().index_select(0, gradient.indices()[0])
            rows.grad = gradient.values()
            yield name, rows

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        inputs = batch.inputs
        similarity = self.module_.wants_label_similarity
        if similarity is not None:
            # labels reach the gates here, and only while training
            inputs = dict(inputs)
            inputs["label_similarity"] = label_similarity(
                batch.labels,
                similarity,
                weights=batch.weights,
                n_classes=self.n_classes,
            )
        step = self._losses(self._forward(inputs), batch)
        penalty = self.module_.penalty()
        (step["loss"] if penalty is None else step["loss"] + penalty).backward()
        return {key: value.detach() for key, value in step.items()}

    @torch.inference_mode()
    def validation_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        return self._losses(self._forward(batch.inputs), batch)

    def _forward(self, inputs: dict[str, Any]) -> Tensor:
        """Logits, in the precision of the parameters whatever they were made in."""
        if self.precision != "bf16":
            return self.module_(**inputs)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            return self.module_(**inputs).float()

    def _products(self) -> contextlib.AbstractContextManager[None]:
        """Matrix products of the precision that is asked for, as long as it runs."""
        on_cuda = torch.device(self.device).type == "cuda"
        if on_cuda and self.precision == "tf32":
            return tensor_float_32
        return contextlib.nullcontext()

    def _losses(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        task_loss = self.criterion_(logits, batch.labels, batch.weights)
        loss = self.criterion_.total(task_loss)
        return {"loss": loss, "task_loss": task_loss, "y_pred": logits}

    def _overridden(self, hook: str) -> bool:
        """Whether some callback wants to hear of that."""
        return any(
            getattr(type(cb), hook) is not getattr(Callback, hook)
            for _, cb in self.callbacks_
        )

    def _batch_hooks(self) -> bool:
        return self._overridden("on_batch_begin") or self._overridden("on_batch_end")

    @torch.inference_mode()
    def logits(self, source: ArraySource) -> np.ndarray:
        """Logits of all rows, (n_rows, sum(n_outputs)), in order.

        Blocks are filled up to a multiple of rows: products of matrices of other
        heights may differ in the last bit, and a row's prediction must not depend on
        its neighbours.
        """
        if self.module_.training:  # to ask all its parts takes long for one row
            self._set_training(False)
        with self._products():
            blocks = [
                self._forward(_fill(batch.inputs))[: len(batch.inputs["codes"])]
                for batch in source.batches(PREDICT_BLOCK)
            ]
        logits = torch.cat(blocks).clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        return logits.cpu().numpy()


@contextlib.contextmanager
def _no_denormals() -> Iterator[None]:
    """Take numbers below 1e-38 for zero.

    The moments of rows that have not come for a thousand steps decay to such numbers,
    and arithmetic on them takes many times as long.
    """
    before = (torch.tensor(1e-40) * 1).item() == 0  # torch sets it, but does not tell
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


class _Seen:
    """Logits, labels and weights of all rows, written into one piece of memory each.

    Many small results that are kept, between large ones that are freed, would leave
    memory in pieces that fit nothing large.
    """

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self.parts: list[Tensor | None] = []
        self._n_seen = 0

    def add(self, *parts: Tensor | None) -> None:
        if not self.parts:
            self.parts = [
                None if p is None else p.new_empty(self.n_rows, p.shape[1])
                for p in parts
            ]
        start = self._n_seen
        for whole, part in zip(self.parts, parts, strict=True):
            if part is not None:
                self._n_seen = start + len(part)
                whole[start : self._n_seen] = part


class _Interrupted(BaseException):
    """The user's interruption of an epoch, on its way past skorch."""


def _mean_of_known(scores: list[float]) -> float:
    known = [score for score in scores if not np.isnan(score)]
    return float(np.mean(known)) if known else np.nan


def _fill(inputs: dict[str, Any]) -> dict[str, Any]:
    """Rows of zeros, and empty bags, up to a multiple of ROW_MULTIPLE."""
    missing = -len(inputs["codes"]) % ROW_MULTIPLE
    if not missing:
        return inputs
    filled = {
        key: nn.functional.pad(inputs[key], (0, 0, 0, missing))
        for key in ("codes", "numbers")
    }
    if "bags" in inputs:
        filled["bags"] = [
            bag._replace(
                offsets=torch.cat([bag.offsets, bag.offsets[-1:].expand(missing)])
            )
            for bag in inputs["bags"]
        ]
    return filled

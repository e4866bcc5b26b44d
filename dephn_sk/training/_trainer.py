"""Epochs and steps of training."""

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from .._compat import warn
from .._progress import EpochProgress, clock, epochs_in_words
from ..nn import TaskNetwork, label_similarity, use_generator
from ._averaging import twin
from ._callbacks import heard_on
from ._compiled import CompiledNetwork
from ._evaluation import Network, Validation, forward, monitored, products
from ._fitted import FittedModel
from ._gradients import large_tables
from ._net import EACH_BATCH
from ._plan import FitPlan
from ._randomness import member_seed, seed_of
from ._source import Batch, Source, side_by_side
from ._state import TrainingState

CHECKED_ROWS = 256  # whose predictions must be finite after an epoch


class Known(NamedTuple):
    """Of a batch of all ranks together: what a loss is computed of."""

    logits: Any
    labels: torch.Tensor
    weights: torch.Tensor | None = None
    groups: torch.Tensor | None = None


class Trainer:
    """Trains a state by a plan.

    Parameters
    ----------
    state : TrainingState
        It is changed by training; of a fitted estimator it is a copy.
    plan : FitPlan
    """

    def __init__(self, state: TrainingState, plan: FitPlan) -> None:
        self.state = state
        self.plan = plan
        self._precision = plan.learned.template.precision
        # the latter for torch's own layers
        self._generator = torch.Generator(plan.train.device)
        self._generators = self._generator, torch.default_generator
        self._ranks = plan.ranks
        self._compiled: CompiledNetwork | None = None
        if plan.learned.template.compile:
            whole = min(plan.batch_size, plan.train.n_rows)
            own = len(range(self._ranks.rank, whole, self._ranks.size))
            self._compiled = CompiledNetwork(state.network, own, self._generators)
        self._last: TaskNetwork | None = None
        self._divided = self._watched = False
        self._told = plan.progress(shown=False)
        self._pass: Iterator[Batch] | None = None  # over the rows, which is not done

    @contextlib.contextmanager
    def told(self) -> Iterator[EpochProgress]:
        """Within it, print how far training is where the estimator is verbose."""
        verbose = self.plan.learned.template.verbose == 1 and not self._ranks.rank
        with self.plan.progress(verbose) as self._told:
            yield self._told
            self._told.keep(self._end())

    def _end(self) -> str:
        """Why training has ended, for people, and what it has come to."""
        state, until, passed = self.state, self.plan.until, self._told.passed
        why = "the limit of epochs" if state.epoch >= until else "a callback"
        if state.is_over and not state.stopped:
            why = "early stopping"
        text = f"{state.epoch} of {epochs_in_words(until)} in {clock(passed)}"
        text += f", ended by {why}"
        best = state.stopping
        if best is not None and best.value is not None:
            value = f"{self._told.watched} {best.value:.4f}"
            return f"{text}; epoch {best.epoch} is kept, {value}"
        return "; ".join(filter(None, [text, self._told.come_to]))

    def run(
        self, after_step: Callable[[TrainingState], Any] | None = None
    ) -> Generator[dict[str, Any]]:
        """Train for the plan's epochs, at most; yield the record of each.

        As in skorch, a KeyboardInterrupt that a callback raises between epochs is its
        wish to stop; any other ends training.

        Parameters
        ----------
        after_step : callable, default=None
            Is given the state after each step but the last of an epoch. From that state
            a run can be resumed, as from the one at each record that is yielded.

        Yields
        ------
        dict
        """
        state, net = self.state, self.state.net
        self._ranks.on(self.plan.train.device)
        with heard_on(self._ranks.rank, net):
            state.begin(self.plan.train)
            self.divide(after_step is not None)
            if state.epoch and not state.step:
                self._keep_last()  # of a run that is resumed
            state.begin_passes(self.plan.steps, self.plan.pass_steps)
            done = state.steps_done
            rows = self.plan.rows_between(done - state.step, done)
            self._told.begin(state.epoch, rows)
            with _no_denormals(), products(self.plan.train.device, self._precision):
                while not state.is_over and state.epoch < self.plan.until:
                    net.module_ = state.network  # for callbacks that freeze parts of it
                    if self._notified("on_epoch_begin"):
                        del net.history[-1]  # an epoch that never was
                        break
                    if state.step:
                        state.restore(within=True)
                    self._epoch(after_step)
                    yield net.history[-1]
            self._finish()

    def divide(self, seen_within: bool = False) -> None:
        """Let each rank step rows of its own of large tables.

        Not where callbacks see gradients, or somebody what is between steps.
        """
        net = self.state.net
        told = net.hears("on_grad_computed"), any(self.state.own_callbacks())
        heard, watched = map(any, zip(*self._ranks.all(told), strict=True))
        self._divided = not (heard or seen_within)
        self._watched = watched

    def gather(self) -> None:
        """Let each rank have the moments of all rows of large tables."""
        if self._divided:
            tables = large_tables(self.state.network)
            self._ranks.gather_lines(self.state.moments_of(tables))

    def warn_of_limit(self) -> None:
        """Say that training was ended before early stopping could."""
        state, names = self.state, self.plan.learned.template
        best = state.stopping
        if best is None or state.stopped or state.epoch < self.plan.until:
            return
        if self._ranks.rank:
            return  # rank 0 says it
        if best.epoch == state.epoch:
            warn(
                f"max_epochs={names.max_epochs} ended training in epoch {state.epoch}, "
                f"which was the best so far by monitor={names.monitor!r}. Raise "
                "max_epochs, or learning_rate.",
                ConvergenceWarning,
            )

    def _epoch(self, after_step: Callable[[TrainingState], Any] | None) -> None:
        """One epoch, or what is left of it."""
        state, plan = self.state, self.plan
        with torch.random.fork_rng(devices=[]):
            self._train(after_step)
        if state.average is not None:
            if self._divided:
                state.average.settle(self._ranks.own_blocks)
                self._ranks.gather_lines(state.average.of_tables)
            else:
                state.average.settle()
        state.net.module_ = state.evaluated
        if state.evaluated.gates is not None:
            state.net.history.record("gates", state.evaluated.gates.tolist())
        self._check_finite()
        if plan.valid is not None:
            self._validate(plan.valid)
        state.epoch += 1
        state.step, state.total = 0, None
        self._keep_last()
        if self._watched:
            self.gather()
        state.stopped = self._notified("on_epoch_end")
        # with what callbacks of rank 0 alone have recorded
        last = state.net.history[-1]
        row = self._ranks.first(lambda: dict(last))
        last.clear()
        last.update(row)
        self._told_of_epoch(last)

    def _told_of_epoch(self, row: dict[str, Any]) -> None:
        """Say what an epoch has come to, beside the best so far."""
        best = self.state.stopping
        value = row.get("valid_monitor", row["train_loss"])
        if best is None or best.value is None:
            self._told.end_epoch(value)
        else:
            self._told.end_epoch(value, best.value, best.epoch)

    def _keep_last(self) -> None:
        """Keep an epoch for whoever interrupts the next one."""
        state, plan = self.state, self.plan
        if plan.before is None and state.stopping is None:
            more = state.epoch < plan.until
            self._last = twin(state.evaluated) if more else state.evaluated

    def _notified(self, event: str) -> bool:
        """Tell callbacks of an epoch; whether one of them, on any rank, wishes to stop.

        Before a single epoch is whole, there is nothing to stop with.
        """
        given = {"dataset_train": self.plan.train, "dataset_valid": self.plan.valid}
        wish = False
        try:
            self.state.net.notify(event, **given)
        except KeyboardInterrupt:
            if not self.state.epoch:
                raise
            wish = True
        return any(self._ranks.all(wish))

    def _finish(self) -> None:
        """Show the network that predicts; what callbacks load is theirs alone."""
        state, net = self.state, self.state.net
        self.gather()
        net.module_ = best = state.best().eval()
        if net.hears("on_train_end"):
            kept = state.state()
            net.module_ = shown = twin(best)
            net.notify("on_train_end", X=self.plan.train, y=None)
            state.keep(kept)
            if all(map(torch.equal, shown.parameters(), best.parameters())):
                net.module_ = best
        self._show_as_first(best)

    def _show_as_first(self, best: TaskNetwork) -> None:
        """Show what callbacks of rank 0 alone have loaded there."""
        net = self.state.net

        def loaded() -> dict[str, Any] | None:
            found = net.module_.state_dict().items()
            return None if net.module_ is best else {k: w.cpu() for k, w in found}

        weights = self._ranks.first(loaded)
        if weights is not None and self._ranks.rank:
            device = self.plan.train.device
            net.module_ = twin(best, {k: w.to(device) for k, w in weights.items()})

    # ------------------------------------------------------------ what is left behind

    def fitted(self) -> FittedModel:
        """What training has come to."""
        return self._model(self.state, self.state.net.module_)

    def snapshot(self) -> FittedModel:
        """The model as it is shown now, which later epochs leave alone."""
        state = self.state.trimmed(twin(self.state.evaluated))
        return FittedModel(self.plan.learned, state.network, state)

    def interrupted(self) -> FittedModel | None:
        """The best of the epochs that are whole, or the last where none is watched."""
        state, network = self.state, self._last
        if state.stopping is not None and state.stopping.weights is not None:
            network = state.best()
        return None if network is None else self._model(state.trimmed(network), network)

    def _model(self, state: TrainingState, network: TaskNetwork) -> FittedModel:
        stopping = self.state.stopping
        kept = None if stopping is None else stopping.epoch or None
        return FittedModel(self.plan.learned, network, state, kept)

    # ------------------------------------------------------------ steps

    def _train(self, after_step: Callable[[TrainingState], Any] | None) -> None:
        """The steps of an epoch that are not yet done, and its loss."""
        state, net, source = self.state, self.state.net, self.plan.train
        net.module_ = state.network.train()
        net.criterion_.train()
        use_generator(state.network, self._generator, self._ranks.share)
        done, plan = state.steps_done, self.plan
        first, end = done - state.step, done - state.step + plan.steps
        batches = self._rest_of_epoch(source, done, end)
        sizes = [plan.rows_between(i, i + 1) for i in range(first, end)]
        for step in self._batches("train", self._step, batches, sizes, state.step):
            loss = step["task_loss"] * step["known"].labels.shape[-2]
            state.total = loss if state.total is None else state.total + loss
            state.step += 1
            if after_step and state.step < plan.steps:
                after_step(state)
        net.history.record("train_batch_count", plan.steps)
        state.network.eval()
        net.criterion_.eval()
        task_loss = state.total / plan.rows_between(first, end)
        total = net.criterion_.total(task_loss).item()
        self._record({"train_loss": total, "train_task_loss": task_loss.tolist()})

    def _rest_of_epoch(self, source: Source, step: int, end: int) -> Iterator[Batch]:
        """The batches of steps counted over all passes: of a pass, and of the next."""
        while step < end:
            done, start = divmod(step, self.plan.pass_steps)
            if self._pass is None:
                number = self.state.passes[0] + done
                self._pass = self._shuffled(source, number, start)
            n = min(end - step, self.plan.pass_steps - start)
            yield from islice(self._pass, n)
            step += n
            if start + n == self.plan.pass_steps:
                self._pass = None  # which frees what it holds

    def _shuffled(self, source: Source, epoch: int, start: int) -> Iterator[Batch]:
        """What is left of a pass; each member has the rows in an order of its own.

        Members that see the same rows at the same time err more alike.
        """
        state, n = self.state, self.state.network.n_members
        order = {"epoch": epoch, "start": start, **self._ranks.place}
        seeds = [member_seed(state.seed, i) for i in range(n)]
        each = [source.batches(self.plan.batch_size, seed=s, **order) for s in seeds]
        return each[0] if n == 1 else map(side_by_side, zip(*each, strict=True))

    def _batches(
        self,
        prefix: str,
        take: Callable[[Batch], Any],
        batches: Iterator[Batch],
        sizes: Sequence[int],
        start: int = 0,
    ) -> Iterator[dict[str, Any]]:
        """Take all batches, and tell callbacks where one of them wants to hear of it.

        Some, such as Checkpoint, read a last batch where there are none to hear of.
        """
        net, history = self.state.net, self.state.net.history
        training, hooks = prefix == "train", net.hears(*EACH_BATCH)
        for batch, n_all in zip(batches, sizes[start:], strict=False):
            self._ranks.begin_batch(n_all)
            if hooks:
                net.notify("on_batch_begin", batch=batch, training=training)
            step = take(batch)
            if hooks:
                told = {key: step[key] for key in ("loss", "task_loss", "y_pred")}
                n_rows = step["known"].labels.shape[-2]
                history.record_batch(f"{prefix}_loss", step["loss"].item())
                history.record_batch(f"{prefix}_batch_size", n_rows)
                net.notify("on_batch_end", batch=batch, training=training, **told)
            self._told.add(n_all)
            yield step
        if not hooks:
            history.new_batch()
            history.record_batch(f"{prefix}_batch_size", sizes[-1])

    def _step(self, batch: Batch) -> dict[str, Any]:
        """One step of the optimizers, [DEPHN] section III-E."""
        state, net = self.state, self.state.net
        seed = seed_of(state.seed, "dropout", state.epoch, state.step)
        for generator in self._generators:
            generator.manual_seed(seed)
        for optimizer in net.rules_.values():
            optimizer.zero_grad()
        step = self._losses(batch._replace(inputs=self._inputs(batch)), self._compiled)
        penalty = self._ranks.part(state.network.penalty())
        # the mean over members, each of which learns from a loss of its own
        loss = step["loss"] * state.network.n_members
        loss = loss if penalty is None else loss + penalty
        if loss.requires_grad:  # this rank may have none of the rows
            loss.backward()
        self._ranks.sum_gradients(state.network, net.criterion_, self._divided)
        if net.hears("on_grad_computed"):
            named = list(net.parameters_with_gradients())
            net.notify(
                "on_grad_computed", named_parameters=named, batch=batch, training=True
            )
        if state.average is not None:
            state.average.before_step()
        for optimizer in net.rules_.values():
            optimizer.step()
        if state.average is not None:
            state.average.update()
        if self._divided:
            self._ranks.share_rows(state.network)
        told = {key: step[key].detach() for key in ("loss", "task_loss", "y_pred")}
        return {**told, "known": step["known"]._replace(logits=None)}

    def _inputs(self, batch: Batch) -> dict[str, Any]:
        """What the network reads; labels reach its gates here, while training only."""
        kind = self.state.network.wants_label_similarity
        if kind is None:
            return batch.inputs
        tasks = self.plan.learned.tasks
        labels, weights = self._ranks.whole(batch.labels, batch.weights)
        levels, labels = tasks.n_levels, tasks.comparable(labels)
        alike = partial(label_similarity, kind=kind, n_classes=levels)
        if labels.dim() == 2:
            similarity = alike(labels, weights=weights)
        else:
            each = weights if weights is not None else [None] * len(labels)
            pairs = zip(labels, each, strict=True)
            similarity = torch.stack([alike(y, weights=w) for y, w in pairs])
        return {**batch.inputs, "label_similarity": similarity}

    def _losses(
        self, batch: Batch, compiled: CompiledNetwork | None = None
    ) -> dict[str, Any]:
        """Losses of the whole batch, and logits of this rank's rows."""
        criterion, network = self.state.net.criterion_, self.state.net.module_
        logits = self._logits(network if compiled is None else compiled, batch)
        known = Known(*self._ranks.whole(logits, *batch[1:]))
        task_loss = criterion(*known)
        loss = criterion.total(task_loss)
        told = {"loss": loss, "task_loss": task_loss, "y_pred": logits}
        return {**told, "known": known}

    def _logits(self, network: Network, batch: Batch) -> torch.Tensor:
        """The network's, or none where this rank has none of the rows."""
        *rows, _ = batch.labels.shape
        if rows[-1]:
            return forward(network, batch.inputs, self._precision)
        return batch.labels.new_empty(*rows, sum(self.plan.learned.tasks.n_outputs))

    # ------------------------------------------------------------ what an epoch gave

    def _validate(self, source: Source) -> None:
        """Losses and scores on the validation rows, and the value that is watched."""
        state = self.state
        seen = Validation(source, self.plan.learned.tasks)
        with torch.inference_mode():
            n_rows, size = source.n_rows, self.plan.batch_size
            batches = source.batches(size, **self._ranks.place)
            sizes = [min(size, n_rows - i) for i in range(0, n_rows, size)]
            for step in self._batches("valid", self._losses, batches, sizes):
                known = step["known"]
                seen.add(step["task_loss"], known.logits, known.labels, known.weights)
            state.net.history.record("valid_batch_count", len(sizes))
            record = self._ranks.first(partial(seen.record, state.net.criterion_))
        value = monitored(record, self.plan.monitor)
        if np.isnan(value):
            raise ValueError(self.plan.undefined_monitor())
        self._record({**record, "valid_monitor": value})
        if state.stopping is not None:
            state.stopping.see(value, state.epoch + 1, state.evaluated)

    def _record(self, values: dict[str, Any]) -> None:
        """Keep an epoch's numbers, and whether its loss is the lowest so far."""
        history = self.state.net.history
        for key, value in values.items():
            history.record(key, value)
            if key in ("train_loss", "valid_loss"):
                earlier = [row.get(key, np.inf) for row in history[:-1]]
                history.record(f"{key}_best", value < min(earlier, default=np.inf))

    @torch.inference_mode()
    def _check_finite(self) -> None:
        """Raise where training has diverged; the loss is from before the last step."""
        loss = self.state.net.history[-1, "train_loss"]
        few = min(self.plan.batch_size, CHECKED_ROWS)
        batch = next(iter(self.plan.train.batches(few, **self._ranks.place)))
        logits = self._logits(self.state.evaluated, batch)
        finite = all(self._ranks.all(bool(logits.isfinite().all())))
        if finite and np.isfinite(loss):
            return
        raise ValueError(
            f"Training diverged in epoch {self.state.epoch + 1}: the loss is {loss}, "
            f"and the predictions are {'finite' if finite else 'not finite'}. Lower "
            "learning_rate (or gate_learning_rate, where there is one)."
        )


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

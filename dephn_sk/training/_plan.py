"""The plan of a fit: all that can be refused, before anything is changed."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import clone

from .._compat import _safe_indexing, warn
from .._progress import EpochProgress, epochs_in_words
from ..nn import TaskNetwork
from ..preprocessing import Fields
from ..preprocessing._frames import read_columns as read_features
from ..tasks import (
    Times,
    check_losses,
    check_task_weights,
    combine,
    made_up,
    read_columns,
)
from ._averaging import hollow
from ._call import FitCall, check_given
from ._callbacks import copies, kept_of
from ._encoder_memory import encoded
from ._fitted import FittedModel
from ._learned import Learned, device_of, members_asked, new_encoder
from ._log_sources import log_sources
from ._parameters import AUTO, check_goes_on
from ._randomness import draw_seed
from ._ranks import NONE, Ranks
from ._rows import CROSS_VALIDATED, Rows
from ._source import Source
from ._state import TrainingState
from ._stopping import LEAST_PATIENCE, PATIENCE_STEPS
from ._threads import chosen, work_of

if TYPE_CHECKING:
    from ._keeper import Keeper

AUTO_BATCH_SIZES, AUTO_STEPS = (64, 1024), 64
# as many epochs as early stopping lets through, or as training without it has
MOST_EPOCHS, UNWATCHED_EPOCHS = 60, 20
_COMPARED = 1_000  # rows that tell whether a column holds labels
NO_TIMES = Times()


@dataclass(frozen=True)
class FitPlan:
    """What a fit is going to do; making it changes nothing.

    Attributes
    ----------
    learned : Learned
        Parameters, tasks, encoder and base rates.
    train : Source
    valid : Source or None
    epochs, batch_size, seed : int
    monitor : (str, int or None)
        ``"loss"`` or ``"score"``, and the index of a task or None for all.
    before : FittedModel or None
        From which training goes on.
    rows : Rows or None
        Few rows, whose cross-validation is to say how many epochs there are to be.
    n_folds : int
        Of the cross-validation that has said it; 0 where there was none.
    ranks : Ranks
        The processes that train together, each of which has the same plan.
    """

    learned: Learned
    train: Source
    valid: Source | None
    epochs: int
    batch_size: int
    seed: int
    monitor: tuple[str, int | None]
    before: FittedModel | None = None
    rows: Rows | None = None
    n_folds: int = 0
    ranks: Ranks = NONE

    @classmethod
    def of(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        epochs: int | str,
        before: FittedModel | None = None,
        classes: Any = None,
        validation: tuple[Any, Any] = (None, None),
        groups: Any = None,
        times: Times = NO_TIMES,
        grows: bool = False,
        keeper: Keeper | None = None,
    ) -> FitPlan:
        """Read and check everything.

        Where the plan `grows`, new categories get rows, and none are set aside.
        """
        template = template_of(estimator)
        check_given(X, y, validation, times, sample_weight, groups)
        if before is not None:
            template._validate_params()  # which scikit-learn spares a later partial_fit
            check_goes_on(template, before.template)
        seed = before.state.seed if before else _new_seed(template, keeper)
        given = X, y, sample_weight, validation, groups, times, classes, seed
        crew = NONE if keeper is None else keeper.ranks
        call = FitCall(template, *given, before, grows).read(crew)
        found = log_sources(call) if call.is_log else table_sources(call, keeper)
        learned, train, valid, rows = found
        monitor = template._monitored(learned.tasks)
        batch_size = _rows_in_batch(template.batch_size, train.n_rows)
        plan = cls(learned, train, valid, 0, batch_size, seed, monitor, before)
        try:
            plan = plan if keeper is None else keeper.see_plan(plan)
        except BaseException:
            plan.close()
            raise
        if epochs != AUTO:
            return replace(plan, epochs=int(epochs))
        few = train.n_rows in CROSS_VALIDATED and template.early_stopping == AUTO
        plan = replace(plan, rows=rows if few and valid is None else None)
        n_passes = MOST_EPOCHS if plan.stops else UNWATCHED_EPOCHS
        return replace(plan, epochs=-(-n_passes * plan.pass_steps // plan.steps))

    def close(self) -> None:
        """Free what its sources have taken beside memory."""
        self.train.close()

    @property
    def stops(self) -> bool:
        """Whether early stopping may end training."""
        return self.valid is not None and bool(self.learned.template.early_stopping)

    @property
    def patience(self) -> int:
        """Epochs without improvement after which early stopping ends training."""
        given = self.learned.template.n_epochs_no_change
        if given != AUTO:
            return int(given)
        return max(LEAST_PATIENCE, -(-PATIENCE_STEPS // self.steps))

    @property
    def pass_steps(self) -> int:
        """Steps of a pass over the rows that train."""
        return -(-self.train.n_rows // self.batch_size)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        given = self.learned.template.validate_every
        if given is None or self.valid is None:
            return self.pass_steps
        return min(int(given), self.pass_steps)

    def rows_between(self, start: int, end: int) -> int:
        """Rows of the steps from one to another, counted over all passes."""
        return self._rows_before(end) - self._rows_before(start)

    def _rows_before(self, step: int) -> int:
        n_passes, within = divmod(step, self.pass_steps)
        return n_passes * self.train.n_rows + within * self.batch_size

    @property
    def decision(self) -> str:
        """How long training is going to be, and why, for people."""
        text = f"{self.train.n_rows:,} rows in batches of {self.batch_size:,}"
        epochs = epochs_in_words(self.epochs)
        if self.steps != self.pass_steps:
            epochs += f" of {self.steps:,} steps"
        if self.stops and self.valid is not None:
            text += f", {self.valid.n_rows:,} rows validate; {epochs} at most, "
            return text + f"ended by {self.patience} without improvement"
        text += f"; {epochs}"
        text += f", the best of {self.n_folds} folds" if self.n_folds else ""
        n = self.learned.n_members
        return text + (f"; {n} networks" if n > 1 else "")

    def work(self, network: TaskNetwork) -> int | None:
        """What a step of the network has to do, where threads are to follow from it."""
        if self.learned.template.n_threads != AUTO:
            return None
        n_rows = min(self.batch_size, self.train.n_rows) // self.ranks.size
        return work_of(network, n_rows, self.train.device, trains=True)

    def _decision_on_threads(self, network: TaskNetwork) -> str:
        """How many threads a step has, and why, for people; empty if that was given."""
        work = self.work(network)
        if work is None:
            return ""
        n, most = chosen(AUTO, work), torch.get_num_threads()
        why = "a batch has no work for more" if n < most else "as many as torch has"
        return f"; {n} thread{'s' * (n > 1)}, {why}"

    def tell_columns(self) -> None:
        """Print what was decided of columns, where the estimator is verbose."""
        chosen = self.learned.encoder.report_.decisions
        shown = self.learned.template.verbose and not self.ranks.rank
        if shown and chosen and self.before is None:
            print("; ".join(chosen))

    def progress(self, shown: bool) -> EpochProgress:
        """A line that says how far training is."""
        n_rows, watched = self.rows_between(0, self.steps), "train loss"
        if self.valid is not None:
            n_rows += self.valid.n_rows
            (kind, task), names = self.monitor, self.learned.tasks.names
            watched = f"valid {kind}" + ("" if task is None else f" of {names[task]!r}")
        return EpochProgress(
            *(self.until, n_rows, shown), watched=watched, stops=self.stops
        )

    def fold(self, rows: Rows, seed: int) -> FitPlan:
        """A plan for some of the rows, beside others that validate, heard by nobody."""
        template = self.learned.template
        quiet = {"callbacks": None, "verbose": 0, "early_stopping": False}
        quiet["validate_every"] = None  # epochs are passes, as of all rows together
        quiet["compile"] = False  # which takes longer than the fold
        template = type(template)(**{**template.get_params(deep=False), **quiet})
        learned, fields = _learned(template, rows, None, False, seed)
        sources = _sources(learned, fields, rows, None, None)
        loss = "loss", None
        plan = FitPlan(learned, *sources, MOST_EPOCHS, self.batch_size, seed, loss)
        return replace(plan, ranks=self.ranks)

    @property
    def until(self) -> int:
        """How many epochs there will be, with those before."""
        return self.epochs + (self.before.state.epoch if self.before else 0)

    def begin(self) -> TrainingState:
        """A state to train: a new one, or a copy of the one before."""
        before, template = self.before, self.learned.template
        if before is None:
            network, kept = self.learned.network(self.seed), {}
        else:
            network = before.state.network
            network = copy.deepcopy(network, hollow(network))
            kept = kept_of(before.net, template.callbacks, before.template.callbacks)
        if template.verbose and not self.ranks.rank:
            print(self.decision + self._decision_on_threads(network))
        state = self.learned.state(
            network,
            kept,
            seed=self.seed,
            stops=self.patience if self.stops else None,
            epochs=self.epochs,
            batch_size=self.batch_size,
            device=self.train.device,
        )
        if before is not None:
            self._go_on(state, before, may_go_on=kept.keys())
        return state

    def _go_on(
        self, state: TrainingState, before: FittedModel, may_go_on: Set[str]
    ) -> None:
        """Let a new state be where the one before has come to, schedules included."""
        template, anew = self.learned.template, state.settings()
        state.load(before.state.state())
        same_rate = template.learning_rate == before.template.learning_rate
        if not (same_rate and state.schedules.keys() <= may_go_on):
            state.restart_schedules(anew)
        state.set_weight_decay(template.weight_decay)
        state.new_run()
        sizes, smaller = (
            (encoder.cardinalities_, encoder.bag_cardinalities_)
            for encoder in (self.learned.encoder, before.learned.encoder)
        )
        if sizes != smaller:
            state.grow(*sizes)

    def undefined_monitor(self) -> str:
        """What is said where the validation rows do not tell what is watched."""
        task = self.monitor[1]
        names, monitor = self.learned.tasks.names, self.learned.template.monitor
        of = "every task" if task is None else f"task {names[task]!r}"
        return (
            f"monitor={monitor!r} is undefined: the validation rows hold no label, or "
            f"none that differ, of {of}. Set aside more rows, or monitor 'loss'."
        )


def table_sources(
    call: FitCall, keeper: Keeper | None
) -> tuple[Learned, Source, Source | None, Rows]:
    """What is learned of rows in memory, and these as sources."""
    template, before = call.template, call.before
    rows = Rows.read(
        *(template, call.X, call.y, call.sample_weight),
        tasks=before.tasks if before else None,
        classes=call.classes,
        groups=call.groups,
        times=call.times,
        seed=call.seed,
        sets_aside=call.sets_aside,
    )
    if keeper is not None:
        keeper.see_rows(rows, call.groups)
    check_task_weights(template.task_weights, rows.tasks)
    check_losses(template._losses(rows.tasks), template.dtype, call.groups)
    template._monitored(rows.tasks)
    learned, fields = _learned(template, rows, before, call.grows, call.seed)
    return learned, *_sources(learned, fields, rows, *call.validation), rows


def template_of(estimator: Any) -> Any:
    """An unfitted estimator of its own, with the same parameters.

    What the user's parameters hold may be changed later, and is copied.
    """
    parameters = estimator.get_params(deep=False)
    parameters["encoder"] = clone(parameters["encoder"], safe=False)
    parameters["callbacks"] = copies(parameters["callbacks"])
    template = type(estimator)(**parameters)
    template.check_parameters()
    return template


def _new_seed(template: Any, keeper: Keeper | None) -> int:
    """A seed for a fit, or that of the run which goes on."""
    if template.random_state is None and keeper is not None and keeper.seed is not None:
        return keeper.seed
    # the commit draws from a RandomState; until then a copy is asked
    return draw_seed(copy.deepcopy(template.random_state))


def _learned(
    template: Any, rows: Rows, before: FittedModel | None, grows: bool, seed: int
) -> tuple[Learned, Fields]:
    """What is learned before training, and the rows' fields."""
    changed = rows.tasks.numeric or rows.tasks.conditions or rows.delays is not None
    y = rows.compared if template.encoder is None or changed else rows.y
    given = rows.X, y, rows.counted, np.dtype(template.dtype)
    if before is not None:
        encoder = before.learned.encoder
        if grows:
            encoder, fields = encoder.grown(*given)
        else:  # the same rows, maybe, as in the fit before
            fields = encoder.encode_cross_fitted(*given)
        return replace(before.learned, template=template, encoder=encoder), fields
    encoder, fields, edges = encoded(template, new_encoder(template, seed), *given[:3])
    _warn_of_labels(rows.X, rows.y, getattr(encoder, "feature_names_in_", ()))
    start = rows.tasks.start(rows.labels.take(rows.train), rows.weights[rows.train])
    n_members = members_asked(template)
    return Learned(template, rows.tasks, encoder, edges, start, n_members), fields


def _warn_of_labels(X: Any, y: Any, names: Iterable[Any]) -> None:
    """Say which columns of X are the labels of tasks of the same name."""
    columns = [one for one in read_columns(y).columns if one.name in names]
    found = [one.name for one in columns if _is_in(X, one)]
    if found:
        warn(
            f"The columns {found} of X hold the labels of the tasks of these names. A "
            "model learns to read them there, and knows nothing of rows whose labels "
            "are still to come. Leave them out of X.",
        )


def _is_in(X: Any, labels: Any) -> bool:
    """Whether the column of the same name holds the same, as far as some rows tell."""
    rows = np.flatnonzero(labels.observed)[:_COMPARED]
    some = _safe_indexing(_safe_indexing(X, [labels.name], axis=1), rows)
    (column,) = read_features(some, [labels.name])
    try:
        distinct = column.distinct
    except ValueError:  # lists, which are no labels
        return False
    found = np.append(distinct.values.astype(object), [None])[distinct.positions]
    given = labels.values[rows].tolist()
    return len(set(given)) > 1 and given == found.tolist()


def _sources(
    learned: Learned, fields: Fields, rows: Rows, X: Any, y: Any
) -> tuple[Source, Source | None]:
    """The rows that train, and those that validate: set aside, or the user's.

    The classes of the user's weigh as in the rows that train.
    """
    template, tasks = learned.template, learned.tasks
    device = device_of(template.device)
    table = learned.source(fields, device)
    groups = None
    if any(one.pairs for one in learned.losses or ()):
        groups = rows.codes(rows.train)
    own, labels, weights = rows.part(learned, rows.train)
    train = table.part(own, labels, weights, groups)
    if len(rows.valid):
        return train, table.part(*rows.part(learned, rows.valid))
    if X is None:
        return train, None
    labels = tasks.entire_space(tasks.read(y))
    weights = combine(labels, tasks, None, template.class_weight, rows.rates)
    weights = made_up(weights, labels, tasks, rows.rates)
    fields = learned.encoder.encode(X, dtype=np.dtype(template.dtype))
    valid = learned.source(fields, device)
    return train, valid.part(None, *learned.kept(labels, weights))


def _rows_in_batch(batch_size: Any, n_rows: int) -> int:
    """`batch_size`, or so many rows that an epoch has about as many steps."""
    if batch_size != AUTO:
        return int(batch_size)
    least, most = AUTO_BATCH_SIZES
    power: int = 2 ** int(np.log2(max(1, n_rows // AUTO_STEPS)))
    return min(most, max(least, power))

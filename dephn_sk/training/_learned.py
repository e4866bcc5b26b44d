"""What a fit knows before it trains, and what is built of that."""

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from .._suggest import did_you_mean
from ..nn import FieldEmbedding, NumericEmbedding, PlainNumbers, TaskNetwork
from ..preprocessing import FieldEncoder, Fields
from ..tasks import Labels, Tasks, check_task_weights, normalised
from ._averaging import WeightAverage
from ._callbacks import made
from ._loss import MultiTaskLoss
from ._net import MultiTaskNet
from ._parameters import ALL_OF_AUTO, AUTO, SCALAR
from ._randomness import generator_of
from ._source import ArraySource
from ._state import TrainingState
from ._stopping import BestEpoch

DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")


def device_of(name: str) -> torch.device:
    """The device of a name, or an error with the names that there are."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device={name!r} cannot be used here: {reason}. Give 'auto', 'cpu' or a "
            "device that torch finds." + did_you_mean(name, DEVICES)
        ) from None


@dataclass(frozen=True)
class Learned:
    """What a fit knows before it trains: how to build a network, and with what.

    Attributes
    ----------
    template : estimator
        Unfitted, with the parameters of the fit.
    tasks : Tasks
    encoder : FieldEncoder
        Fitted; one that has grown is another than before.
    edges : list of ndarray
        Edges of the bins of each number.
    start : ndarray of shape (sum(n_outputs),)
        Logits of the base rates.
    """

    template: Any
    tasks: Tasks
    encoder: FieldEncoder
    edges: list[NDArray]
    start: NDArray

    def network(self, seed: int) -> TaskNetwork:
        """The network with its initial values, starting from the tasks' rates."""
        template, encoder = self.template, self.encoder
        generator = generator_of(seed, "initial values")
        embedding = FieldEmbedding(
            encoder.cardinalities_,
            template.embedding_dim,
            numeric=self._numeric(generator),
            bag_cardinalities=encoder.bag_cardinalities_,
            bag_mode=encoder.bag_modes_,
            tables=encoder.tables_,
            unseen_rate=template.unseen_rate,
            dropout=template.embedding_dropout,
            generator=generator,
        )
        with torch.random.fork_rng(devices=[]):  # for torch's own layers
            torch.default_generator.manual_seed(generator.initial_seed())
            network = template.build_network(embedding, self.tasks.n_outputs, generator)
        network.start_from(torch.from_numpy(self.start))
        return network.to(getattr(torch, template.dtype))

    def _numeric(self, generator: torch.Generator) -> Any:
        """How numbers become vectors; None where there are none."""
        kind = self.template.numeric_embedding
        if kind == SCALAR:
            return PlainNumbers(len(self.edges))
        if not self.edges:
            return None
        return NumericEmbedding(
            [torch.from_numpy(e) for e in self.edges],
            self.template.embedding_dim,
            kind=ALL_OF_AUTO if kind == AUTO else kind,
            generator=generator,
        )

    def source(self, fields: Fields, device: str | torch.device) -> ArraySource:
        """Rows on a device, in the precision of the network."""
        dtype = getattr(torch, self.template.dtype)
        return ArraySource(fields, device=device, dtype=dtype)

    def kept(self, labels: Labels, weights: NDArray) -> tuple[NDArray, NDArray | None]:
        """Labels and weights as a source keeps them; None is all ones."""
        dtype, even = self.template.dtype, normalised(weights)
        values = labels.values.astype(self.tasks.label_dtype(dtype), copy=False)
        return values, None if even is None else even.astype(dtype)

    def state(
        self,
        network: TaskNetwork,
        kept: dict[str, Any],
        *,
        seed: int,
        stops: bool,
        batch_size: int,
        device: torch.device,
    ) -> TrainingState:
        """A state at its beginning, around a network; `stops`: early stopping may.

        Callbacks that are `kept` take the place of new ones of their names.
        """
        template, tasks, average = self.template, self.tasks, None
        callbacks = made(template.callbacks, kept)
        loss = MultiTaskLoss(tasks, check_task_weights(template.task_weights, tasks))
        net = MultiTaskNet(
            network,
            criterion=loss.to(getattr(torch, template.dtype)),
            optimizer__weight_decay=template.weight_decay,
            optimizer__fused=True,
            lr=template.learning_rate,
            batch_size=batch_size,
            max_epochs=template.max_epochs,
            callbacks=[(k, one) for k, one in callbacks.items() if k not in kept],
            device=str(device),
            verbose=int(template.verbose),
        ).initialize()
        held = dict(net.callbacks_) | kept
        names = ("epoch_timer", *callbacks, "print_log")
        net.callbacks_ = [(name, held[name]) for name in names]
        lower = template._monitored(tasks)[0] == "loss"
        stopping = BestEpoch(template.n_epochs_no_change, lower) if stops else None
        if template.weight_averaging:
            average = WeightAverage(network, template.weight_averaging)
        return TrainingState(net, network, seed, average, stopping)

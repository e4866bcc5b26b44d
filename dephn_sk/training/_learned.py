"""What a fit knows before it trains, and what is built of that."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from torch import Tensor

from .._suggest import did_you_mean
from ..nn import (
    FieldEmbedding,
    NetworkEnsemble,
    NumericEmbedding,
    PlainNumbers,
    TaskNetwork,
)
from ..nn._skeleton import without_memory
from ..preprocessing import FieldEncoder, Fields
from ..tasks import Labels, TaskLoss, Tasks, check_task_weights, normalised
from ._averaging import WeightAverage, twin
from ._callbacks import made
from ._loss import MultiTaskLoss
from ._net import MultiTaskNet
from ._parameters import ALL_OF_AUTO, AUTO, FREE, SCALAR
from ._randomness import draw_seed, generator_of, seed_of
from ._source import ArraySource, tensor_of
from ._state import TrainingState
from ._stopping import BestEpoch

DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
_LARGE = 2**24  # what any size may be, used or not


def device_of(name: str) -> torch.device:
    """The device of a name, or an error with the names that there are."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        # what is right by its name, and is not there, has no nearer name
        known = name.partition(":")[0] in DEVICES
        nearest = "" if known else did_you_mean(name, DEVICES)
        raise ValueError(
            f"device={name!r} cannot be used here: {reason}. Give 'auto', 'cpu' or a "
            "device that torch finds." + nearest
        ) from None


def new_encoder(template: Any, seed: int) -> FieldEncoder:
    """A copy of the given encoder, or one of our own; its folds have a seed."""
    if template.encoder is None:
        auto = template.target_statistics
        encoder = FieldEncoder(
            categorical_features=template.categorical_features,
            target_statistics=auto,
            min_frequency=auto,
        )
    else:
        encoder = clone(template.encoder)
    given = encoder.random_state
    folds = seed_of(seed, "folds") % 2**31 if given is None else draw_seed(given)
    encoder.set_params(random_state=folds)  # the same folds whenever it goes on
    return encoder


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
    n_members : int
        Networks that learn side by side.
    """

    template: Any
    tasks: Tasks
    encoder: FieldEncoder
    edges: list[NDArray]
    start: NDArray
    n_members: int = 1

    @property
    def losses(self) -> tuple[TaskLoss, ...] | None:
        """What each task is trained on; None where each has its own loss."""
        losses: tuple[TaskLoss, ...] | None = self.template._losses(self.tasks)
        return losses

    def network(self, seed: int) -> TaskNetwork:
        """The network with its initial values, starting from the tasks' rates."""
        network = self._build(seed)
        network.start_from(tensor_of(self.start))
        return network.to(getattr(torch, self.template.dtype))

    def rebuilt(self, weights: Mapping[str, Tensor]) -> TaskNetwork:
        """The network around weights of its `state_dict`, which are not copied.

        It takes no memory before all of them have been found to be its own.
        """
        self._check_sizes(sum(weight.numel() for weight in weights.values()))
        if self.n_members > max(1, len(weights)):
            raise ValueError(f"{self.n_members} networks need more weights than these.")
        with without_memory(len(weights)):
            skeleton = self._build(0)
            skeleton = skeleton.to(getattr(torch, self.template.dtype))
        wanted = skeleton.state_dict()
        for name in sorted(wanted.keys() ^ weights.keys()):
            raise ValueError(f"The network and its weights differ in {name!r}.")
        for name, own in wanted.items():
            check_weight(name, weights[name], own)
        network: TaskNetwork = twin(skeleton, weights)
        return network.requires_grad_(True)

    def _check_sizes(self, n_numbers: int) -> None:
        """Raise for layers of more units than there are numbers, before any is made."""
        for name, value in self.template.get_params(deep=False).items():
            sizes = value if isinstance(value, list | tuple) else [value]
            for size in sizes if name not in FREE else ():
                if isinstance(size, int | np.integer) and size > max(n_numbers, _LARGE):
                    raise ValueError(f"{name}={value!r} needs more weights than these.")

    def _build(self, seed: int) -> TaskNetwork:
        """The network, or as many members as there are."""
        n = self.n_members
        # the first has the values that it would have alone
        streams = (generator_of(seed, "initial values", i) for i in range(n))
        members = [self._member(generator) for generator in streams]
        return members[0] if n == 1 else NetworkEnsemble(members, self.tasks.pool)

    def _member(self, generator: torch.Generator) -> TaskNetwork:
        template, encoder = self.template, self.encoder
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
            network: TaskNetwork = template.build_network(
                embedding, self.tasks.n_outputs, generator
            )
        return network

    def kept_state(self, *, callbacks: bool) -> dict[str, Any]:
        """What makes it again; without `callbacks` where none are to go on."""
        template = self.template
        if not callbacks:
            parameters = template.get_params(deep=False)
            template = type(template)(**{**parameters, "callbacks": None})
        return {
            "template": template,
            "tasks": self.tasks.state(),
            "encoder": self.encoder,
            "edges": self.edges,
            "start": self.start,
            "n_members": self.n_members,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """What a `kept_state` tells; a ValueError says what cannot be."""
        template, encoder, edges = state["template"], state["encoder"], state["edges"]
        tasks, start = Tasks.from_state(state["tasks"]), state["start"]
        template._validate_params()
        template.check_parameters()
        # files of before hold what was asked for alone
        n_members = state.get("n_members", members_asked(template))
        if type(n_members) is not int or n_members < 1:
            raise ValueError(f"There cannot be {n_members!r} networks.")
        if not isinstance(encoder, FieldEncoder) or not encoder.__sklearn_is_fitted__():
            raise ValueError(f"The encoder cannot be {encoder!r}.")
        if len(edges) != len(encoder.numeric_names_):
            raise ValueError(f"{len(edges)} numbers have edges.")
        for one in (*edges, start):
            if one.ndim != 1 or one.dtype.kind != "f" or not np.isfinite(one).all():
                raise ValueError("Edges and rates are finite numbers.")
        if any(len(one) < 2 or np.any(np.diff(one) <= 0) for one in edges):
            raise ValueError("Edges increase, and there are two at least.")
        if len(start) != sum(tasks.n_outputs):
            raise ValueError(f"There are rates of {len(start)} logits.")
        return cls(template, tasks, encoder, edges, start, n_members)

    def _numeric(self, generator: torch.Generator) -> Any:
        """How numbers become vectors; None where there are none."""
        kind = self.template.numeric_embedding
        if kind == SCALAR:
            return PlainNumbers(len(self.edges))
        if not self.edges:
            return None
        return NumericEmbedding(
            [tensor_of(e) for e in self.edges],
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
        values = self.tasks.scaled(labels.values)
        values = values.astype(self.tasks.label_dtype(dtype), copy=False)
        return values, None if even is None else even.astype(dtype)

    def state(
        self,
        network: TaskNetwork,
        kept: dict[str, Any],
        *,
        seed: int,
        stops: int | None,
        epochs: int,
        batch_size: int,
        device: torch.device,
        averages: bool = True,
    ) -> TrainingState:
        """A state at its beginning, around a network.

        It `stops` after so many epochs without improvement; None is never.
        Callbacks that are `kept` take the place of new ones of their names. Without
        `averages` there are none before training goes on.
        """
        template, tasks, average = self.template, self.tasks, None
        callbacks = made(template.callbacks, kept)
        task_weights = check_task_weights(template.task_weights, tasks)
        loss = MultiTaskLoss(tasks, task_weights, self.losses)
        net = MultiTaskNet(
            network,
            criterion=loss.to(getattr(torch, template.dtype)),
            optimizer__weight_decay=template.weight_decay,
            optimizer__fused=True,
            lr=template.learning_rate,
            batch_size=batch_size,
            max_epochs=epochs,
            callbacks=[(k, one) for k, one in callbacks.items() if k not in kept],
            device=str(device),
            verbose=max(0, int(template.verbose) - 1),  # skorch's own lines
        ).initialize()
        held = dict(net.callbacks_) | kept
        names = ("epoch_timer", *callbacks, "print_log")
        net.callbacks_ = [(name, held[name]) for name in names]
        lower = template._monitored(tasks)[0] == "loss"
        stopping = None if stops is None else BestEpoch(stops, lower)
        if template.weight_averaging and averages:
            average = WeightAverage(network, template.weight_averaging)
        return TrainingState(net, network, seed, average, stopping)


def members_asked(template: Any) -> int:
    """As many networks as `n_networks` asks for; one where that is left to the rows."""
    return 1 if template.n_networks == AUTO else int(template.n_networks)


def check_weight(name: str, weight: Tensor, own: Tensor) -> None:
    """Raise where a tensor is not such as a network's own of the same name."""
    if weight.shape != own.shape or weight.dtype != own.dtype:
        raise ValueError(
            f"The network's {name!r} is {own.dtype} of shape {tuple(own.shape)}, not "
            f"{weight.dtype} of shape {tuple(weight.shape)}."
        )
    # where rows begin is no weight: it is known, and other values would lead beyond
    if not (own.is_meta or own.is_floating_point() or torch.equal(weight, own)):
        raise ValueError(f"The network's {name!r} is {own.tolist()}.")

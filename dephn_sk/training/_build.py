"""What is built for a fit: network, net, and the state at its beginning."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from .._suggest import did_you_mean
from ..nn import FieldEmbedding, NumericEmbedding, PlainNumbers, TaskNetwork
from ..preprocessing import FieldEncoder
from ..tasks import Tasks, check_task_weights
from ._callbacks import NetCallbacks
from ._loss import MultiTaskLoss
from ._net import MultiTaskNet
from ._parameters import ALL_OF_AUTO, AUTO, SCALAR
from ._randomness import generator_of
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


def build_network(
    template: Any,
    tasks: Tasks,
    encoder: FieldEncoder,
    edges: list[NDArray],
    start: NDArray,
    seed: int,
) -> TaskNetwork:
    """The network with its initial values, starting from the tasks' rates."""
    generator = generator_of(seed, "initial values")
    embedding = FieldEmbedding(
        encoder.cardinalities_,
        template.embedding_dim,
        numeric=_numeric(template, edges, generator),
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
            embedding, tasks.n_outputs, generator
        )
    network.start_from(torch.from_numpy(start))
    return network.to(getattr(torch, template.dtype))


def _numeric(
    template: Any, edges: list[NDArray], generator: torch.Generator
) -> NumericEmbedding | PlainNumbers | None:
    """How numbers become vectors."""
    kind = template.numeric_embedding
    if kind == SCALAR:
        return PlainNumbers(len(edges))
    if not edges:
        return None
    return NumericEmbedding(
        [torch.from_numpy(e) for e in edges],
        template.embedding_dim,
        kind=ALL_OF_AUTO if kind == AUTO else kind,
        generator=generator,
    )


def build_state(
    template: Any,
    tasks: Tasks,
    network: TaskNetwork,
    callbacks: NetCallbacks,
    *,
    seed: int,
    stops: bool,
    batch_size: int,
    device: torch.device,
) -> TrainingState:
    """A state at its beginning, around a network; `stops` as early stopping would."""
    weights = check_task_weights(template.task_weights, tasks)
    net = MultiTaskNet(
        network,
        criterion=MultiTaskLoss(tasks, weights).to(getattr(torch, template.dtype)),
        optimizer__weight_decay=template.weight_decay,
        optimizer__fused=True,
        lr=template.learning_rate,
        batch_size=batch_size,
        max_epochs=template.max_epochs,
        callbacks=list(callbacks.new.items()),
        device=str(device),
        verbose=int(template.verbose),
    ).initialize()
    callbacks.put_into(net)
    quantity, _ = template._monitored(tasks)
    stopping = BestEpoch(
        template.n_epochs_no_change, lower_is_better=quantity == "loss"
    )
    return TrainingState(
        net,
        seed=seed,
        weight_averaging=template.weight_averaging,
        stopping=stopping if stops else None,
    )

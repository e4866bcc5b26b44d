"""The network that trains as one graph, where torch can make one of it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .._compat import warn
from ..nn import TaskNetwork
from ..nn._dropout import Draws

_TRIALS = 3  # on CUDA, a graph is recorded by the second and replayed by the third


def how(device: torch.device) -> dict[str, Any]:
    """What `torch.compile` is told; CUDA graphs as by ``mode="reduce-overhead"``."""
    # torch's own layers draw what they draw in the plain network
    options: dict[str, Any] = {"fallback_random": True}
    if device.type == "cuda":
        options["triton.cudagraphs"] = True
    return {"backend": "inductor", "options": options}


class CompiledNetwork:
    """A network under `torch.compile` while training, with the same parameters.

    Nothing of it is kept: the network itself is what callbacks see, what is validated
    and what predicts. It is compiled for batches of one size; others, such as the last
    one of an epoch, run as they are. So does everything where the first batch cannot be
    compiled, and a warning says why.

    Parameters
    ----------
    network : TaskNetwork
    n_rows : int
        Of a whole batch.
    generators : sequence of torch.Generator
        From which it draws.
    """

    def __init__(
        self,
        network: TaskNetwork,
        n_rows: int,
        generators: Sequence[torch.Generator],
    ) -> None:
        self.network, self.n_rows = network, n_rows
        self._generators = generators
        self._graph: Callable[..., Tensor] | None = None
        self._draws: Draws | None = None
        self._fails = False

    def __call__(self, **inputs: Any) -> Tensor:
        if self._fails or inputs["codes"].shape[-2] != self.n_rows:
            return self.network(**inputs)
        if self._graph is None:
            try:
                with (
                    _unchanged(self.network, self._generators),
                    warnings.catch_warnings(),
                ):
                    warnings.simplefilter("ignore")  # torch's, of what it imports
                    self._compile(inputs)
            except Exception as error:  # whatever a compiler raises, training goes on
                self._give_up(error)
        if self._graph is None or self._draws is None:
            return self.network(**inputs)
        self._draws.draw()
        # what earlier graphs have given may be written over from here on
        torch.compiler.cudagraph_mark_step_begin()
        try:
            with self._draws.given():
                return self._graph(**inputs)
        except Exception as error:  # where a callback has frozen parameters, say
            self._give_up(error)
        with self._draws.given():
            return self.network(**inputs)

    def _compile(self, inputs: dict[str, Any]) -> None:
        """Compile both passes on a first batch, of which nothing remains."""
        if "bags" in inputs:
            raise ValueError("batches of multi-valued fields differ in size")
        self._draws = Draws(self.network, **inputs)
        graph = _graph_of(self.network, inputs["codes"].device)
        learn = [p for p in self.network.parameters() if p.requires_grad]
        for _ in range(_TRIALS):
            self._draws.draw()
            torch.compiler.cudagraph_mark_step_begin()
            with self._draws.given():
                loss = graph(**inputs).sum()
            torch.autograd.grad(loss, learn, allow_unused=True)
        self._graph = graph

    def _give_up(self, error: Exception) -> None:
        self._fails, self._graph = True, None
        cause = getattr(error, "inner_exception", error)  # what a backend has raised
        said = str(cause).strip().partition("\n")[0]
        warn(
            "compile=True, but the network cannot be compiled here, and trains as it "
            f"is: {type(cause).__name__}: {said}",
        )


def _graph_of(network: TaskNetwork, device: torch.device) -> Callable[..., Tensor]:
    def run(**inputs: Any) -> Tensor:
        logits: Tensor = network(**inputs)
        return logits

    # torch keeps graphs by code, and a few for each: this one's go when it goes
    run.__code__ = run.__code__.replace()
    graph: Callable[..., Tensor] = torch.compile(
        run, fullgraph=True, dynamic=False, **how(device)
    )
    return graph


@contextlib.contextmanager
def _unchanged(
    network: TaskNetwork, generators: Sequence[torch.Generator]
) -> Iterator[None]:
    """Put back buffers and generators, which a forward pass may move."""
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    states = [generator.get_state() for generator in generators]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)

"""Random masks of training, drawn from a generator of one's own."""

import contextlib
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling


@dataclass
class Share:
    """The rows ``rank::size`` of a batch, which one of several processes has.

    Examples
    --------
    >>> share = Share(rank=1, size=3, n_rows=5)
    >>> share.of(torch.arange(5)), share.n_own
    (tensor([1, 4]), 2)
    """

    rank: int
    size: int
    n_rows: int = 0

    @property
    def n_own(self) -> int:
        """How many they are."""
        return len(range(self.rank, self.n_rows, self.size))

    def of(self, batch: Tensor, axis: int = 0) -> Tensor:
        """This process's rows of a batch, along an axis."""
        return batch.movedim(axis, 0)[self.rank :: self.size].movedim(0, axis)


class Randomized(nn.Module):
    """Base of modules that draw random numbers while training.

    Attributes
    ----------
    generator : torch.Generator or None
        Set by whoever trains, see :func:`use_generator`, so that training neither
        reads nor moves torch's global generator; not part of a pickle.
    share : Share or None
        Set with it where the rows of the input are a share of a batch's, so that they
        get what they would get in the batch; not part of a pickle.
    """

    share: Share | None = None
    # set by `Draws`: a list that takes what is drawn for, or what was drawn before
    seen: list[tuple["Randomized", Tensor]] | None = None
    drawn: list[Tensor] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.generator: torch.Generator | None = None

    def random(self, like: Tensor) -> Tensor:
        """Random numbers for a tensor: they are drawn now, unless they were before."""
        if self.drawn is not None:
            return self.drawn.pop(0)
        if self.seen is not None:
            self.seen.append((self, like.new_empty(()).expand(like.shape)))
        return self.draw(like)

    @abstractmethod
    def draw(self, like: Tensor) -> Tensor:
        """Draw random numbers for a tensor, of which shape, type and device count."""

    def __getstate__(self) -> dict[str, object]:
        anew = {"generator": None, "share": None, "seen": None, "drawn": None}
        return {**self.__dict__, **anew}


class _Mask(Randomized):
    """Base of modules that mask entries with probability `p` while training."""

    def __init__(self, p: float = 0.0, batch_axis: int = 0) -> None:
        super().__init__()
        self.p = p
        self.batch_axis = batch_axis

    def forward(self, x: Tensor) -> Tensor:
        return self._mask(x) if self.training and self.p else x

    @abstractmethod
    def _mask(self, x: Tensor) -> Tensor:
        """The input with some entries masked, for `p` > 0."""

    def _keep(self, like: Tensor) -> Tensor:
        """Of the shape and type of a tensor: 0 with probability `p` > 0, otherwise 1.

        To the nearest 2**-16. Four entries share one random number of 64 bits, which
        takes an eighth of the time of `bernoulli_` on a CPU; a comparison that writes
        its result as numbers takes a quarter of one that has to be converted.
        """
        drawn = self.random(like)
        highest_dropped = max(1, round(self.p * 2**16)) - 1 - 2**15
        if is_compiling():
            return (drawn > highest_dropped).to(like.dtype)
        keep = torch.empty(like.shape, dtype=like.dtype, device=like.device)
        torch.gt(drawn, highest_dropped, out=keep)
        return keep

    def draw(self, like: Tensor) -> Tensor:
        shape = like.shape if self.share is None else self._of_batch(like, self.share)
        n = shape.numel()
        bits = torch.empty((n + 3) // 4, dtype=torch.int64, device=like.device)
        bits.random_(-(2**63), None, generator=self.generator)
        drawn = bits.view(torch.int16)[:n].view(shape)
        return drawn if self.share is None else self.share.of(drawn, self.batch_axis)

    def _of_batch(self, like: Tensor, share: Share) -> torch.Size:
        """The shape of the whole batch, of which a tensor holds a share of the rows."""
        shape = list(like.shape)
        if shape[self.batch_axis] != share.n_own:
            raise ValueError(
                f"{self!r} masks a tensor of shape {tuple(shape)}, but the process has "
                f"{share.n_own} of the {share.n_rows} rows of the batch. Where several "
                "processes train, tell it which axis holds the rows: batch_axis."
            )
        shape[self.batch_axis] = share.n_rows
        return torch.Size(shape)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(_Mask):
    """Zero entries with probability `p` while training, and scale up the others.

    As `torch.nn.Dropout`, but drawn from `generator` where that is set.

    Shape: any -> the same

    Parameters
    ----------
    p : float in [0, 1), default=0.0
    batch_axis : int, default=0
        Which axis holds the rows of the batch.

    Examples
    --------
    >>> dropout = Dropout(0.5)
    >>> dropout.generator = torch.Generator().manual_seed(0)
    >>> sorted(set(dropout(torch.ones(20)).tolist()))
    [0.0, 2.0]
    >>> bool(dropout.eval()(torch.ones(20)).eq(1).all())
    True
    """

    def _mask(self, x: Tensor) -> Tensor:
        return x * self._keep(x).div_(1 - self.p)


class UnseenMask(_Mask):
    """Give a code the row of unseen values, 0, with probability `p` while training.

    So that this row is trained even where the training data hold no rare values.

    Shape: ``codes (batch, n_fields)``, integer -> the same
    """

    def _mask(self, codes: Tensor) -> Tensor:
        return codes * self._keep(codes)


def use_generator(
    module: nn.Module,
    generator: torch.Generator | None,
    share: Share | None = None,
) -> None:
    """Let every random part of a module draw from one generator while training.

    Parameters
    ----------
    module : torch.nn.Module
        Its :class:`Dropout` and :class:`UnseenMask` parts are told.
    generator : torch.Generator or None
        None is torch's global generator.
    share : Share, default=None
        The rows that the module is given of each batch, where it is not given all.

    Examples
    --------
    >>> dropout = Dropout(0.5)
    >>> use_generator(nn.Sequential(dropout), torch.Generator().manual_seed(0))
    >>> dropout(torch.ones(4)).shape
    torch.Size([4])
    """
    for part in module.modules():
        if isinstance(part, Randomized):
            part.generator, part.share = generator, share


class Draws:
    """What a module draws in a forward pass, so that it can be drawn before each.

    A graph takes tensors, but no generator. Numbers are those that the module would
    draw itself: of the same shapes, in the same order.

    Parameters
    ----------
    module : torch.nn.Module
    **inputs
        On which it is run once, in training mode, to see what it draws.

    Examples
    --------
    >>> module = nn.Sequential(Dropout(0.5), Dropout(0.0), Dropout(0.5))
    >>> draws, generator = Draws(module, input=torch.ones(4)), torch.Generator()
    >>> use_generator(module, generator.manual_seed(0))
    >>> masked = module(torch.ones(4))
    >>> _ = generator.manual_seed(0)
    >>> draws.draw()
    >>> with draws.given():
    ...     torch.equal(module(torch.ones(4)), masked)
    True
    """

    def __init__(self, module: nn.Module, **inputs: Any) -> None:
        self._seen: list[tuple[Randomized, Tensor]] = []
        parts = [one for one in module.modules() if isinstance(one, Randomized)]
        for part in parts:
            part.seen = self._seen
        try:
            with torch.no_grad():
                module(**inputs)
        finally:
            for part in parts:
                part.seen = None

    def draw(self) -> None:
        """Draw for a pass on a batch of the same shapes."""
        self._drawn: dict[Randomized, list[Tensor]] = {p: [] for p, _ in self._seen}
        for part, like in self._seen:
            self._drawn[part].append(part.draw(like))

    @contextlib.contextmanager
    def given(self) -> Iterator[None]:
        """Give a pass that is run within it what was drawn last."""
        for part, drawn in self._drawn.items():
            part.drawn = [*drawn]
        try:
            yield
        finally:
            for part in self._drawn:
                part.drawn = None

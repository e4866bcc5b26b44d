"""Random masks of training, drawn from a generator of one's own."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn


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

    def __init__(self) -> None:
        super().__init__()
        self.generator: torch.Generator | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "generator": None, "share": None}


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
        shape = like.shape if self.share is None else self._of_batch(like, self.share)
        n = shape.numel()
        bits = torch.empty((n + 3) // 4, dtype=torch.int64, device=like.device)
        bits.random_(-(2**63), None, generator=self.generator)
        highest_dropped = max(1, round(self.p * 2**16)) - 1 - 2**15
        drawn = bits.view(torch.int16)[:n].view(shape)
        if self.share is not None:
            drawn = self.share.of(drawn, self.batch_axis)
        keep = torch.empty(like.shape, dtype=like.dtype, device=like.device)
        torch.gt(drawn, highest_dropped, out=keep)
        return keep

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

"""Random masks of training, drawn from a generator of one's own."""

from abc import abstractmethod

import torch
from torch import Tensor, nn


class Randomized(nn.Module):
    """Base of modules that draw random numbers while training.

    Attributes
    ----------
    generator : torch.Generator or None
        Set by whoever trains, see :func:`use_generator`, so that training neither
        reads nor moves torch's global generator; not part of a pickle.
    """

    def __init__(self) -> None:
        super().__init__()
        self.generator: torch.Generator | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "generator": None}


class _Mask(Randomized):
    """Base of modules that mask entries with probability `p` while training."""

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        self.p = p

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
        n = like.numel()
        bits = torch.empty((n + 3) // 4, dtype=torch.int64, device=like.device)
        bits.random_(-(2**63), None, generator=self.generator)
        highest_dropped = max(1, round(self.p * 2**16)) - 1 - 2**15
        keep = torch.empty(n, dtype=like.dtype, device=like.device)
        torch.gt(bits.view(torch.int16)[:n], highest_dropped, out=keep)
        return keep.view(like.shape)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(_Mask):
    """Zero entries with probability `p` while training, and scale up the others.

    As `torch.nn.Dropout`, but drawn from `generator` where that is set.

    Shape: any -> the same

    Parameters
    ----------
    p : float in [0, 1), default=0.0

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


def use_generator(module: nn.Module, generator: torch.Generator | None) -> None:
    """Let every random part of a module draw from one generator while training.

    Parameters
    ----------
    module : torch.nn.Module
        Its :class:`Dropout` and :class:`UnseenMask` parts are told.
    generator : torch.Generator or None
        None is torch's global generator.

    Examples
    --------
    >>> dropout = Dropout(0.5)
    >>> use_generator(nn.Sequential(dropout), torch.Generator().manual_seed(0))
    >>> dropout(torch.ones(4)).shape
    torch.Size([4])
    """
    for part in module.modules():
        if isinstance(part, Randomized):
            part.generator = generator

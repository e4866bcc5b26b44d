"""Random numbers that depend on seed, use, epoch and step alone."""

from typing import Any

import numpy as np
import torch

STREAMS = (
    *("initial values", "shuffle", "dropout", "growth", "folds", "validation"),
    "set aside",
)


def seed_of(seed: int, stream: str, epoch: int = 0, step: int = 0) -> int:
    """A seed for one use of random numbers, of 63 bits.

    Any epoch and step can be drawn again without those before it.

    >>> seed_of(0, "dropout", 3, 7) == seed_of(0, "dropout", 3, 8)
    False
    """
    # numpy drops zeros at the end
    key = (seed, 1 + STREAMS.index(stream), 1 + epoch, 1 + step)
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return int(state >> 1)


def generator_of(
    seed: int, stream: str, epoch: int = 0, *, device: str | torch.device = "cpu"
) -> torch.Generator:
    """A generator that depends on seed, use and epoch alone."""
    return torch.Generator(device).manual_seed(seed_of(seed, stream, epoch))


def member_seed(seed: int, member: int) -> int:
    """A seed for a member of an ensemble; the first has that of a network alone."""
    return seed_of(seed, "initial values", member) if member else seed


def draw_seed(random_state: Any) -> int:
    """A seed of one's own: no global generator is read or moved."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    return int(random_state)

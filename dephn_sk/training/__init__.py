"""How a network learns: from a plan to epochs and a state."""

from ._source import ArraySource

__all__ = ["ArraySource"]

"""Files that hold what was learned, and can run no code."""

from ._archive import ModelFileError
from ._checkpoint import keeper_of as keeper_of

__all__ = ["ModelFileError"]

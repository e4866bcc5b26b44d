"""Files that hold what was learned, and can run no code."""

from ._archive import ModelFileError

__all__ = ["ModelFileError"]

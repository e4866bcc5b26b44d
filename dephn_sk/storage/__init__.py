"""Files of fitted models, which run no code when they are loaded."""

from ._archive import ModelFileError
from ._card import card_of as card_of
from ._checkpoint import keeper_of as keeper_of
from ._model import load as load
from ._model import save as save
from ._objects import CLASSES
from ._objects import TRUSTED_TYPES as TRUSTED_TYPES
from ._objects import from_plain as from_plain
from ._objects import to_plain as to_plain

# public; the rest is what other packages of the library import from here
__all__ = ["CLASSES", "ModelFileError"]

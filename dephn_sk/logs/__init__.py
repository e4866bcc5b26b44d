"""Rows outside memory: files, queries and iterators, read piece by piece."""

from ._log import ALONE as ALONE
from ._log import Crew as Crew
from ._log import Log
from ._log import as_log as as_log
from ._log import check_in_memory as check_in_memory
from ._log import check_no_path as check_no_path
from ._log import is_log as is_log
from ._log import shares_of as shares_of
from ._pieces import Chunk as Chunk
from ._pieces import LogError as LogError
from ._pieces import Piece as Piece

# public; the rest is what other packages of the library import from here
__all__ = ["Log"]

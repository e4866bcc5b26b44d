"""How a frame's dtype says that a column holds codes: a word in its categories.

``"code"``, with ``"+sum"`` for the pooling of a multi-valued field and ``":name"`` for
a table that several fields share.
"""

import re

_MARK = re.compile(r"code(?:\+(mean|sum|max))?(?::(.*))?", re.DOTALL)


def mark(table: str | None, mode: str | None = None) -> str:
    """The word for codes of a table, pooled by a mode.

    >>> mark(None), mark("user"), mark("user", "sum")
    ('code', 'code:user', 'code+sum:user')
    """
    pooled = "" if mode is None else f"+{mode}"
    return f"code{pooled}" if table is None else f"code{pooled}:{table}"


def read_mark(word: object) -> tuple[str | None, str | None] | None:
    """The table and mode that a word says, or None if it says nothing of codes.

    >>> read_mark("code+sum:user"), read_mark("code"), read_mark("country")
    (('user', 'sum'), (None, None), None)
    """
    found = _MARK.fullmatch(word) if isinstance(word, str) else None
    return None if found is None else (found[2], found[1])


def marked(cardinality: int, word: str) -> list[str]:
    """The categories of codes where categories must be text."""
    return [f"{word} {code}" for code in range(cardinality)]

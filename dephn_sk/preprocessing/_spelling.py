"""What values spell: under the hash, in messages, and across types."""

import re
from datetime import UTC, date, datetime
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any

from numpy.typing import NDArray

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")


def texts(values: NDArray) -> list[str]:
    """What each value spells; whole floats spell integers, bytes the text in UTF-8."""
    listed = values.tolist()
    types = set(map(type, listed))
    if not types & {float, bytes}:
        return list(map(str, listed))
    return list(map(_text, listed))


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def shown(value: Any) -> str:
    """A value in a message or a model card, shortened and without addresses.

    >>> shown([object()])
    '[<object object>]'
    """
    try:
        text = _ADDRESS.sub("", " ".join(repr(value).split()))
    except Exception:  # whatever a repr raises; of integers, that they are too long
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:40]}…{text[-10:]}"


def spellings(values: NDArray) -> list[str]:
    """One text for whatever means the same, of whatever type it is.

    >>> import numpy as np
    >>> spellings(np.array([True, "TRUE", 2, "2.0", b"2", "02", 0.5], dtype=object))
    ['true', 'true', '2', '2', '2', '02', '0.5']
    """
    listed = values.tolist()
    if values.dtype.kind in "iu":
        return list(map(str, listed))
    return list(map(_spelling, listed))


def _spelling(value: Any) -> str:
    if isinstance(value, date):
        return _iso(value)
    text = _text(value)
    if _NUMBER.fullmatch(text):
        return _digits(text)
    if text.lower() in ("true", "false"):
        return text.lower()
    if _DATE.fullmatch(text):
        try:
            return _iso(datetime.fromisoformat(text))
        except ValueError:
            pass
    return text


def _digits(text: str) -> str:
    """A number without exponent, and without zeros at the ends."""
    if text.isdigit():
        return text
    exact = _EXACT.normalize(Decimal(text))
    return format(exact, "f") if exact else "0"


def _iso(day: date) -> str:
    """A date without its midnight; instants of any zone in UTC."""
    if not isinstance(day, datetime):
        return day.isoformat()
    if day.tzinfo is not None:
        day = day.astimezone(UTC)
    return day.isoformat().removesuffix("T00:00:00")


def shape(spelling: str) -> str:
    """What a text of `spellings` looks like."""
    if spelling in ("true", "false"):
        return "truth"
    if _NUMBER.fullmatch(spelling):
        return "number"
    if _DATE.fullmatch(spelling):
        return "instant" if spelling.endswith("+00:00") else "date"
    return "text"


def number(text: str) -> int | float | None:
    """The number that a text spells in the usual way, or None.

    >>> [number(text) for text in ("12", "2.0", "0.5", "True", "012", "a")]
    [12, 2, 0.5, 1, None, None]
    """
    if text.lower() in ("true", "false"):
        return int(text.lower() == "true")
    if not _NUMBER.fullmatch(text):
        return None
    digits = _digits(text)
    return float(digits) if "." in digits else int(digits)

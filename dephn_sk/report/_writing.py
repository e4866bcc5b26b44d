"""How numbers are written: none looks like 0, 1 or 100 % that is not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

NOTHING = "\N{EN DASH}"  # of what is not defined
LEAST = 1e-6  # of less, only that it is not 0 is said


def percent(share: float, digits: int = 1) -> str:
    """A share of 1 in percent; as many digits as tell it from none and all.

    Examples
    --------
    >>> [percent(x) for x in (0.0, 0.00047, 0.2, 0.9998, 1.0, 1e-9)]
    ['0%', '0.05%', '20.0%', '99.98%', '100%', '<0.001%']
    """
    if np.isnan(share):
        return NOTHING
    if share in (0, 1, -1):
        return f"{share:.0%}".replace("-0", "0")
    for n in range(digits, 4):
        text = f"{share:.{n}%}"
        if abs(float(text[:-1])) not in (0, 100):
            return text
    if abs(share) < 0.5:
        return "<0.001%" if share > 0 else ">-0.001%"
    over = abs(share) > 1
    return f"{'-' * (share < 0)}100.0%" if over else f"{'-' * (share < 0)}>99.999%"


def number(value: Any, digits: int = 4) -> str:
    """A number of some digits, without an exponent.

    Examples
    --------
    >>> [number(x) for x in (0.99999, 1.0, -0.0, 1.3e-5, -1e-9, 12345.6, 0.25)]
    ['>0.9999', '1', '0', '0.000013', '>-0.000001', '12,346', '0.25']
    """
    value = float(value)
    if np.isnan(value):
        return NOTHING
    if np.isinf(value) or value == 0:
        return f"{value:g}".replace("-0", "0")
    size = abs(value)
    if size < LEAST:
        return "<0.000001" if value > 0 else ">-0.000001"
    if size >= 1000:
        return f"{value:,.0f}" if size < 1e15 else f"{value:.{digits - 1}e}"
    text = f"{value:.{2 if size < 1e-4 else digits}g}"
    if size < 1 and abs(float(text)) == 1:
        below = "0." + "9" * digits
        return f">{below}" if value > 0 else f"<-{below}"
    return f"{Decimal(text):f}"


def decimals(value: float, digits: int = 3) -> str:
    """A score in a sentence: as many decimals, but no 1 or 0 that is none.

    Examples
    --------
    >>> [decimals(x) for x in (0.8, 0.99996, 1.0, 0.0)]
    ['0.800', '>0.999', '1.000', '0.000']
    """
    text = f"{value:.{digits}f}"
    if np.isnan(value) or (float(text) in (-1, 0, 1) and float(text) != value):
        return number(value, digits)
    return text.replace("-0.000", "0.000")


def listed(names: Any, most: int = 3) -> str:
    """Names in quotes, the first of them.

    Examples
    --------
    >>> listed(["age", " user id ", "a", "b"])
    "'age', ' user id ', 'a', …"
    """
    names = list(names)
    return ", ".join(map(repr, names[:most])) + (", …" if len(names) > most else "")

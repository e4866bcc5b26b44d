"""The nearest valid name, for error messages."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(value: object, options: Iterable[object]) -> str:
    """A sentence with the option nearest to `value`, or nothing.

    >>> did_you_mean("additive-sqr", ["additive-sqrt", "additive-cos"])
    " Did you mean 'additive-sqrt'?"
    """
    names = {str(option): option for option in options}
    nearest = get_close_matches(str(value), names, n=1)
    return f" Did you mean {names[nearest[0]]!r}?" if nearest else ""

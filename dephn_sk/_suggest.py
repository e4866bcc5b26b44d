"""Names out of a list, with the nearest valid one in the error message."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def did_you_mean(value: object, options: Iterable[object]) -> str:
    """A sentence with the option nearest to `value`, or nothing.

    >>> did_you_mean("additive-sqr", ["additive-sqrt", "additive-cos"])
    " Did you mean 'additive-sqrt'?"
    """
    names = {str(option): option for option in options}
    nearest = get_close_matches(str(value), names, n=1)
    return f" Did you mean {names[nearest[0]]!r}?" if nearest else ""


def check_names(
    parameter: str, given: Iterable[object], options: Collection[str]
) -> None:
    """Raise where one of the given names is none of the options."""
    for name in given:
        if name not in options:
            raise ValueError(
                f"{parameter} takes names out of {sorted(options)}, got {name!r}."
                + did_you_mean(name, options)
            )

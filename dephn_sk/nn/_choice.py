"""An argument that is one of a few options."""

from collections.abc import Sequence


def check_choice(name: str, value: str | None, options: Sequence[str | None]) -> None:
    """Raise for an unknown option, by the argument's name and its value."""
    if value not in options:
        raise ValueError(f"{name} must be one of {options}, got {value!r}.")

"""A model card."""

from typing import Any


def card_of(model: Any) -> str:
    return "# Model\n"

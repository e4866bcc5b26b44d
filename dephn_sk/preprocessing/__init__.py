"""From raw tables to fields."""

from dephn_sk.preprocessing._field_encoder import FieldEncoder
from dephn_sk.preprocessing._fields import Bag, Fields

__all__ = ["Bag", "FieldEncoder", "Fields"]

"""What a kind of column is: how it is counted, learned and turned into fields."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ._columns import CodedBag, Codes, Column
from ._plain import from_plain, made_of, to_plain
from ._settings import Settings

# Codes make a categorical field, bags a multi-valued one, and an array a numeric one.
Field = Codes | CodedBag | NDArray
Table = dict[str, Column]  # columns by their names


@dataclass(frozen=True, eq=False)
class ColumnKind(ABC):
    """A column of one kind: its settings and, after `finish`, what was learned of it.

    No method changes the object, so that a call that fails leaves no trace. A further
    kind is one subclass in a file of its own, and one entry in `_encoding.KINDS`; what
    it learns are fields of a dataclass.

    Attributes
    ----------
    name : str
        The column's.
    table : str or None
        A name that columns of one vocabulary have in common.
    role : str
        The word for it in `FieldEncoder.report_`.
    has_codes, one_value : bool
        Whether its fields are codes, and whether each row holds a single value.
    parts : tuple of type
        The classes that fields are of, for `from_state`.
    forgotten : tuple of str
        Fields that no state has.
    """

    role: ClassVar[str]
    has_codes: ClassVar[bool] = False
    one_value: ClassVar[bool] = True
    parts: ClassVar[tuple[type, ...]] = ()
    forgotten: ClassVar[tuple[str, ...]] = ()

    name: str
    table: str | None = field(default=None, kw_only=True)

    @classmethod
    @abstractmethod
    def of(cls, column: Column, settings: Settings) -> Self | None:
        """A column of this kind that has learned nothing; None if it is of another."""

    @abstractmethod
    def count(self, column: Column, weight: NDArray | None) -> Any:
        """Counts of rows; ``counts + counts`` is those of all rows together."""

    def tallied(self, column: Column, weight: NDArray | None) -> Any:
        """The same for a Tally, which needs no order."""
        return self.count(column, weight)

    @abstractmethod
    def finish(self, counts: Any) -> Self:
        """What is learned from counts alone."""

    @abstractmethod
    def encode(self, *columns: Column) -> Iterator[tuple[str, Field]]:
        """The name and the values of each field."""

    def __getstate__(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def state(self) -> dict[str, Any]:
        """All of it as arrays, numbers and text, by attribute."""
        names = [one.name for one in fields(self) if one.name not in self.forgotten]
        return {name: to_plain(getattr(self, name)) for name in names}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The column of a `state`; a ValueError says what cannot be one.

        Fields must be of their types; what a kind's `check` raises for is refused, too.
        """
        own = {key: from_plain(one, cls.parts) for key, one in state.items()}
        return made_of(cls, own)

    @property
    def is_empty(self) -> bool:
        """Whether no row that counts held a value."""
        return False

    @property
    def grows(self) -> bool:
        """Whether counts of further rows would change anything."""
        return False

    def grow(self, counts: Any) -> Self:
        """What is learned from further counts too; memory is shared."""
        return self.finish(counts) if self.grows else self

    @property
    def learner(self) -> Any:
        """What columns that share a table have in common."""
        return self

    def holding(self, learner: Any) -> Any:
        """The same column with another learner."""
        return learner

    def read_columns(self, name: str) -> tuple[str, ...]:
        """The columns that `encode` takes for the column of this name."""
        return (name,)

    def decode(self, name: str, fields: Table) -> Any:
        """The raw column of this name from encoded fields, as far as they tell."""
        return np.full(len(next(iter(fields.values()))), None, dtype=object)

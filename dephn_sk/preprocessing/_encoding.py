"""What FieldEncoder learns: how each column of a table becomes fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._choice import chosen, for_column
from dephn_sk.preprocessing._codes import Encoded
from dephn_sk.preprocessing._columns import CodedBag, Codes, Column
from dephn_sk.preprocessing._dates import DateParts
from dephn_sk.preprocessing._distinct import object_array
from dephn_sk.preprocessing._fields import Bag
from dephn_sk.preprocessing._hashing import Hashing
from dephn_sk.preprocessing._lists import read_lists
from dephn_sk.preprocessing._numbers import Scale
from dephn_sk.preprocessing._roles import BAG, CATEGORY, DATE, NUMBER, TIME, find_roles
from dephn_sk.preprocessing._target_statistics import (
    TargetStatistics,
    Tasks,
    draw_folds,
    time_blocks,
)
from dephn_sk.preprocessing._vocabulary import Vocabulary


class TableEncoding:
    """How each column becomes fields.

    Parameters
    ----------
    columns : list of Column
        The first table; the kinds of its columns decide what they become.
    params : dict
        FieldEncoder's parameters.
    from_frame : bool
        Whether the columns come from a frame, with a dtype each.
    """

    def __init__(self, columns: list[Column], params: dict[str, Any], from_frame: bool):
        self.params = params
        self.names = [column.name for column in columns]
        self.roles = find_roles(columns, params, from_frame)
        self.coders: dict[str, Any] = {}
        self.modes: dict[str, str] = {}  # of multi-valued fields
        self.dates: dict[str, DateParts] = {}
        self.scales: dict[str, Scale] = {}
        self.statistics: dict[str, TargetStatistics] = {}
        self.tasks: Tasks | None = None
        shared: dict[Any, Any] = {}
        for column in columns:
            if self.roles[column.name] in (CATEGORY, BAG):
                table = self._table(column)
                key = column.name if table is None else ("shared", table)
                if key not in shared:
                    shared[key] = self._coder(column, table)
                self.coders[column.name] = shared[key]

    def _setting(self, parameter: str, name: str, default: Any = None) -> Any:
        value = for_column(self.params[parameter], name, self.names, parameter)
        return default if value is None else value

    def _table(self, column: Column) -> str | None:
        """The name that the column's table is shared by, if it is shared."""
        if isinstance(column.values, Codes | CodedBag):
            return column.values.table
        for group in self.params["shared_vocabularies"] or ():
            names = chosen(group, self.names, "shared_vocabularies")
            if column.name in names:
                return names[0]
        return None

    def _coder(self, column: Column, table: str | None) -> Any:
        name = column.name if table is None else table
        if isinstance(column.values, Codes | CodedBag):
            coder: Any = Encoded()
        elif (n_buckets := self._setting("n_buckets", name)) is not None:
            coder = Hashing(n_buckets, self._setting("n_hashes", name, 1))
        else:
            coder = Vocabulary(
                self._setting("min_frequency", name),
                self._setting("max_categories", name),
                self.params["missing_category"],
                self.params["max_vocabulary_bytes"],
            )
        coder.table = table
        return coder

    # Learning

    def learn(
        self, columns: list[Column], weight: NDArray | None, y: Any = None
    ) -> None:
        """Learn everything from the first table."""
        by_name = {column.name: column for column in columns}
        self._count(columns, weight, required=True)
        for column in columns:
            if self.roles[column.name] == DATE:
                parts = DateParts(self._setting("date_reference", column.name))
                parts.learn(column.instants(), weight, column.name)
                self.dates[column.name] = parts
            elif self.roles[column.name] == BAG:
                self.modes[column.name] = self._mode(column)
        named = self.params["target_statistics"]
        if named is not None:
            if y is None:
                raise ValueError(
                    "This FieldEncoder requires y to be passed, but the target y is "
                    f"None: target_statistics={named!r} need labels."
                )
            self.tasks = Tasks()
            self.tasks.learn(y)
            tasks = self.tasks.read(y, len(columns[0]))
            for name in chosen(named, self.names, "target_statistics"):
                statistics = TargetStatistics(self.params["target_smoothing"])
                statistics.learn(by_name[name], tasks, weight)
                self.statistics[name] = statistics
        for name, source, numbers in self._raw_numbers(columns):
            if name in self.scales or name in self.coders:
                raise ValueError(
                    f"Column {source!r} makes a field {name!r}, which is the name of "
                    "another one. Rename one of them."
                )
            how = self._setting("scaling", source, "standard")
            if self.roles[source] == DATE and name != f"{source}_age":
                how = "none"  # sine and cosine
            scale = Scale(how, self.params["infinite"])
            scale.learn(numbers, weight, name)
            self.scales[name] = scale

    def grow(
        self, columns: list[Column], weight: NDArray | None, y: Any = None
    ) -> None:
        """Add the categories and statistics of further rows.

        Codes once given stay, and so do the scales, so that what a network has learned
        stays true.
        """
        if self.tasks is not None and y is None:
            raise ValueError("partial_fit needs y, since fit had target statistics.")
        self._count(columns, weight, required=False)
        if self.tasks is not None:
            tasks = self.tasks.read(y, len(columns[0]))
            for column in columns:
                if column.name in self.statistics:
                    self.statistics[column.name].learn(column, tasks, weight)

    def _count(
        self, columns: list[Column], weight: NDArray | None, required: bool
    ) -> None:
        for column in columns:
            if column.name not in self.coders:
                continue
            counted, member_weight = column, weight
            if self.roles[column.name] == BAG and self._has_lists(column):
                lists, rows = read_lists(
                    column, self._setting("delimiters", column.name)
                )
                counted = Column(column.name, lists.members)
                if rows is not None:
                    member_weight = np.bincount(rows, weight, len(lists))
                if member_weight is not None:
                    member_weight = np.repeat(member_weight, np.diff(lists.offsets))
            present = self.coders[column.name].count(counted, member_weight)
            if required and present == 0:
                raise ValueError(
                    f"Column {column.name!r} is missing in all rows. Leave it out, or "
                    "give it a value somewhere."
                )
        for coder in self.coders.values():
            coder.grow()

    def cross_fit(
        self, columns: list[Column], weight: NDArray | None, y: Any
    ) -> dict[str, list[NDArray]]:
        """Target statistics of the rows learned from, each from other folds only."""
        if self.tasks is None:
            return {}
        folds = None
        for column in columns:
            if self.roles[column.name] == TIME:
                folds = time_blocks(column, self.params["target_folds"])
        if folds is None:
            folds = draw_folds(
                self.params["target_folds"],
                len(columns[0]),
                y,
                self.params["random_state"],
            )
        tasks = self.tasks.read(y, len(columns[0]))
        return {
            column.name: self.statistics[column.name].cross_fit(
                column, tasks, weight, folds
            )
            for column in columns
            if column.name in self.statistics
        }

    # Encoding

    def codes(self, columns: list[Column]) -> Iterator[tuple[str, Codes]]:
        """Each categorical field's name and codes."""
        for column in columns:
            if self.roles[column.name] == CATEGORY:
                coder = self.coders[column.name]
                codes = coder.encode(column)
                column.forget()
                yield column.name, Codes(codes, coder.cardinality, coder.table)

    def numbers(
        self,
        columns: list[Column],
        statistics: dict[str, list[NDArray]] | None = None,
    ) -> Iterator[tuple[str, NDArray]]:
        """Each numeric field's name and scaled numbers."""
        for name, _, numbers in self._raw_numbers(columns, statistics):
            yield name, self.scales[name].apply(numbers, name)

    def _raw_numbers(
        self,
        columns: list[Column],
        statistics: dict[str, list[NDArray]] | None = None,
    ) -> Iterator[tuple[str, str, NDArray]]:
        """Each numeric field's name, its column's name, and its numbers."""
        for column in columns:
            name = column.name
            if self.roles[name] == NUMBER:
                yield name, name, column.numbers()
            elif self.roles[name] == DATE:
                parts = self.dates[name]
                encoded = parts.encode(column.instants())
                for part, numbers in zip(parts.parts, encoded, strict=True):
                    yield f"{name}_{part}", name, numbers
        for column in columns:
            name = column.name
            if name in self.statistics:
                fields = (statistics or {}).get(name)
                fields = fields or self.statistics[name].encode(column)
                rates = [
                    f"{task}_rate" if task else "rate" for task in self.tasks.names
                ]
                for part, numbers in zip(["count", *rates], fields, strict=True):
                    yield f"{name}_{part}", name, numbers

    def bags(self, columns: list[Column]) -> Iterator[tuple[str, CodedBag]]:
        """Each multi-valued field's name and bags."""
        by_name = {column.name: column for column in columns}
        weights_of = self.params["bag_weights"] or {}
        weights_of = {
            name: by_name[for_column(weights_of, name, self.names, "bag_weights")]
            for name in self.modes
            if for_column(weights_of, name, self.names, "bag_weights") is not None
        }
        for name, mode in self.modes.items():
            coder = self.coders[name]
            bag = self._bag(by_name[name])
            if name in weights_of:
                bag = self._weighted(bag, name, weights_of[name])
            yield name, CodedBag(bag, coder.cardinality, coder.table, mode)

    def _has_lists(self, column: Column) -> bool:
        """Whether a multi-valued field's column holds lists, and not values to hash."""
        delimiter = self._setting("delimiters", column.name)
        hashed = isinstance(self.coders[column.name], Hashing)
        return delimiter is not None or not hashed or column.kind in ("list", "code")

    def _mode(self, column: Column) -> str:
        if isinstance(column.values, CodedBag):
            return column.values.mode
        if not self._has_lists(column):
            return "sum"  # of the rows of several hashes
        return self._setting("bag_mode", column.name, "mean")

    def _bag(self, column: Column) -> Bag:
        coder = self.coders[column.name]
        if not self._has_lists(column):
            codes = coder.encode(column)
            ends = np.arange(len(codes) + 1) * codes.shape[1]
            return Bag(codes.ravel(), ends)
        lists, rows = read_lists(column, self._setting("delimiters", column.name))
        codes = coder.encode(Column(column.name, lists.members)).astype(np.int32)
        ends = lists.offsets
        if codes.ndim == 2:
            codes, ends = codes.ravel(), ends * codes.shape[1]
        weights = None
        if isinstance(column.values, CodedBag):
            weights = column.values.bag.weights
        bag = Bag(codes, ends, weights)
        return bag if rows is None else bag.take(rows)

    def _weighted(self, bag: Bag, name: str, weights: Column) -> Bag:
        """The bag with its members' weights, which are a column of lists too."""
        lists, rows = read_lists(weights, self._setting("delimiters", name))
        numbers = Column(weights.name, lists.members).numbers()
        given = Bag(numbers, lists.offsets)
        given = given if rows is None else given.take(rows)
        n_hashes = getattr(self.coders[name], "n_hashes", 1)
        lengths = np.diff(bag.offsets) // n_hashes
        different = np.diff(given.offsets) != lengths
        if different.any():
            row = int(np.argmax(different))
            raise ValueError(
                f"Column {name!r} has {lengths[row]} members in row {row}, but its "
                f"weights {weights.name!r} have {np.diff(given.offsets)[row]}."
            )
        if not np.isfinite(given.members).all():
            raise ValueError(
                f"Column {weights.name!r} holds weights that are not finite."
            )
        return Bag(bag.members, bag.offsets, np.repeat(given.members, n_hashes))

    def target_statistics(self, columns: list[Column]) -> dict[str, list[NDArray]]:
        """Target statistics from all rows learned from."""
        return {
            column.name: self.statistics[column.name].encode(column)
            for column in columns
            if column.name in self.statistics
        }

    # What was learned

    @property
    def categorical_names(self) -> tuple[str, ...]:
        """The categorical fields."""
        return tuple(name for name in self.coders if self.roles[name] == CATEGORY)

    def cardinalities(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """The number of codes of each of these fields."""
        return tuple(self.coders[name].cardinality for name in names)

    def tables(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """A number for the table of each of these fields."""
        numbers: dict[int, int] = {}
        for name in names:
            numbers.setdefault(id(self.coders[name]), len(numbers))
        return tuple(numbers[id(self.coders[name])] for name in names)

    def vocabularies(self) -> dict[str, NDArray]:
        """The values of each field that has a vocabulary."""
        return {
            name: coder.values
            for name, coder in self.coders.items()
            if isinstance(coder, Vocabulary)
        }

    def report(self) -> Iterator[tuple[str, str, int | None, float | None, float]]:
        """A row of the report for each field."""
        for name in (*self.categorical_names, *self.modes):
            coder = self.coders[name]
            shares = coder.rare_share, coder.missing_share
            yield name, self.roles[name], coder.cardinality, *shares
        for name, scale in self.scales.items():
            yield name, NUMBER, None, None, scale.missing_share

    # Decoding

    def decode(self, columns: list[Column]) -> dict[str, NDArray]:
        """The raw columns of encoded ones, as far as the codes tell."""
        encoded = {column.name: column for column in columns}
        raw = {}
        for name in self.names:
            role = self.roles[name]
            if role == CATEGORY:
                raw[name] = self.coders[name].decode(_as_codes(encoded[name]))
            elif role == BAG:
                bag = encoded[name].values.bag
                values = self.coders[name].decode(bag.members)
                lists = np.split(values, bag.offsets[1:-1])
                raw[name] = object_array(list(map(np.ndarray.tolist, lists)))
            elif role == NUMBER:
                raw[name] = self.scales[name].invert(encoded[name].numbers())
            elif role == DATE:
                age = f"{name}_age"
                age = self.scales[age].invert(encoded[age].numbers())
                raw[name] = self.dates[name].decode(age)
        return raw


def _as_codes(column: Column) -> NDArray:
    """A transformed categorical column as integers."""
    if isinstance(column.values, Codes):
        return column.values.codes.astype(np.int64)
    return np.nan_to_num(column.numbers()).astype(np.int64)

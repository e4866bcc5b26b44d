"""What FieldEncoder learns: how each column of a table becomes fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._bags import MultiValued
from dephn_sk.preprocessing._choice import chosen, for_column
from dephn_sk.preprocessing._codes import Encoded
from dephn_sk.preprocessing._columns import CodedBag, Codes, Column
from dephn_sk.preprocessing._dates import DateParts
from dephn_sk.preprocessing._distinct import object_array
from dephn_sk.preprocessing._distribution import Distribution
from dephn_sk.preprocessing._hashing import Hashing
from dephn_sk.preprocessing._numbers import Scale, count_numbers, finite
from dephn_sk.preprocessing._roles import (
    BAG,
    CATEGORY,
    DATE,
    DURATION,
    NUMBER,
    TIME,
    find_roles,
    shared_tables,
    weights_of_bags,
)
from dephn_sk.preprocessing._target_statistics import (
    TargetStatistics,
    Tasks,
    draw_folds,
    time_blocks,
)
from dephn_sk.preprocessing._vocabulary import Vocabulary

# By column: log count and rates, as fields.
Statistics = dict[str, list[NDArray]]


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
        self.coders: dict[str, Any] = {}  # of categorical and multi-valued fields
        self.bags: dict[str, MultiValued] = {}
        self.dates: dict[str, DateParts] = {}
        self.scales: dict[str, Scale] = {}  # of numeric fields
        self.missing_shares: dict[str, float] = {}
        self.distributions: dict[str, Distribution] = {}
        self.statistics: dict[str, TargetStatistics] = {}
        self.tasks: Tasks | None = None
        self._weights = weights_of_bags(params, self.names)
        heads = shared_tables(params, columns)
        shared: dict[str, Any] = {}
        for column in columns:
            name, role = column.name, self.roles[column.name]
            if role not in (CATEGORY, BAG):
                continue
            is_coded = isinstance(column.values, Codes | CodedBag)
            table = column.values.table if is_coded else heads.get(name)
            coder = shared.get(table) if table is not None else None
            if coder is None and is_coded:
                coder = Encoded(column.values.cardinality, table)
            elif coder is None:
                coder = self._coder(table or name)
                coder.table = table
            elif is_coded and column.values.cardinality != coder.cardinality:
                raise ValueError(
                    f"Column {name!r} holds codes of {column.values.cardinality} rows "
                    f"of the table {table!r}, but another column has "
                    f"{coder.cardinality}. Encode both with the same FieldEncoder."
                )
            if table is not None:
                shared[table] = coder
            self.coders[name] = coder
            if role == BAG:
                self.bags[name] = self._multi_valued(column, coder)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"distributions": {}}

    def _setting(self, parameter: str, name: str, default: Any = None) -> Any:
        value = for_column(self.params[parameter], name, self.names, parameter)
        return default if value is None else value

    def _coder(self, name: str) -> Vocabulary | Hashing:
        n_buckets = self._setting("n_buckets", name)
        if n_buckets is not None:
            return Hashing(n_buckets, self._setting("n_hashes", name, 1))
        return Vocabulary(
            self._setting("min_frequency", name),
            self._setting("max_categories", name),
            self.params["missing_category"],
            self.params["max_vocabulary_bytes"],
        )

    def _multi_valued(self, column: Column, coder: Any) -> MultiValued:
        if isinstance(column.values, CodedBag):
            return MultiValued(coder, column.values.mode, None, True)
        delimiter = self._setting("delimiters", column.name)
        if delimiter is None and column.kind != "list":
            # the rows of a value's several hashes
            return MultiValued(coder, "sum", None, False)
        mode = self._setting("bag_mode", column.name, "mean")
        return MultiValued(coder, mode, delimiter, True)

    # Learning

    def learn(
        self, columns: list[Column], weight: NDArray | None, y: Any = None
    ) -> None:
        """Learn everything from the first table."""
        named = self.params["target_statistics"]
        if named is not None and y is None:
            raise ValueError(
                "This FieldEncoder requires y to be passed, but the target y is None: "
                f"target_statistics={named!r} need labels."
            )
        self._count(columns, weight, required=True)
        for column in columns:
            if self.roles[column.name] == DATE:
                parts = DateParts(self._setting("date_reference", column.name))
                parts.learn(column, weight)
                self.dates[column.name] = parts
        if named is not None:
            self.tasks = Tasks()
            self.tasks.learn(y)
            for name in chosen(named, self.names, "target_statistics"):
                self.statistics[name] = TargetStatistics(
                    self.params["target_smoothing"]
                )
            self._count_labels(columns, weight, y)
        for name, source, numbers in self._raw_numbers(columns):
            if name in self.scales or name in self.coders:
                raise ValueError(
                    f"Column {source!r} makes a field {name!r}, which is the name of "
                    "another one. Rename one of them."
                )
            how = self._setting("scaling", source, "standard")
            if self.roles[source] == DATE and name != f"{source}_age":
                how = "none"  # sine and cosine
            numbers = finite(numbers, name, self.params["infinite"])
            seen, missing = count_numbers(numbers, weight)
            if not seen.rows:
                raise ValueError(
                    f"Column {name!r} is missing in all rows. Leave it out, or give it "
                    "a value somewhere."
                )
            total = len(numbers) if weight is None else weight.sum()
            self.missing_shares[name] = float(missing / total)
            self.distributions[name] = seen
            self.scales[name] = Scale.of(seen, how)

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
            self._count_labels(columns, weight, y)

    def _count(
        self, columns: list[Column], weight: NDArray | None, required: bool
    ) -> None:
        for column in columns:
            if column.name not in self.coders:
                continue
            coder = self.bags.get(column.name, self.coders[column.name])
            if coder.count(column, weight) == 0 and required:
                raise ValueError(
                    f"Column {column.name!r} is missing in all rows. Leave it out, or "
                    "give it a value somewhere."
                )
        for coder in self.coders.values():
            coder.grow()

    def _count_labels(
        self, columns: list[Column], weight: NDArray | None, y: Any
    ) -> None:
        tasks = self.tasks.read(y, len(columns[0]))
        for column in columns:
            if column.name in self.statistics:
                self.statistics[column.name].learn(column, tasks, weight)

    # Encoding

    def reserve(self, columns: list[Column]) -> NDArray:
        """Memory for the codes; until they are there, columns keep positions in it."""
        categorical = [c for c in columns if self.roles[c.name] == CATEGORY]
        codes = np.empty((len(columns[0]), len(categorical)), dtype=np.int32)
        for column, room in zip(categorical, codes.T, strict=True):
            column.keep_in(room)
        return codes

    def encode_codes(self, columns: list[Column]) -> Iterator[tuple[str, Codes]]:
        """Each categorical field's name and codes."""
        for column in columns:
            if self.roles[column.name] == CATEGORY:
                coder = self._coder_for(column)
                codes = coder.encode(column)
                column.forget()
                yield column.name, Codes(codes, coder.cardinality, coder.table)

    def encode_bags(self, columns: list[Column]) -> Iterator[tuple[str, CodedBag]]:
        """Each multi-valued field's name and bags."""
        by_name = {column.name: column for column in columns}
        for name, field in self.bags.items():
            coder = self._coder_for(by_name[name])
            weights = by_name[self._weights[name]] if name in self._weights else None
            bag = field.encode(by_name[name], weights)
            yield name, CodedBag(bag, coder.cardinality, coder.table, field.mode)

    def _coder_for(self, column: Column) -> Any:
        coder = self.coders[column.name]
        if column.kind == "code" and not isinstance(coder, Encoded):
            raise ValueError(
                f"Column {column.name!r} holds codes, but held raw values in fit. Give "
                "the raw values."
            )
        return coder

    def encode_numbers(
        self, columns: list[Column], statistics: Statistics | None = None
    ) -> Iterator[tuple[str, NDArray]]:
        """Each numeric field's name and scaled numbers."""
        for name, _, numbers in self._raw_numbers(columns, statistics):
            numbers = finite(numbers, name, self.params["infinite"])
            yield name, self.scales[name].apply(numbers)

    def _raw_numbers(
        self, columns: list[Column], statistics: Statistics | None = None
    ) -> Iterator[tuple[str, str, NDArray]]:
        """Each numeric field's name, its column's name, and its numbers."""
        for column in columns:
            name = column.name
            if self.roles[name] == NUMBER:
                yield name, name, column.numbers()
            elif self.roles[name] == DURATION:
                yield name, name, column.durations()
            elif self.roles[name] == DATE:
                parts = self.dates[name]
                encoded = parts.encode(column)
                for part, numbers in zip(parts.parts, encoded, strict=True):
                    yield f"{name}_{part}", name, numbers
        if not self.statistics:
            return
        for name, fields in (statistics or self.statistics_of(columns)).items():
            parts = ("count", *self.tasks.rate_names)
            for part, numbers in zip(parts, fields, strict=True):
                yield f"{name}_{part}", name, numbers

    def statistics_of(self, columns: list[Column]) -> Statistics:
        """Target statistics from all rows learned from."""
        by_name = {column.name: column for column in columns}
        return {
            name: one.encode(by_name[name]) for name, one in self.statistics.items()
        }

    def cross_fitted_statistics(
        self, columns: list[Column], weight: NDArray | None, y: Any
    ) -> Statistics:
        """Target statistics of the rows learned from, each from other folds only."""
        if self.tasks is None:
            return {}
        by_name = {column.name: column for column in columns}
        n_rows, folds = len(columns[0]), self.params["target_folds"]
        by_time = [name for name, role in self.roles.items() if role == TIME]
        if by_time:
            fold = time_blocks(by_name[by_time[0]], folds)
        else:
            fold = draw_folds(folds, n_rows, y, self.params["random_state"])
        tasks = self.tasks.read(y, n_rows)
        return {
            name: one.cross_fit(by_name[name], tasks, weight, fold)
            for name, one in self.statistics.items()
        }

    def decode(self, columns: list[Column]) -> dict[str, Any]:
        """The raw columns of encoded ones, as far as the codes tell."""
        encoded = {column.name: column for column in columns}
        raw: dict[str, Any] = {}
        for name in self.names:
            role, coder = self.roles[name], self.coders.get(name)
            if isinstance(coder, Encoded):
                raw[name] = encoded[name].values
            elif role == CATEGORY:
                raw[name] = coder.decode(_as_codes(encoded[name]))
            elif role == BAG:
                bag = encoded[name].values.bag
                lists = np.split(coder.decode(bag.members), bag.offsets[1:-1])
                raw[name] = object_array(list(map(np.ndarray.tolist, lists)))
            elif role in (NUMBER, DURATION):
                raw[name] = self.scales[name].invert(encoded[name].numbers())
            elif role == DATE:
                age = f"{name}_age"
                age = self.scales[age].invert(encoded[age].numbers())
                raw[name] = self.dates[name].decode(age)
        return raw

    # What was learned

    @property
    def categorical_names(self) -> tuple[str, ...]:
        """The categorical fields."""
        return tuple(name for name in self.coders if name not in self.bags)

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
        for name in (*self.categorical_names, *self.bags):
            coder = self.coders[name]
            shares = coder.rare_share, coder.missing_share
            yield name, self.roles[name], coder.cardinality, *shares
        for name in self.scales:
            yield name, NUMBER, None, None, self.missing_shares[name]


def _as_codes(column: Column) -> NDArray:
    """A transformed categorical column as integers."""
    if isinstance(column.values, Codes):
        return column.values.codes.astype(np.int64)
    return np.nan_to_num(column.numbers()).astype(np.int64)

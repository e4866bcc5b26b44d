"""What FieldEncoder learns: a loop over the columns of a table."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dephn_sk.preprocessing._bags import MultiValued
from dephn_sk.preprocessing._codes import Coded
from dephn_sk.preprocessing._columns import Column
from dephn_sk.preprocessing._dates import DateParts
from dephn_sk.preprocessing._distribution import Distribution
from dephn_sk.preprocessing._hashing import Hashing
from dephn_sk.preprocessing._kind import ColumnKind, Field
from dephn_sk.preprocessing._numbers import Duration, Number, NumericKind, Scale
from dephn_sk.preprocessing._settings import Settings
from dephn_sk.preprocessing._target_statistics import TargetStatistics, find_folds
from dephn_sk.preprocessing._vocabulary import Vocabulary
from dephn_sk.tasks import KINDS as TASK_KINDS
from dephn_sk.tasks import Fraction, Labels, Tasks, read_columns

# asked in this order which takes a column
KINDS: list[type[ColumnKind]] = [
    MultiValued,
    Coded,
    Hashing,
    Vocabulary,
    DateParts,
    Duration,
    Number,
]


class TableEncoding:
    """How each column becomes fields.

    No method but `reserve` changes anything: learning gives a new object that shares
    memory with the old one.

    Parameters
    ----------
    columns : list of Column
        The first table; it decides what kind each column is of.
    params : dict
        FieldEncoder's parameters.
    from_frame : bool
        Whether the columns come from a frame, with a dtype each.
    """

    def __init__(self, columns: list[Column], params: dict[str, Any], from_frame: bool):
        self.settings = Settings(params, columns, from_frame)
        self.names = self.settings.names
        self.kinds: dict[str, ColumnKind] = {
            column.name: _kind_of(column, self.settings)
            for column in columns
            if not self.settings.makes_no_field(column.name)
        }
        self.statistics: dict[str, TargetStatistics] = {}
        self.tasks: Tasks | None = None
        self.settings.check(
            [name for name, kind in self.kinds.items() if kind.has_codes],
            self.bags,
            [name for name, kind in self.kinds.items() if kind.one_value],
        )
        self._check_tables()

    def _check_tables(self) -> None:
        """Refuse codes of one table that were made by two encoders."""
        first: dict[Any, ColumnKind] = {}
        for name, kind in self.kinds.items():
            other = first.setdefault(self._table_of(name), kind)
            if kind.cardinality != other.cardinality:
                raise ValueError(
                    f"Column {name!r} holds codes of {kind.cardinality} rows of the "
                    f"table {kind.table!r}, but another column has "
                    f"{other.cardinality}. Encode both with the same FieldEncoder."
                )

    def _table_of(self, name: str) -> tuple[str, str]:
        """What columns that share a table have in common."""
        table = self.kinds[name].table
        return ("column", name) if table is None else ("table", table)

    # Learning

    def learned(
        self, columns: list[Column], weight: NDArray | None, y: Any, cross_fit: bool
    ) -> tuple[Self, list[tuple[str, NDArray]] | None]:
        """The encoding of the first table, and its cross-fitted statistics."""
        new = self._counted(columns, weight, grow=False)
        for name, kind in new.kinds.items():
            if kind.is_empty:
                warnings.warn(
                    f"Column {name!r} is missing in all rows, so that its field says "
                    "nothing. Leave it out, or give it a value somewhere.",
                    UserWarning,
                    stacklevel=6,
                )
        crossed = None
        if self.settings.statistics:
            crossed = new._learn_statistics(columns, weight, y, cross_fit)
        new._check_names()
        return new, crossed

    def grown(self, columns: list[Column], weight: NDArray | None, y: Any) -> Self:
        """The encoding that knows further rows too.

        Codes once given stay, and so do the scales, so that what a network has learned
        stays true.
        """
        new = self._counted(columns, weight, grow=True)
        if self.statistics:
            rates = self._read(y, len(columns[0])).rates()
            new.statistics = {
                column.name: one.grow(one.count(column, weight, rates))
                for column, one in self._with_statistics(columns)
            }
        return new

    def _counted(
        self, columns: list[Column], weight: NDArray | None, grow: bool
    ) -> Self:
        """Count each column, add what shares a table, and learn."""
        totals: dict[Any, Any] = {}
        for column in columns:
            kind = self.kinds.get(column.name)
            if kind is None or (grow and not kind.grows):
                continue
            counts, table = kind.count(column, weight), self._table_of(column.name)
            totals[table] = totals[table] + counts if table in totals else counts
        learners: dict[Any, ColumnKind] = {}
        kinds = dict(self.kinds)
        for name, kind in self.kinds.items():
            table = self._table_of(name)
            if table not in totals:
                continue
            if table not in learners:
                learn = kind.learner.grow if grow else kind.learner.finish
                learners[table] = learn(totals[table])
            kinds[name] = kind.holding(learners[table])
        new = object.__new__(type(self))
        new.__dict__.update(vars(self) | {"kinds": kinds})
        return new

    def _learn_statistics(
        self, columns: list[Column], weight: NDArray | None, y: Any, cross_fit: bool
    ) -> list[tuple[str, NDArray]] | None:
        """Fill in the statistics; those of each row from other folds, if asked."""
        if y is None:
            raise ValueError(
                "This FieldEncoder requires y to be passed, but the target y is None: "
                f"target_statistics={self.settings.params['target_statistics']!r} "
                "need labels."
            )
        if not isinstance(y, Labels):
            read = read_columns(y)
            alone = len(read.columns) == 1
            known = read.take(read.columns[0].observed) if alone else read
            self.tasks = Tasks.learn(known, kinds=[Fraction, *TASK_KINDS])
        labels = self._read(y, len(columns[0]))
        folds, crossed = None, list[tuple[str, NDArray]]()
        if cross_fit:
            folds = find_folds(columns, weight, labels, self.settings)
        self.statistics = {
            name: TargetStatistics(
                name,
                labels.rate_names,
                self.settings.params["target_smoothing"],
                self.settings.of("scaling", name, "standard"),
            )
            for name in self.settings.statistics
        }
        for column, one in self._with_statistics(columns):
            counts = one.count(column, weight, labels.rates(), folds)
            one = self.statistics[column.name] = one.finish(counts)
            if folds is not None:
                crossed += one.encode_cross_fitted(column, counts, folds)
        return crossed if cross_fit else None

    def cross_fitted(
        self, columns: list[Column], weight: NDArray | None, y: Any
    ) -> list[tuple[str, NDArray]] | None:
        """Statistics of rows among themselves, each from other folds; None for none."""
        if not self.statistics:
            return None
        labels = self._read(y, len(columns[0]))
        folds = find_folds(columns, weight, labels, self.settings)
        crossed = list[tuple[str, NDArray]]()
        for column, one in self._with_statistics(columns):
            counts = one.count(column, weight, labels.rates(), folds)
            crossed += one.encode_cross_fitted(column, counts, folds)
        return crossed

    def _read(self, y: Any, n_rows: int) -> Labels:
        if y is None:
            raise ValueError("partial_fit needs y, since fit had target statistics.")
        if isinstance(y, Labels):
            labels = y
        elif self.tasks is None:
            raise TypeError("y was given as Labels in fit; give Labels again.")
        else:
            labels = _labels(y, self.tasks)
        if len(labels) != n_rows:
            raise ValueError(f"X has {n_rows} rows, but y has {len(labels)}.")
        for one in self.statistics.values():
            if [*labels.rate_names] != [*one.rate_names]:
                raise ValueError(
                    f"y has the rates {list(labels.rate_names)}, but had "
                    f"{list(one.rate_names)} in fit. Give the same tasks."
                )
        return labels

    def _with_statistics(
        self, columns: Iterable[Column]
    ) -> Iterator[tuple[Column, TargetStatistics]]:
        by_name = {column.name: column for column in columns}
        for name, one in self.statistics.items():
            yield by_name[name], one

    def _check_names(self) -> None:
        taken = {*self.categorical_names, *self.bags}
        for kind in self._numeric():
            for field in kind.scales:
                if field in taken:
                    raise ValueError(
                        f"Column {kind.name!r} makes a field {field!r}, which is the "
                        "name of another one. Rename one of them."
                    )
                taken.add(field)

    # Encoding

    def reserve(self, columns: list[Column]) -> NDArray:
        """Memory for the codes; until they are there, columns keep positions in it."""
        categorical = set(self.categorical_names)
        categories = [column for column in columns if column.name in categorical]
        codes = np.empty((len(columns[0]), len(categories)), dtype=np.int32)
        for column, room in zip(categories, codes.T, strict=True):
            column.keep_in(room)
        return codes

    def encode(
        self,
        columns: list[Column],
        statistics: list[tuple[str, NDArray]] | None = None,
    ) -> Iterator[tuple[str, Field]]:
        """The name and the values of each field."""
        by_name = {column.name: column for column in columns}
        if statistics is None:  # before codes take the room of positions
            statistics = self.statistics_of(columns)
        for name, kind in self.kinds.items():
            column, *others = (by_name[one] for one in kind.read_columns(name))
            if column.kind == "code" and isinstance(kind.learner, Vocabulary | Hashing):
                raise ValueError(
                    f"Column {name!r} holds codes, but held raw values in fit. Give "
                    "the raw values."
                )
            yield from kind.encode(column, *others)
            column.forget()
        yield from statistics

    def statistics_of(self, columns: list[Column]) -> list[tuple[str, NDArray]]:
        """Target statistics from all rows learned from."""
        fields = [one.encode(c) for c, one in self._with_statistics(columns)]
        return [field for of_column in fields for field in of_column]

    def decode(self, columns: list[Column]) -> dict[str, Any]:
        """The raw columns of encoded ones, as far as the codes tell."""
        encoded = {column.name: column for column in columns}
        return {name: kind.decode(name, encoded) for name, kind in self.kinds.items()}

    # What was learned

    def _numeric(self) -> list[NumericKind]:
        kinds = [*self.kinds.values(), *self.statistics.values()]
        return [kind for kind in kinds if isinstance(kind, NumericKind)]

    @property
    def categorical_names(self) -> tuple[str, ...]:
        """The categorical fields."""
        kinds = self.kinds.items()
        return tuple(name for name, kind in kinds if kind.has_codes and kind.one_value)

    @property
    def bags(self) -> dict[str, MultiValued]:
        """The multi-valued fields."""
        kinds = self.kinds.items()
        return {name: kind for name, kind in kinds if isinstance(kind, MultiValued)}

    @property
    def scales(self) -> dict[str, Scale]:
        """Of each numeric field."""
        return {f: one for kind in self._numeric() for f, one in kind.scales.items()}

    @property
    def seen(self) -> dict[str, Distribution]:
        """How the numbers of each numeric field are distributed, if that is kept."""
        return {f: one for kind in self._numeric() for f, one in kind.seen.items()}

    @property
    def means(self) -> list[float]:
        """What is subtracted from each numeric field."""
        return [mean for kind in self._numeric() for mean in kind.means]

    def tables(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """A number for the table of each of these fields."""
        numbers: dict[Any, int] = {}
        for name in names:
            numbers.setdefault(self._table_of(name), len(numbers))
        return tuple(numbers[self._table_of(name)] for name in names)

    def vocabularies(self) -> dict[str, NDArray]:
        """The values of each field that has a vocabulary."""
        learners = {name: kind.learner for name, kind in self.kinds.items()}
        return {
            name: learner.values
            for name, learner in learners.items()
            if isinstance(learner, Vocabulary)
        }

    def report(self) -> Iterator[tuple[str, str, int | None, float | None, float]]:
        """A row of the report for each field."""
        for name in (*self.categorical_names, *self.bags):
            kind = self.kinds[name]
            shares = kind.rare_share, kind.missing_share
            yield name, kind.role, kind.cardinality, *shares
        for numeric in self._numeric():
            for field, share in numeric.missing_shares.items():
                yield field, numeric.role, None, None, share


def _labels(y: Any, tasks: Tasks) -> Labels:
    """The labels of a y; those of a single task may be missing too."""
    read = read_columns(y)
    if len(read.columns) > 1 or (known := read.columns[0].observed).all():
        return tasks.read(read)
    labels = tasks.read(read.take(known))
    values = np.zeros((len(read), 1))
    values[known] = labels.values
    return replace(labels, values=values, observed=known[:, None])


def _kind_of(column: Column, settings: Settings) -> ColumnKind:
    """The column as the first kind that takes it."""
    found = (kind.of(column, settings) for kind in KINDS)
    return next(one for one in found if one is not None)

"""What FieldEncoder learns: a loop over the columns of a table."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .._compat import warn
from ..tasks import KINDS as TASK_KINDS
from ..tasks import Fraction, Labels, Tasks, read_columns
from ._bags import MultiValued
from ._codes import Coded, Coder
from ._columns import CodedBag, Codes, Column
from ._dates import DateParts
from ._hashing import Hashing
from ._high_cardinality import Asked, Decided, ManyValues, decisions
from ._kind import ColumnKind, Field, Table
from ._numbers import Duration, Number, NumericKind
from ._plain import from_plain, to_plain
from ._settings import Settings
from ._target_statistics import TargetStatistics, find_folds
from ._vocabulary import Vocabulary

Statistics = list[tuple[str, NDArray]]

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


@dataclass(frozen=True, eq=False)
class TableEncoding:
    """How each column becomes fields.

    No method but `reserve` changes anything: learning gives a new object that shares
    memory with the old one.

    Attributes
    ----------
    settings : Settings
        FieldEncoder's parameters.
    kinds : dict of str to ColumnKind
        Of each column that makes a field.
    statistics : dict of str to TargetStatistics
        Of each column that has them.
    tasks : Tasks or None
        What the statistics are of, if y was raw.
    many_values : tuple of ManyValues
        What was decided of columns of many values, where that was left to the rules.
    """

    settings: Settings
    kinds: dict[str, ColumnKind]
    statistics: dict[str, TargetStatistics] = field(default_factory=dict)
    tasks: Tasks | None = None
    many_values: tuple[ManyValues, ...] = ()

    @classmethod
    def of(cls, columns: Table, settings: Settings) -> Self:
        """The encoding of a table, which decides what kind each column is of."""
        kinds = {
            name: _kind_of(column, settings)
            for name, column in columns.items()
            if not settings.makes_no_field(name)
        }
        new = cls(settings, kinds)
        settings.check(
            [name for name, kind in kinds.items() if kind.has_codes],
            new.bags,
            [name for name, kind in kinds.items() if kind.one_value],
        )
        new._check_tables()
        return new

    def _check_tables(self) -> None:
        """Refuse codes of one table that were made by two encoders."""
        first: dict[Any, Coder] = {}
        for name, coder in self.coders.items():
            other = first.setdefault(self._table_of(name), coder)
            if coder.cardinality != other.cardinality:
                raise ValueError(
                    f"Column {name!r} holds codes of {coder.cardinality} rows of the "
                    f"table {coder.table!r}, but another column has "
                    f"{other.cardinality}. Encode both with the same FieldEncoder."
                )

    def _table_of(self, name: str) -> tuple[str, str]:
        """What columns that share a table have in common."""
        table = self.kinds[name].learner.table
        return ("column", name) if table is None else ("table", table)

    # Learning

    def learned(
        self,
        columns: Table,
        weight: NDArray | None,
        y: Any,
        *,
        grow: bool,
        cross_fit: bool,
    ) -> tuple[Self, Statistics | None]:
        """The encoding that knows these rows, and their cross-fitted statistics.

        Where it grows, codes once given stay, and so do the scales, so that what a
        network has learned stays true.
        """
        new, crossed, decided = self, None, Decided()
        if not grow:
            new, decided = self._decided(columns, weight, y)
        new = new._counted(columns, weight, grow, decided.totals)
        if not grow:
            new.warn_of_empty()
        if new.settings.statistics:
            known = decided.asked
            new, crossed = new._with_statistics(columns, weight, y, cross_fit, known)
        new.check_names()
        return new, crossed

    def warn_of_empty(self) -> None:
        """Say which columns hold no value."""
        for name, kind in self.kinds.items():
            if kind.learner.is_empty:
                warn(
                    f"Column {name!r} is missing in all rows, so that its field says "
                    "nothing. Leave it out, or give it a value somewhere.",
                )

    def _decided(
        self, columns: Table, weight: NDArray | None, y: Any
    ) -> tuple[Self, Decided]:
        """With what the rules say of columns of many values in the place of "auto"."""
        labels = None
        if self.settings.is_auto("target_statistics"):
            labels, _ = self.read_y(y, height(columns))
        found = decisions(self.kinds, columns, weight, labels, self.settings)
        return self.with_decisions(found.many, labels is not None), found

    def with_decisions(self, many: tuple[ManyValues, ...], asked: bool) -> Self:
        """The same, once the rules have decided; labels may have been `asked`."""
        settings, kinds = self.settings, dict[str, Any](self.kinds)
        for one in many:
            if one.min_frequency is not None:
                kinds[one.name] = replace(
                    kinds[one.name], min_frequency=one.min_frequency
                )
        if asked:
            settings = settings.with_statistics([m.name for m in many if m.statistics])
        return replace(self, settings=settings, kinds=kinds, many_values=many)

    def _counted(
        self,
        columns: Table,
        weight: NDArray | None,
        grow: bool,
        known: Mapping[str, Any],
    ) -> Self:
        """Count each column of which counts are not `known`, and learn."""

        def counts(name: str) -> Any:
            if name in known:
                return known[name]
            return self.kinds[name].count(columns[name], weight)

        names = self.counted_names(grow)
        return self.with_counts(((name, counts(name)) for name in names), grow)

    def counted_names(self, grow: bool) -> list[str]:
        """The columns whose counts change something."""
        return [k for k, kind in self.kinds.items() if not grow or kind.learner.grows]

    def with_counts(self, counts: Iterable[tuple[str, Any]], grow: bool) -> Self:
        """Add the counts of columns that share a table, and learn from them."""
        totals, first = dict[Any, Any](), dict[Any, ColumnKind]()
        for name, own in counts:
            table = self._table_of(name)
            totals[table] = totals[table] + own if table in totals else own
            first.setdefault(table, self.kinds[name].learner)
        learned = {
            table: (one.grow if grow else one.finish)(totals[table])
            for table, one in first.items()
        }
        kinds = {
            name: kind.holding(learned.get(self._table_of(name), kind.learner))
            for name, kind in self.kinds.items()
        }
        return replace(self, kinds=kinds)

    def _with_statistics(
        self,
        columns: Table,
        weight: NDArray | None,
        y: Any,
        cross_fit: bool,
        known: Mapping[str, Asked],
    ) -> tuple[Self, Statistics | None]:
        """Learn the statistics; those of each row from other folds, if asked."""
        labels, tasks = self.read_y(y, height(columns))
        settings, rates = self.settings, labels.rates()
        folds = find_folds(columns, weight, labels, settings) if cross_fit else None
        statistics, fields = {}, Statistics()
        for name in settings.statistics:
            column, old, own = columns[name], self.statistics.get(name), known.get(name)
            new = old or TargetStatistics.new(name, labels, settings)
            if folds is None:
                counts = new.count(column, weight, rates) if own is None else own.whole
                statistics[name] = new.grow(counts) if old else new.finish(counts)
                continue
            own = own or Asked.of(new, column, weight, rates, folds)
            statistics[name] = new = new.finish(own.counts, own.crossed)
            fields += new.encode_cross_fitted(
                column, own.counts, own.folds, own.crossed
            )
        learned = replace(self, statistics=self.sharing(statistics), tasks=tasks)
        return learned, fields if cross_fit else None

    def sharing(
        self, statistics: dict[str, TargetStatistics]
    ) -> dict[str, TargetStatistics]:
        """Statistics that hold the values of vocabularies, and none of their own.

        So a value is looked up once for both.
        """
        found = {}
        for name, one in statistics.items():
            kind = self.kinds.get(name)
            if isinstance(kind, Vocabulary):
                one = replace(one, counts=one.counts.holding(kind.counts.values))
            found[name] = one
        return found

    def cross_fitted(
        self, columns: Table, weight: NDArray | None, y: Any
    ) -> Statistics | None:
        """Statistics of rows among themselves, each from other folds; None for none."""
        if not self.settings.statistics:
            return None
        fresh = replace(self, statistics={})
        return fresh._with_statistics(columns, weight, y, True, {})[1]

    def read_y(self, y: Any, n_rows: int) -> tuple[Labels, Tasks | None]:
        """The labels, and the tasks that read them; a single one may miss some."""
        if y is None:
            raise ValueError(
                "This FieldEncoder requires y to be passed, but the target y is None: "
                f"target_statistics={self.settings.params['target_statistics']!r} "
                "need labels."
            )
        labels, tasks = y, self.tasks
        if not isinstance(y, Labels):
            if self.statistics and tasks is None:
                raise TypeError("y was given as Labels in fit; give Labels again.")
            labels, tasks = read_labels(y, tasks)
        if len(labels) != n_rows:
            raise ValueError(f"X has {n_rows} rows, but y has {len(labels)}.")
        for one in self.statistics.values():
            if [*labels.rate_names] != [*one.rate_names]:
                raise ValueError(
                    f"y has the rates {list(labels.rate_names)}, but had "
                    f"{list(one.rate_names)} in fit. Give the same tasks."
                )
        return labels, tasks

    def check_names(self) -> None:
        taken = {*self.categorical_names, *self.bags}
        for kind in self.numeric:
            for name in kind.scales:
                if name in taken:
                    raise ValueError(
                        f"Column {kind.name!r} makes a field {name!r}, which is the "
                        "name of another one. Rename one of them."
                    )
                taken.add(name)

    # Storing

    def state(self) -> dict[str, Any]:
        """All of it as arrays, numbers and text."""
        return {
            "settings": self.settings.state(),
            "kinds": {k: [type(v).__name__, v.state()] for k, v in self.kinds.items()},
            "statistics": {k: v.state() for k, v in self.statistics.items()},
            "tasks": None if self.tasks is None else self.tasks.state(),
            "many_values": [to_plain(one) for one in self.many_values],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The encoding of a `state`; a ValueError says what cannot be one."""
        settings, known = Settings(**state["settings"]), {k.__name__: k for k in KINDS}
        kinds = {
            name: known[kind].from_state(own)
            for name, (kind, own) in state["kinds"].items()
        }
        statistics = {
            name: TargetStatistics.from_state(own)
            for name, own in state["statistics"].items()
        }
        tasks = None if state["tasks"] is None else Tasks.from_state(state["tasks"])
        many = from_plain(state.get("many_values", ()), [ManyValues])
        new = cls(settings, kinds, statistics, tasks, tuple(many))
        new = replace(new, statistics=new.sharing(statistics))
        read = {one for name, kind in kinds.items() for one in kind.read_columns(name)}
        if not {*read, *statistics} <= {*settings.names}:
            raise ValueError(f"There are columns beyond {settings.names}.")
        if [*statistics] != settings.statistics:
            raise ValueError(f"There are no statistics of {settings.statistics}.")
        new._check_tables()
        new.check_names()
        return new

    # Encoding

    def reserve(self, columns: Table) -> NDArray:
        """Memory for the codes; until they are there, columns keep positions in it."""
        names = self.categorical_names
        codes = np.empty((height(columns), len(names)), dtype=np.int32)
        for name, room in zip(names, codes.T, strict=True):
            columns[name].keep_in(room)
        return codes

    def read_in(self, columns: Table) -> Table:
        """The columns that `encode` reads."""
        read = {*self.statistics}
        for name, kind in self.kinds.items():
            read.update(kind.read_columns(name))
        return {name: column for name, column in columns.items() if name in read}

    def encodes_blocks(self, columns: Table, n_rows: int) -> bool:
        """Whether so many rows are encoded as they are among all, and for less.

        Texts that are read as dates have to be of one zone.
        """
        texts = {
            name
            for name, kind in self.kinds.items()
            if isinstance(kind, DateParts) and columns[name].kind != "date"
        }
        return not texts and all(one.is_cut_into(n_rows) for one in columns.values())

    def encode(
        self, columns: Table, statistics: Statistics | None = None
    ) -> Iterator[tuple[str, Field]]:
        """The name and the values of each field."""
        if statistics is None:  # before codes take the room of positions
            statistics = self.statistics_of(columns)
        for name, kind in self.kinds.items():
            column, *others = (columns[one] for one in kind.read_columns(name))
            coded = isinstance(column.values, Codes | CodedBag)
            if coded and isinstance(kind.learner, Vocabulary | Hashing):
                raise ValueError(
                    f"Column {name!r} holds codes, but held raw values in fit. Give "
                    "the raw values."
                )
            yield from kind.encode(column, *others)
            column.forget()
        yield from statistics

    def statistics_of(self, columns: Table) -> Statistics:
        """Target statistics from all rows learned from."""
        learned = self.statistics.items()
        return [field for name, one in learned for field in one.encode(columns[name])]

    def decode(self, fields: Table) -> dict[str, Any]:
        """The raw columns of encoded ones, as far as the codes tell."""
        return {name: kind.decode(name, fields) for name, kind in self.kinds.items()}

    # What was learned

    @property
    def numeric(self) -> list[NumericKind]:
        """What gives the numeric fields."""
        kinds = [*self.kinds.values(), *self.statistics.values()]
        return [kind for kind in kinds if isinstance(kind, NumericKind)]

    @property
    def coders(self) -> dict[str, Coder]:
        """What gives the codes of each categorical and each multi-valued field."""
        kinds = self.kinds.items()
        return {name: kind.learner for name, kind in kinds if kind.has_codes}

    @property
    def categorical_names(self) -> tuple[str, ...]:
        """The categorical fields."""
        return tuple(name for name in self.coders if self.kinds[name].one_value)

    @property
    def bags(self) -> dict[str, MultiValued]:
        """The multi-valued fields."""
        kinds = self.kinds.items()
        return {name: kind for name, kind in kinds if isinstance(kind, MultiValued)}

    def tables(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """A number for the table of each of these fields."""
        tables = [self._table_of(name) for name in names]
        numbers = {table: i for i, table in enumerate(dict.fromkeys(tables))}
        return tuple(numbers[table] for table in tables)

    def report(self) -> Iterator[tuple[str, str, int | None, float | None, float]]:
        """A row of the report for each field."""
        for name in (*self.categorical_names, *self.bags):
            role, one = self.kinds[name].role, self.coders[name]
            yield name, role, one.cardinality, one.rare_share, one.missing_share
        for numeric in self.numeric:
            for name, share in numeric.missing_shares.items():
                yield name, numeric.role, None, None, share


def read_labels(y: Any, tasks: Tasks | None) -> tuple[Labels, Tasks]:
    """The labels of a raw y, and its tasks if there are none yet."""
    read, known = read_columns(y), np.ones(0, dtype=bool)
    if len(read.columns) == 1:
        known = read.columns[0].observed
    some = read if known.all() else read.take(known)
    tasks = tasks or Tasks.learn(some, kinds=[Fraction, *TASK_KINDS])
    labels = tasks.read(some)
    if some is not read:
        values = np.zeros((len(read), 1))
        values[known] = labels.values
        labels = replace(labels, values=values, observed=known[:, None])
    return labels, tasks


def height(columns: Table) -> int:
    return len(next(iter(columns.values())))


def _kind_of(column: Column, settings: Settings) -> ColumnKind:
    """The column as the first kind that takes it."""
    found = (kind.of(column, settings) for kind in KINDS)
    return next(one for one in found if one is not None)

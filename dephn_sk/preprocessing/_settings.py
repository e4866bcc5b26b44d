"""FieldEncoder's parameters, as each column of a table has them."""

from collections.abc import Collection, Iterable
from copy import copy
from typing import Any, Self

from ._choice import chosen, column_name
from ._columns import CodedBag, Column

AUTO = "auto"  # what a rule decides: see `_high_cardinality`
# parameters whose dicts may name categorical and multi-valued columns only
_OF_CODES = ("min_frequency", "max_categories", "n_buckets", "n_hashes")


class Settings:
    """FieldEncoder's parameters, with positions and masks turned into names.

    Parameters
    ----------
    params : dict
        FieldEncoder's parameters.
    names : list of str
        The columns of the first table.
    from_frame : bool
        Whether the columns come from a frame, with a dtype each.
    coded : collection of str, default=()
        Those that hold codes already.
    """

    def __init__(
        self,
        params: dict[str, Any],
        names: list[str],
        from_frame: bool,
        coded: Collection[str] = (),
    ):
        self.params = params
        self.from_frame = from_frame
        self.names = names
        self._by_column = {
            parameter: {self._name(key, parameter): one for key, one in given.items()}
            for parameter, given in params.items()
            if isinstance(given, dict)
        }
        # for each bag whose members have weights, the column that holds them
        self.bag_weights = {
            bag: self._name(one, "bag_weights")
            for bag, one in self._by_column.get("bag_weights", {}).items()
        }
        time = params["time_column"]
        self.time = None if time is None else self._name(time, "time_column")
        self.statistics = self._chosen("target_statistics")
        self._categories = params["categorical_features"]
        if not isinstance(self._categories, str | None):
            self._categories = self._chosen("categorical_features")
        self.shared = self._shared_tables(coded)

    def _name(self, one: Any, parameter: str) -> str:
        return column_name(one, self.names, parameter)

    def _chosen(self, parameter: str) -> list[str]:
        given = self.params[parameter]
        if given is None or self.is_auto(parameter):
            return []
        return chosen(given, self.names, parameter)

    def of(self, parameter: str, name: str, default: Any = None) -> Any:
        """A parameter for one column; the default where it is None."""
        value = self.params[parameter]
        if isinstance(value, dict):
            value = self._by_column[parameter].get(name)
        return default if value is None else value

    def is_auto(self, parameter: str, name: str | None = None) -> bool:
        """Whether a rule is to decide, of one column or of all of them."""
        value = self.params[parameter] if name is None else self.of(parameter, name)
        return isinstance(value, str) and value == AUTO

    def with_statistics(self, names: list[str]) -> Self:
        """The same, with target statistics of these columns."""
        new = copy(self)
        new.params = self.params | {"target_statistics": names}
        new.statistics = names
        return new

    def makes_no_field(self, name: str) -> bool:
        """Whether a column only serves others: weights of members, or times."""
        return name == self.time or name in self.bag_weights.values()

    def is_bag(self, column: Column) -> bool:
        """Whether a column holds lists, or text that is to be split into them."""
        return (
            column.name in self._by_column.get("delimiters", {})
            or column.kind == "list"
            or isinstance(column.values, CodedBag)
        )

    def is_category(self, column: Column) -> bool:
        """Whether a column's values are to have codes."""
        kind, choice = column.kind, self._categories
        if self.is_bag(column):
            return True
        if choice is None:
            return False
        if choice != "from_dtype":
            return column.name in choice
        if kind == "object" and not self.from_frame:
            return not column.converts_to_numbers()
        of_frames = self.from_frame and kind in ("bool", "object")
        return of_frames or kind in ("text", "category")

    def head(self, name: str) -> str:
        """The column whose settings a column's vocabulary has."""
        return self.shared.get(name, name)

    def n_hashes(self, name: str) -> int:
        """Number of codes of each value."""
        head = self.head(name)
        hashes = self.of("n_hashes", head, 1)
        if self.of("n_buckets", head) is not None:
            return hashes
        if isinstance(self.params["n_hashes"], dict) and hashes > 1:
            raise ValueError(
                f"n_hashes names {head!r}, which is not hashed. Give it n_buckets."
            )
        return 1

    def check(
        self, have_codes: Iterable[str], bags: Iterable[str], single: Iterable[str]
    ) -> None:
        """Refuse parameters that name columns of another kind."""
        named = {"shared_vocabularies": self.shared}
        named |= {one: self._by_column.get(one, {}) for one in _OF_CODES}
        for parameter, names in named.items():
            for name in sorted(names.keys() - {*have_codes}):
                raise ValueError(
                    f"{parameter} names the column {name!r}, which is no categorical "
                    "one. Name it in categorical_features too."
                )
        for name in sorted(self.bag_weights.keys() - {*bags}):
            raise ValueError(
                f"bag_weights gives weights to {name!r}, which is not multi-valued."
            )
        for name in self.statistics:
            if name not in single:
                raise ValueError(
                    f"target_statistics names {name!r}, which holds no single values."
                )

    def state(self) -> dict[str, Any]:
        """What makes them again."""
        return {
            "params": self.params,
            "names": self.names,
            "from_frame": self.from_frame,
        }

    def _shared_tables(self, coded: Collection[str]) -> dict[str, str]:
        """For each column that shares a vocabulary, the first one of its group."""
        heads: dict[str, str] = {}
        for group in self.params["shared_vocabularies"] or ():
            group = chosen(group, self.names, "shared_vocabularies")
            for name in group:
                if name in heads:
                    raise ValueError(f"shared_vocabularies names {name!r} twice.")
                if name in coded:
                    raise ValueError(
                        f"shared_vocabularies names {name!r}, which holds codes "
                        "already. Share the vocabulary where the codes are made."
                    )
                heads[name] = group[0]
        return heads

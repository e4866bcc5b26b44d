"""What each column of a table is to become."""

from __future__ import annotations

from typing import Any

from dephn_sk.preprocessing._choice import chosen, column_name, for_column
from dephn_sk.preprocessing._columns import CodedBag, Column

CATEGORY = "category"
BAG = "bag"
NUMBER = "number"
DATE = "date"
DURATION = "duration"  # a number of days
WEIGHTS = "weights"  # of a bag's members; no field
TIME = "time"  # divides the rows into blocks; no field

# parameters whose dicts may name categorical and multi-valued columns only
_OF_CODES = ("min_frequency", "max_categories", "n_buckets", "n_hashes")


def find_roles(
    columns: list[Column], params: dict[str, Any], from_frame: bool
) -> dict[str, str]:
    """The role of each column, by its name."""
    names = [column.name for column in columns]
    delimited = _named(params, "delimiters", names)
    weights = set(weights_of_bags(params, names).values())
    time = params["time_column"]
    time = None if time is None else column_name(time, names, "time_column")
    choice = params["categorical_features"]
    if choice is not None and not isinstance(choice, str):
        choice = set(chosen(choice, names, "categorical_features"))
    heads = shared_tables(params, columns)
    roles = {}
    for column in columns:
        name, kind = column.name, column.kind
        if name in weights:
            roles[name] = WEIGHTS
        elif name == time:
            roles[name] = TIME
        elif name in delimited or kind == "list" or isinstance(column.values, CodedBag):
            roles[name] = BAG
        elif kind == "code":
            roles[name] = CATEGORY
        elif _is_category(column, kind, choice, from_frame):
            several = _n_hashes(params, heads.get(name, name), names) > 1
            roles[name] = BAG if several else CATEGORY
        else:
            roles[name] = {"date": DATE, "duration": DURATION}.get(kind, NUMBER)
    for parameter in _OF_CODES:
        _check_codes(_named(params, parameter, names), roles, parameter)
    _check_codes(set(heads), roles, "shared_vocabularies")
    for name in sorted(_named(params, "bag_weights", names)):
        if roles[name] != BAG:
            raise ValueError(
                f"bag_weights gives weights to {name!r}, which is not multi-valued."
            )
    for name in chosen(params["target_statistics"] or (), names, "target_statistics"):
        if roles[name] not in (CATEGORY, NUMBER, DURATION):
            raise ValueError(
                f"target_statistics names {name!r}, which holds no single values."
            )
    return roles


def shared_tables(params: dict[str, Any], columns: list[Column]) -> dict[str, str]:
    """For each column that shares a vocabulary, the first one of its group."""
    by_name = {column.name: column for column in columns}
    heads: dict[str, str] = {}
    for group in params["shared_vocabularies"] or ():
        group = chosen(group, list(by_name), "shared_vocabularies")
        for name in group:
            if name in heads:
                raise ValueError(f"shared_vocabularies names {name!r} twice.")
            if by_name[name].kind == "code":
                raise ValueError(
                    f"shared_vocabularies names {name!r}, which holds codes already. "
                    "Share the vocabulary where the codes are made."
                )
            heads[name] = group[0]
    return heads


def weights_of_bags(params: dict[str, Any], names: list[str]) -> dict[str, str]:
    """For each bag whose members have weights, the column that holds them."""
    return {
        column_name(bag, names, "bag_weights"): column_name(one, names, "bag_weights")
        for bag, one in (params["bag_weights"] or {}).items()
    }


def _named(params: dict[str, Any], parameter: str, names: list[str]) -> set[str]:
    """The columns that a dict names."""
    setting = params[parameter]
    if not isinstance(setting, dict):
        return set()
    return {column_name(key, names, parameter) for key in setting}


def _n_hashes(params: dict[str, Any], name: str, names: list[str]) -> int:
    """Number of codes of each value."""
    hashes = for_column(params["n_hashes"], name, names, "n_hashes") or 1
    if for_column(params["n_buckets"], name, names, "n_buckets") is not None:
        return hashes
    if isinstance(params["n_hashes"], dict) and hashes > 1:
        raise ValueError(
            f"n_hashes names {name!r}, which is not hashed. Give it n_buckets."
        )
    return 1


def _is_category(column: Column, kind: str, choice: Any, from_frame: bool) -> bool:
    if choice is None:
        return False
    if choice != "from_dtype":
        return column.name in choice
    if kind == "object" and not from_frame:
        return not column.converts_to_numbers()
    return kind in ("text", "category") or (from_frame and kind in ("bool", "object"))


def _check_codes(named: set[str], roles: dict[str, str], parameter: str) -> None:
    for name in sorted(named):
        if roles[name] not in (CATEGORY, BAG):
            raise ValueError(
                f"{parameter} names the column {name!r}, which is no categorical one. "
                "Name it in categorical_features too."
            )

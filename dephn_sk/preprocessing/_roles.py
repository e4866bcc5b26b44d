"""What each column of a table is to become."""

from __future__ import annotations

from typing import Any

from dephn_sk.preprocessing._choice import chosen, column_name, for_column
from dephn_sk.preprocessing._columns import CodedBag, Column

CATEGORY, BAG, NUMBER, DATE, WEIGHTS, TIME = (
    "category",
    "bag",
    "number",
    "date",
    "weights",
    "time",
)

# parameters whose dicts may name categorical and multi-valued columns only
_OF_CODES = ("min_frequency", "max_categories", "n_buckets", "n_hashes")


def find_roles(
    columns: list[Column], params: dict[str, Any], from_frame: bool
) -> dict[str, str]:
    """The role of each column, by its name."""
    names = [column.name for column in columns]

    def named(parameter: str, keys: Any) -> set[str]:
        return {column_name(key, names, parameter) for key in keys or ()}

    delimited = named("delimiters", params["delimiters"])
    weights = named("bag_weights", (params["bag_weights"] or {}).values())
    time = params["time_column"]
    time = None if time is None else column_name(time, names, "time_column")
    choice = params["categorical_features"]
    if choice is not None and not isinstance(choice, str):
        choice = set(chosen(choice, names, "categorical_features"))
    roles = {}
    for column in columns:
        name, kind = column.name, column.kind
        if name in weights:
            roles[name] = WEIGHTS
        elif name == time:
            roles[name] = TIME
        elif name in delimited or kind == "list" or isinstance(column.values, CodedBag):
            roles[name] = BAG
        elif kind == "code" or _is_category(column, kind, choice, from_frame):
            several = _hashes(params, name, names) > 1 and kind != "code"
            roles[name] = BAG if several else CATEGORY
        else:
            roles[name] = DATE if kind == "date" else NUMBER
    for parameter in _OF_CODES:
        if isinstance(params[parameter], dict):
            _check_codes(named(parameter, params[parameter]), roles, parameter)
    for group in params["shared_vocabularies"] or ():
        group = chosen(group, names, "shared_vocabularies")
        _check_codes(set(group), roles, "shared_vocabularies")
    for name in sorted(named("bag_weights", params["bag_weights"])):
        if roles[name] != BAG:
            raise ValueError(
                f"bag_weights gives weights to {name!r}, which is not multi-valued."
            )
    for name in chosen(params["target_statistics"] or (), names, "target_statistics"):
        if roles[name] not in (CATEGORY, NUMBER):
            raise ValueError(
                f"target_statistics names {name!r}, which holds no single values."
            )
    return roles


def _hashes(params: dict[str, Any], name: str, names: list[str]) -> int:
    """Number of codes of each value."""
    hashes = for_column(params["n_hashes"], name, names, "n_hashes") or 1
    buckets = for_column(params["n_buckets"], name, names, "n_buckets")
    if buckets is None and isinstance(params["n_hashes"], dict) and hashes > 1:
        raise ValueError(
            f"n_hashes names {name!r}, which is not hashed. Give it n_buckets."
        )
    return 1 if buckets is None else hashes


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

"""What all data sets share: parameters, files, kinds of columns, and the Bunch."""

import os
from collections.abc import Collection, Iterable
from numbers import Integral
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from .._compat import Interval, StrOptions, validate_params
from .._suggest import check_names

DataHome = str | os.PathLike[str] | None
Loaded: TypeAlias = Bunch | tuple[Any, Any]
SUBSETS = ("train", "validation", "test")

# decorator that checks the parameters that a loader may have
loader = validate_params(
    {
        "data_home": [str, os.PathLike, None],
        "tasks": ["array-like", str],
        "missing_without_click": ["boolean"],
        "list_fields": ["array-like"],
        "download_if_missing": ["boolean"],
        "subset": [StrOptions({*SUBSETS, "all"})],
        "split_seed": [Interval(Integral, 0, None, closed="left")],
        "n_rows": [Interval(Integral, 1, None, closed="left"), None],
        "chunk_size": [Interval(Integral, 1, None, closed="left")],
        "return_X_y": ["boolean"],
    }
)


def import_pandas(caller: str) -> Any:
    """pandas, or an error that says which extra brings it."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"{caller} returns data frames and needs pandas. "
            "Install it with: pip install 'dephn-sk[frames]'"
        ) from error
    return pandas


def resolve_data_home(data_home: DataHome) -> Path:
    """The argument, else DEPHN_SK_DATA, else ~/dephn_sk_data."""
    home = data_home or os.environ.get("DEPHN_SK_DATA") or "~/dephn_sk_data"
    return Path(home).expanduser()


def find_file(data_home: DataHome, folder: str, name: str, origin: str) -> Path:
    """Path of a data file, plain or compressed; `origin` says who offers it."""
    home = resolve_data_home(data_home)
    for suffix in ("", ".gz", ".xz", ".bz2"):
        path = home / folder / (name + suffix)
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{folder}/{name} (plain, .gz, .xz or .bz2) is not in {str(home)!r}. "
        f"It comes from {origin}. Put it there, or name the folder by "
        "`data_home` or the environment variable DEPHN_SK_DATA."
    )


def check_tasks(tasks: str | Iterable[str], known: Collection[str]) -> list[str]:
    """The task names as a list; 'all' is every known one."""
    if isinstance(tasks, str):
        if tasks == "all":
            return list(known)
        raise ValueError(
            f"tasks must be 'all' or a sequence of names from {list(known)}, "
            f"got the string {tasks!r}; write tasks=({tasks!r},) for a single task."
        )
    tasks = list(tasks)
    if not tasks:
        raise ValueError(f"tasks is empty; choose from {list(known)}.")
    check_names("tasks", tasks, known)
    if len(set(tasks)) < len(tasks):
        raise ValueError(f"tasks names a task twice: {tasks}.")
    return tasks


def typed(table: Any, numeric: Collection[str]) -> Any:
    """The table with floats in the numeric columns, categories in all others."""
    kinds = {name: float if name in numeric else "category" for name in table}
    return table.astype(kinds)


def stacked(tables: Iterable[Any]) -> Any:
    """Tables below each other, emptied; categories are those of all, sorted."""
    import pandas as pd

    tables, columns = list(tables), {}
    for name in list(tables[0]):
        pieces = [table.pop(name) for table in tables]
        columns[name] = (
            pd.api.types.union_categoricals(pieces, sort_categories=True)
            if pieces[0].dtype == "category"
            else pd.concat(pieces, ignore_index=True)
        )
    return pd.DataFrame(columns, copy=False)


def label(column: Any, positive: Collection[str] | None) -> Any:
    """Whether a label is one of the positive ones, or its class where None is."""
    if positive is None:
        return column.astype(str)
    return column.isin(positive).astype("int64")


def random_split(
    n: int, train: float, fitted: float = 1.0, n_test: int = 0, seed: int = 2023
) -> NDArray[np.str_]:
    """The subset of each of `n` things, by chance.

    The share `train` is for training, what follows up to `fitted` for validation;
    `n_test` more are the test set.
    """
    order = np.random.default_rng(seed).permutation(n)
    split = np.full(n + n_test, "test", dtype="U10")
    split[order[: int(fitted * n)]] = "validation"
    split[order[: int(train * n)]] = "train"
    return split


def as_bunch(
    data: Any,
    target: Any,
    split: NDArray[Any],
    subset: str,
    return_X_y: bool,
    DESCR: str | None,
    **per_row: NDArray[Any],
) -> Loaded:
    """The rows of one subset as a Bunch, or as (data, target).

    `split` says for each row which subset it belongs to; `per_row` are further
    arrays with an entry for each row.
    """
    per_row["split"] = split
    if subset != "all":
        rows = split == subset
        data, target = (frame[rows].reset_index(drop=True) for frame in (data, target))
        per_row = {name: values[rows] for name, values in per_row.items()}
    if return_X_y:
        return data, target
    names = {"feature_names": list(data.columns), "task_names": list(target.columns)}
    return Bunch(data=data, target=target, **names, **per_row, DESCR=DESCR)

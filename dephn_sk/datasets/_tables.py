"""What all data sets share: where files lie, and the Bunch that is returned."""

from __future__ import annotations

import os
from collections.abc import Iterable
from numbers import Integral
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from sklearn.utils import Bunch

from .._compat import Interval, StrOptions
from .._suggest import did_you_mean

DataHome = str | os.PathLike[str] | None

LOADER_CONSTRAINTS: dict[str, Any] = {
    "data_home": [str, os.PathLike, None],
    "tasks": ["array-like", str],
    "subset": [StrOptions({"train", "validation", "test", "all"})],
    "return_X_y": ["boolean"],
}
STREAMING_CONSTRAINTS: dict[str, Any] = {
    "n_rows": [Interval(Integral, 1, None, closed="left"), None],
    "chunk_size": [Interval(Integral, 1, None, closed="left")],
}


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


def check_tasks(tasks: str | Iterable[str], known: Iterable[str]) -> list[str]:
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
    for task in tasks:
        if task not in known:
            raise ValueError(
                f"tasks contains {task!r}, which is none of {list(known)}."
                + did_you_mean(task, known)
            )
    if len(set(tasks)) < len(tasks):
        raise ValueError(f"tasks names a task twice: {tasks}.")
    return tasks


def as_categorical(pd: Any, values: NDArray[Any], missing: NDArray[Any]) -> Any:
    """Integers as sorted categories; `missing` are rows or a mask of rows."""
    codes, kinds = pd.factorize(values, sort=True)
    codes[missing] = -1
    return pd.Categorical.from_codes(codes, kinds).remove_unused_categories()


def as_bunch(
    data: Any,
    target: Any,
    split: NDArray[Any],
    *,
    subset: str,
    return_X_y: bool,
    DESCR: str | None,
    **per_row: NDArray[Any],
) -> Bunch | tuple[Any, Any]:
    """The rows of one subset as a Bunch, or as (data, target).

    `split` says for each row which subset it belongs to; `per_row` are further
    arrays with an entry for each row.
    """
    if subset != "all":
        rows = split == subset
        data, target = (frame[rows].reset_index(drop=True) for frame in (data, target))
        split = split[rows]
        per_row = {name: values[rows] for name, values in per_row.items()}
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        feature_names=list(data.columns),
        task_names=list(target.columns),
        split=split,
        DESCR=DESCR,
        **per_row,
    )

"""Results as JSON lines, so that a run can be resumed, and tables of them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "skorch", "scikit-learn", "numpy", "lightgbm", "catboost")
PACKAGES += ("onnxruntime",)


def environment() -> dict:
    """Versions, processor and commit that a result was made with."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    commit = commit_of(Path(__file__).parent)
    return {"versions": versions, "cores": os.cpu_count(), "commit": commit}


def commit_of(folder: str | Path) -> str:
    """The short name of the commit that is checked out there."""
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


class Results:
    """Rows of one JSON-lines file; a row's key is what it was asked for.

    Parameters
    ----------
    path : path
    key : tuple of str
        Names of the entries of a row that identify it.
    """

    def __init__(self, path: str | Path, key: tuple[str, ...]) -> None:
        self.path = Path(path)
        self.key = key
        self.rows: list[dict] = []
        if self.path.exists():
            lines = self.path.read_text().splitlines()
            self.rows = [json.loads(line) for line in lines]

    def find(self, key: tuple) -> dict | None:
        """The row of a key, or None."""
        for row in self.rows:
            if tuple(row.get(k) for k in self.key) == key:
                return row
        return None

    def __contains__(self, key: tuple) -> bool:
        return self.find(key) is not None

    def add(self, row: dict) -> None:
        """Keep a row, on disk at once."""
        self.rows.append(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def run_missing(
    results: Results, keys: list[tuple], run: Callable[..., dict], estimate: bool
) -> list[dict]:
    """The rows of all keys: those that are not there are run, with what is left to go.

    With `estimate` nothing is run, and what is left is printed.
    """
    missing = [key for key in keys if key not in results]
    if estimate:
        print(time_left(results, missing))
    else:
        for i, key in enumerate(missing):
            results.add(run(*key))
            print(*key, f"({time_left(results, missing[i + 1 :])})", file=sys.stderr)
    return [row for key in keys if (row := results.find(key))]


def time_left(results: Results, missing: list[tuple]) -> str:
    """Fits to run and their seconds, by those of the same data set and entry.

    Where there are none of as many rows, seconds are those of other fits of the data
    set, in proportion to their rows.
    """
    seconds, unknown = 0.0, 0
    for key in missing:
        asked = dict(zip(results.key, key, strict=True))
        of_set = [row for row in results.rows if row["dataset"] == asked["dataset"]]
        if not of_set:
            unknown += 1
            continue
        alike = [
            row["fit_cpu_seconds"]
            for row in of_set
            if all(row[name] == asked[name] for name in asked if name != "seed")
        ]
        largest = max(of_set, key=lambda row: row["n_train"])
        n_rows = min(asked.get("rows") or largest["n_all"], largest["n_all"])
        scaled = largest["fit_cpu_seconds"] * n_rows / largest["n_train"]
        seconds += np.mean(alike) if alike else scaled
    text = f"{len(missing)} fits to run, about {seconds:,.0f} CPU seconds"
    return text + (f" and those of {unknown} on other data sets" if unknown else "")


def paired(values: list[float], digits: int = 4) -> str:
    """Mean of differences with their standard error, such as ``+.0012 ± .0004``."""
    values = [value for value in values if np.isfinite(value)]
    if not values:
        return ""
    text = f"{np.mean(values):+.{digits}f}"
    if len(values) > 1:
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        text += f" ± {error:.{digits}f}"
    return text


def mean_and_deviation(values: list[float], digits: int = 4) -> str:
    """Such as ``.9532 ± .0004``; the deviation is missing for a single value."""
    text = f"{np.mean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.{digits}f}"
    return text


def markdown(header: list[str], lines: list[list[str]]) -> str:
    """A table of cells that are texts."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def markdown_table(rows: list[dict], group: tuple[str, ...], columns: dict) -> str:
    """Rows of equal `group` as one line of means, in order of appearance.

    `columns` maps a heading to a function of a row.
    """
    groups: dict = defaultdict(list)
    for row in rows:
        groups[tuple(str(row[name]) for name in group)].append(row)
    lines = [
        "| " + " | ".join([*group, "seeds", *columns]) + " |",
        "|" + "---|" * (len(group) + 1 + len(columns)),
    ]
    for name, members in groups.items():
        cells = [
            mean_and_deviation([value(m) for m in members])
            for value in columns.values()
        ]
        name = [part.replace("|", "\\|") for part in name]
        lines.append("| " + " | ".join([*name, str(len(members)), *cells]) + " |")
    return "\n".join(lines)

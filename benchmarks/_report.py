"""Results as JSON lines, so that a run can be resumed, and tables of them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections import defaultdict
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
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    ).stdout.strip()
    return {"versions": versions, "cores": os.cpu_count(), "commit": commit}


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


def mean_and_deviation(values: list[float], digits: int = 4) -> str:
    """Such as ``.9532 ± .0004``; the deviation is missing for a single value."""
    text = f"{np.mean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.{digits}f}"
    return text


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

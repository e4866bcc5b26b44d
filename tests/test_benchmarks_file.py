"""The benchmark of model files runs, and the page prints what it found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "bench_file.py"
if not SCRIPT.is_file():
    pytest.skip("the benchmarks are not here", allow_module_level=True)
pytest.importorskip("pandas")


def run(*options):
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, options)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_entry_is_measured(tmp_path):
    sizes = "--categories", 300, "--table-rows", 300, "--rounds", 1
    printed = run(*sizes, "--results", tmp_path / "file.jsonl")
    lines = (tmp_path / "file.jsonl").read_text().splitlines()
    rows = list(map(json.loads, lines))
    assert len(rows) == 2 * 7
    assert all(row["size"] > row["weights"] for row in rows)
    assert printed.count("joblib") == 2 * 3  # two entries and a heading


def test_the_page_prints_what_was_found():
    assert run("--report").strip() in (ROOT / "docs" / "benchmarks.md").read_text()

"""The arena runs, tunes, resumes, and agrees with the page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pandas")
ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "bench_accuracy.py"
if not SCRIPT.is_file():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


def run(*options):
    command = [sys.executable, str(SCRIPT), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    """The files of a small run, and what it printed."""
    folder = tmp_path_factory.mktemp("arena")
    options = ["--rows", 300, "--seeds", 1, "--entries", "DEPHN", "logistic regression"]
    options += ["--results", folder / "accuracy.jsonl"]
    options += ["--tuned", folder / "tuned.jsonl", "--tune", "--trials", 2]
    return folder, options, run(*options)


def test_every_entry_gets_the_same_number_of_trials(arena):
    folder, _, printed = arena
    searches = lines(folder / "tuned.jsonl")
    assert [s["trials"] for s in searches] == [2, 2]
    rows = lines(folder / "accuracy.jsonl")
    assert [row["entry"] for row in rows] == ["DEPHN", "logistic regression"]
    for row in rows:
        assert row["tuned"]
        assert len(row["test_auc"]) == len(row["tasks"]) == 3
        assert f"| {row['entry']} | 2 | 1 |" in printed


def test_what_has_run_is_not_run_again(arena):
    folder, options, printed = arena
    before = (folder / "accuracy.jsonl").read_bytes()
    assert run(*options) == printed
    assert (folder / "accuracy.jsonl").read_bytes() == before


def test_the_page_prints_the_results_that_are_kept():
    assert run("--report").strip() in (ROOT / "docs" / "benchmarks.md").read_text()

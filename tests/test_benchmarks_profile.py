"""The script that says where the time goes finds all of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("pandas")
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The rows of a small run, by part."""
    output = tmp_path_factory.mktemp("profile") / "rows.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        given = [
            "--rows",
            "2000",
            "--rounds",
            "1",
            "--calls",
            "2",
            "--output",
            str(output),
        ]
        patch.setattr(sys, "argv", ["bench_profile", *given])
        __import__("bench_profile").main()
    found: dict = {}
    for line in output.read_text().splitlines():
        row = json.loads(line)
        found.setdefault(row["part"], []).append(row)
    return found


def test_the_parts_of_a_fit_are_its_whole(rows):
    seconds = {row["step"]: row["seconds"] for row in rows["fit"]}
    whole = seconds.pop("the fit")
    assert sum(seconds.values()) == pytest.approx(whole)
    assert min(seconds.values()) >= 0
    # a function that was renamed would take no time
    for part in ("encoding", "batches", "forward and losses", "backward", "optimizers"):
        assert seconds[part] > 0, part
    assert seconds["all else"] < whole / 2


def test_all_that_is_asked_is_measured(rows):
    assert [row["request"] for row in rows["predict"]] == [1, 1_000]
    assert len({row["kind"] for row in rows["kinds"]}) == 6
    assert [row["kind"] for row in rows["memory"]] == ["text", "numbers"]
    for row in (*rows["predict"], *rows["kinds"]):
        assert min(v for v in row.values() if isinstance(v, float)) > 0

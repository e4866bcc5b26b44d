"""The scripts that compare jobs, memory and threads run, and print their ratios."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("pandas")


def test_searches_take_turns_with_and_without_memory(
    script, monkeypatch, capsys, tmp_path
):
    bench = script("bench_search")
    monkeypatch.setattr(script("_search"), "OF_NETWORK", {"dropout": [0.0, 0.2]})
    options = ["--network", "--rows", "400", "--rounds", "1", "--n-jobs", "1"]
    options += ["--output", str(tmp_path / "rows.jsonl")]
    monkeypatch.setattr(sys, "argv", ["bench_search", *options])
    bench.main()
    printed = capsys.readouterr().out
    for jobs in ("n_jobs=1", "encoding"):
        for name in (jobs, f"{jobs}, memory", f"{jobs}, memory again"):
            assert re.search(rf"^{name} +\d+\.\d+ +\d+\.\d+$", printed, re.MULTILINE)
    rows = [
        json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()
    ]
    assert len({row["entry"] for row in rows}) == len(rows) == 6
    for row in rows:
        assert f"{row['seconds']:9.3f}{row['ratio']:15.2f}" in printed


def test_a_folder_is_used_again_where_the_entry_says_so(script):
    bench = script("bench_search")
    seen = [
        (name, folder, Path(folder).is_dir())
        for name, _, folder in bench.with_folders({"a": 0, "b": 1, "b again": 2})
    ]
    (_, first, _), (_, second, _), (_, again, _) = seen
    assert first != second == again
    assert all(there for *_, there in seen)
    assert not Path(second).exists()


def test_two_threads_are_compared_with_one(script):
    bench = script("bench_speed")
    before = torch.get_num_threads()
    try:
        found = bench.threads_ratio("MMoE", *bench.load(None, 300), 150, rounds=1)
    finally:
        torch.set_num_threads(before)
    assert found.keys() == {"fit", "predict"}
    assert all(ratio > 0 for ratio in found.values())

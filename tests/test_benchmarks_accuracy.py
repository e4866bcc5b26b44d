"""The arena runs, tunes, resumes, and agrees with the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy.stats import uniform

from dephn_sk import DEPHNMultiTaskClassifier

pytest.importorskip("pandas")
ROOT = Path(__file__).parents[1]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_entry_gets_the_same_number_of_trials(
    call, script, short_logs, monkeypatch, tmp_path
):
    arena = script("bench_accuracy")
    entry = script("_entries").Entry
    few = {"max_epochs": 2, "n_epochs_no_change": 1, "embedding_dim": 2}
    network = script("_entries").network(DEPHNMultiTaskClassifier, **few)
    space = {"dropout": uniform(0, 0.3)}
    monkeypatch.setitem(arena.ENTRIES, "DEPHN", entry(network, space))
    monkeypatch.setattr(
        arena,
        "in_its_process",
        lambda what, tuned, data: arena.run_one(*what, tuned, data),
    )
    folder = tmp_path
    options = ["--rows", 100, "--seeds", 1, "--entries", "DEPHN", "logistic regression"]
    options += ["--results", folder / "accuracy.jsonl"]
    options += ["--tuned", folder / "tuned.jsonl", "--tune", "--trials", 2]
    printed = call("bench_accuracy", *options)
    searches = lines(folder / "tuned.jsonl")
    assert [s["trials"] for s in searches] == [2, 2]
    rows = lines(folder / "accuracy.jsonl")
    assert [row["entry"] for row in rows] == ["DEPHN", "logistic regression"]
    for row in rows:
        assert row["tuned"]
        assert len(row["test_auc"]) == len(row["tasks"]) == 3
        assert f"| {row['entry']} | 2 | 1 |" in printed

    before = (folder / "accuracy.jsonl").read_bytes()
    assert call("bench_accuracy", *options) == printed  # and nothing was run again
    assert (folder / "accuracy.jsonl").read_bytes() == before


def test_a_fit_has_a_process_of_its_own(script):
    what = "logistic regression", "simulated", "raw", 0, 200
    row = script("bench_accuracy").in_its_process(what, None, None)
    assert (row["entry"], row["rows"], len(row["test_auc"])) == (what[0], 200, 3)
    assert row["peak_rss_mb"] > 0


def test_the_page_prints_the_results_that_are_kept(call):
    printed = call("bench_accuracy", "--report").strip()
    assert printed in (ROOT / "docs" / "benchmarks.md").read_text()

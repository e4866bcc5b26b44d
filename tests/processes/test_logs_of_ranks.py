"""Ranks count and encode a log by shares, and learn what one process does."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyarrow")

from processes import _log_cells
from processes._launch import Job, launched

CASES = {
    "folders apart": {"folder": False},
    "one folder": {"folder": True},
    "two workers each": {"folder": True, "log": {"n_jobs": 2}},
    "set aside": {"folder": True, "model": {"early_stopping": True}},
    "set aside by groups": {
        "folder": False,
        "model": {"early_stopping": True},
        "groups": "user",
    },
    "more ranks than pieces": {"folder": True, "size": 8},
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    path = str(folder / "log.parquet")
    _log_cells.write_log(path)
    jobs = {}
    for name, case in CASES.items():
        how = {k: v for k, v in case.items() if k in ("log", "model", "groups")}
        for size in (1, case.get("size", 2)):
            own = str(folder / f"{name}-{size}") if case["folder"] else None
            jobs[name, size] = Job("fitted", size, (path, own, how))
    for how in ("rows", "columns", "table"):
        jobs[how, 2] = Job("differing", 2, (path, str(folder / how), how), timeout=20)
    jobs["refusing", 2] = Job("refusing", 2, (path,), timeout=20)
    return {
        key: [result for result, _ in ranks]
        for key, ranks in launched("processes._log_cells", jobs).items()
    }


def of(found, name):
    size = CASES[name].get("size", 2)
    (alone,), ranks = found[name, 1], found[name, size]
    assert isinstance(alone, dict), alone
    for rank in ranks:
        assert isinstance(rank, dict), rank
    return alone, ranks


@pytest.mark.parametrize("name", CASES)
def test_ranks_learn_from_a_log_what_one_process_does(found, name):
    alone, ranks = of(found, name)
    for rank in ranks:
        assert rank["encoder"] == alone["encoder"]
        assert rank["bytes"] == ranks[0]["bytes"]
        np.testing.assert_allclose(
            rank["predictions"], alone["predictions"], rtol=0, atol=1e-9
        )


@pytest.mark.parametrize("name", [name for name in CASES if "workers" not in name])
def test_each_counts_its_share(found, name):
    alone, ranks = of(found, name)
    assert (
        sorted(start for rank in ranks for start in rank["counted"]) == alone["counted"]
    )
    assert len(alone["counted"]) == _log_cells.N_PIECES
    assert max(len(rank["counted"]) for rank in ranks) <= -(-7 // len(ranks)) + 1


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name]["folder"]])
def test_each_writes_its_share_into_a_folder_that_all_reach(found, name):
    alone, ranks = of(found, name)
    assert {text.split("-")[0] for text in alone["written"]} == {"0"}
    writers = {text.split("-")[0] for text in ranks[0]["written"]}
    assert len(writers) == min(len(ranks), _log_cells.N_PIECES)
    assert ranks[0]["n_left"] == 1  # and nothing that is temporary


def test_a_rank_that_cannot_read_its_share_ends_all(found):
    first, second = found["refusing", 2]
    assert second == ("ValueError", "row 3 of nobody's file")
    assert first[0] == "RankError"
    assert "Rank 1 of 2 has failed: ValueError: row 3 of nobody's file" in first[1]


@pytest.mark.parametrize(
    ("how", "said"),
    [("rows", "rank 0: the r"), ("columns", "the columns of X"), ("table", "X")],
)
def test_ranks_that_were_given_other_rows_are_named(found, how, said):
    for rank in found[how, 2]:
        assert rank[0] == "RankError"
        assert "Rank 1 of 2 was given something else than rank 0" in rank[1]
        assert said in rank[1]


def test_rows_that_differ_are_not_kept_for_later_fits(found):
    """Half of them would be another log's, under the name of rank 0's."""
    _, second = found["rows", 2]
    assert second[2] <= 1  # what rank 0 removes, maybe not yet
    assert second[0] == "RankError"

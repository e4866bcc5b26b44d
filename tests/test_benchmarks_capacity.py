"""Time, memory and network of other sizes, beside slow sums; what the page prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
ROOT = Path(__file__).parents[1]


@pytest.fixture
def capacity(script):
    return script("bench_capacity")


@pytest.fixture
def found(capacity):
    return capacity.Results(capacity.RESULTS / "capacity.jsonl", ()).rows[-1]


@pytest.mark.parametrize("n_ids", [80, 800, 80_000])
@pytest.mark.parametrize("n_rows", [1, 50, 3_000])
def test_rows_that_are_touched_are_those_of_a_log(capacity, n_rows, n_ids):
    edges = np.cbrt(np.arange(n_ids // 8 + 1) / (n_ids // 8))
    of_column = np.sum(1 - (1 - np.diff(edges)) ** n_rows)
    wanted = 8 * of_column + 4 * min(20, n_rows)
    assert capacity.touched(n_rows, n_ids) == pytest.approx(wanted, rel=0.01)
    X, _ = capacity.log_of(n_rows, n_ids)
    drawn = sum(X[f"id{j}"].iloc[n_ids // 8 :].nunique() for j in range(8))
    assert drawn == pytest.approx(8 * of_column, abs=6 * np.sqrt(8 * of_column))


def test_a_step_hands_over_what_it_is_told_to(capacity, monkeypatch):
    """One process counts what ranks would: numbers, and bytes of rows of tables."""
    steps = capacity.Steps(64, 800)
    sizes, table = steps.sizes(), steps.table
    network, criterion = steps.state.network, steps.state.net.criterion_
    every = [*network.parameters(), *criterion.parameters()]
    assert sizes["n_dense"] + table.numel() == sum(p.numel() for p in every)
    steps.run()
    # weights, gradients, two moments and an average of float32
    each = steps.row_bytes()
    assert each == dict.fromkeys(["weights", "average", "gradient"], 64) | {
        "optimizer": 128
    }


def test_more_processes_take_less_time_and_send_more(capacity, found):
    model = capacity.Model(**found["model"])
    one, two, eight = (
        capacity.planned(model, 1e8, 1e7, workers, 4_096) for workers in (1, 2, 8)
    )
    assert one["sent"] == 0 < two["sent"] < eight["sent"]
    assert one["passes"] > two["passes"] > eight["passes"]
    network = [plan["parts"]["network"] for plan in (one, two, eight)]
    assert network == sorted(network, reverse=True)
    table = [plan["parts"]["table"] for plan in (one, two, eight)]
    assert table == sorted(table, reverse=True)  # each steps its rows
    assert table[2] > table[0] / 8  # and copies those of others


def test_a_small_table_is_sent_whole_and_a_large_one_by_its_rows(capacity, found):
    model = capacity.Model(**found["model"])
    below, above = (
        model.exchanged(512, capacity.SPARSE_ROWS + more, 2) for more in (-1, 0)
    )
    assert below[0] - above[0] > 4 * 16 * (capacity.SPARSE_ROWS - 100)
    assert above[1] > below[1]


def test_the_page_prints_what_was_found(capacity, found):
    page = (ROOT / "docs" / "scaling.md").read_text()
    for name, table in capacity.tables(found).items():
        assert f"<!-- {name} -->\n{table}\n<!-- end -->" in page


def test_the_threshold_is_that_of_tables(capacity):
    from dephn_sk.nn import _table

    assert capacity.SPARSE_ROWS == _table.SPARSE_ROWS

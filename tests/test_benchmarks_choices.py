"""The scripts that the default is chosen by run, resume, and choose without the set."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from dephn_sk import DEPHNMultiTaskClassifier

pd = pytest.importorskip("pandas")
pytestmark = pytest.mark.usefixtures("short_logs", "short_fits")


@pytest.fixture
def two_epochs(script, monkeypatch):
    """Variants of the default that patience ends at once."""
    variants = script("_variants")
    short = partial(DEPHNMultiTaskClassifier, n_epochs_no_change=1, embedding_dim=2)
    monkeypatch.setattr(variants, "DEPHNMultiTaskClassifier", short)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


SMALL = ["--rows", 200, "--datasets", "simulated", "simulated, drift"]


def test_variants_are_compared_with_the_default_of_the_same_seed(
    call, two_epochs, tmp_path
):
    options = [*SMALL, "--seeds", 1, "--variants", "three DNN experts"]
    options += ["--results", tmp_path / "rows.jsonl"]
    printed = call("bench_leave_one_out", *options)
    rows = lines(tmp_path / "rows.jsonl")
    assert [row["variant"] for row in rows] == ["control", "three DNN experts"] * 2
    gain = np.mean(rows[1]["auc"]) - np.mean(rows[0]["auc"])
    assert f"| simulated | 1 | {np.mean(rows[0]['auc']):.4f} | {gain:+.4f} |" in printed
    before = (tmp_path / "rows.jsonl").read_bytes()
    assert call("bench_leave_one_out", *options) == printed
    assert (tmp_path / "rows.jsonl").read_bytes() == before
    left = call("bench_leave_one_out", *options, "--estimate", "--seeds", 3)
    assert left.startswith("8 fits to run")


def test_a_set_has_no_say_in_what_is_chosen_for_it(script):
    choose = script("bench_leave_one_out").chosen_by_others
    gain = {"a": {"x": 0.01, "y": -0.02}, "b": {"x": -0.01, "y": 0.01}}
    assert choose(gain, "x") == "b"
    assert choose(gain, "y") == "a"
    gain["b"]["x"] = 100.0
    assert choose(gain, "x") == "b"
    assert choose({"a": {"x": 1.0, "y": -1.0}}, "x") == "control"


def test_rows_that_end_a_fit_do_not_judge_it(script):
    halves = script("_datasets").stopping_and_judging
    X = pd.DataFrame({"row": range(3001)})
    stop, (judged, _) = halves(X, X)
    assert not set(stop["X_val"]["row"]) & set(judged["row"])
    assert len(stop["X_val"]) + len(judged) == 3001
    few, (judged, _) = halves(X[:300], X[:300])
    assert not few and len(judged) == 300


def test_a_draw_is_another_log_and_no_label_of_the_test_is_hidden(script):
    load = script("_datasets").DATASETS["simulated, unlabeled"]
    X, y = load("train", None, 1)
    assert y.isna().to_numpy().mean() > 0.7
    assert load("test", None, 1)[1][["click", "like"]].notna().all(axis=None)
    assert not X.equals(load("train", None, 0)[0])


def test_a_simple_model_gets_the_rows_that_the_network_gets(call, tmp_path):
    options = ["--datasets", "simulated", "--sizes", 150, "--draws", 2]
    options += ["--entries", "DEPHN", "DEPHN per task", "logistic regression"]
    options += ["--results", tmp_path / "rows.jsonl"]
    printed = call("bench_small", *options)
    rows = lines(tmp_path / "rows.jsonl")
    assert {(row["n_train"], row["part"]) for row in rows} == {(150, "validation")}
    ours, theirs = (
        [np.mean(row["auc"]) for row in rows if row["entry"] == entry]
        for entry in ("DEPHN", "logistic regression")
    )
    differences = np.subtract(ours, theirs)
    error = differences.std(ddof=1) / np.sqrt(2)
    assert f"| {differences.mean():+.4f} ± {error:.4f} |" in printed
    assert call("bench_small", *options) == printed


@pytest.mark.parametrize("entry", ["logistic regression", "LightGBM"])
def test_a_task_of_one_positive_row_gets_its_rate(script, entry):
    X = pd.DataFrame({"kind": list("abcd") * 10, "size": np.arange(40.0)})
    y = pd.DataFrame({"rare": [1] + [0] * 39})
    model = script("bench_small").ENTRIES[entry](0)
    if entry == "LightGBM":
        pytest.importorskip("lightgbm")
    np.testing.assert_allclose(model.fit(X, y).predict_proba(X), 1 / 40)


def test_the_worst_seed_is_told_beside_the_mean(call, two_epochs, tmp_path):
    options = ["--datasets", "simulated", "--rows", 100, "--seeds", 3]
    printed = call("bench_seeds", *options, "--results", tmp_path / "rows.jsonl")
    scores = [np.mean(row["auc"]) for row in lines(tmp_path / "rows.jsonl")]
    low = (np.mean(scores) - min(scores)) / np.std(scores, ddof=1)
    assert f"| {min(scores):.4f} | {low:.1f} |" in printed


def test_seconds_are_compared_within_a_seed_and_a_commit(script):
    def row(entry, seed, taken, commit="a"):
        key = {"entry": entry, "dataset": "x", "features": "raw", "seed": seed}
        return key | {
            "rows": None,
            "tuned": False,
            "commit": commit,
            "fit_cpu_seconds": taken,
        }

    rows = [row("LightGBM per task", 0, 2.0), row("LightGBM per task", 1, 4.0)]
    rows += [row("DEPHN", 0, 1.0), row("DEPHN", 1, 1.0), row("DEPHN", 1, 9.0, "b")]
    printed = script("bench_accuracy").seconds(rows)
    assert "| x | raw | DEPHN | 2 | 1.0 | 0.38 ± 0.18 |" in printed
    assert not script("bench_accuracy").seconds(rows[2:])


def test_members_that_share_weights_share_them(script):
    members = script("bench_members")
    X, y, *_ = members.data_of("log", "", 300)
    sizes = {}
    for how in ("one table", "one body"):
        model, *_ = members.fitted(X, y, members.sharing(3, how), max_epochs=1)
        one, *others = model.network_.members
        table = {id(p) for p in one.embedding.parameters()}
        body = {id(p) for p in one.interaction.parameters()}
        for other in others:
            own = {id(p) for p in other.interaction.parameters()}
            assert own == body if how == "one body" else not own & body
            assert table & {id(p) for p in other.embedding.parameters()}
        sizes[how] = sum(p.numel() for p in model.network_.parameters())
    assert sizes["one body"] < sizes["one table"]


def test_members_are_compared_with_fits_apart(call, tmp_path):
    file = tmp_path / "rows.jsonl"
    options = ["--rows", 200, "--networks", 1, 2, "--output", file]
    printed = call("bench_members", *options)
    rows = lines(file)
    assert [row["how"] for row in rows if row["k"] == 2] == [
        *("apart", "together", "one table", "one body")
    ]
    alone = [row["auc"] for row in rows if row["k"] == 1]
    assert alone[0] == alone[1]  # one network is one fit
    assert "one body" in printed


def test_the_funnel_is_judged_by_its_truth(call, script, monkeypatch, tmp_path):
    bench = script("bench_funnel")
    truth = np.linspace(0.1, 0.5, 400)
    right = bench.judge(truth, truth, np.arange(400) % 2)
    assert right["bias"] == right["calibration_error"] == 0
    double = bench.judge(2 * truth, truth, np.arange(400) % 2)
    assert double["bias"] == pytest.approx(1)
    assert double["calibration_error"] == pytest.approx(truth.mean())
    monkeypatch.setattr(bench, "N_LOGGED", 900)
    monkeypatch.setattr(bench, "N_TRAINED", 600)
    few = {"max_epochs": 1, "embedding_dim": 2}
    model_of = bench.model_of
    monkeypatch.setattr(bench, "model_of", lambda *a, **k: model_of(*a, **few, **k))
    options = ["--seeds", 1, "--results", tmp_path / "rows.jsonl"]
    printed = call("bench_funnel", *options)
    rows = lines(tmp_path / "rows.jsonl")
    assert [row["learned_from"] for row in rows] == [*bench.LEARNED_FROM]
    bias = 100 * rows[2]["answers"]["conditions"]["bias"]
    assert f"| conditions | {bias:.1f} |" in printed
    assert call("bench_funnel", *options) == printed

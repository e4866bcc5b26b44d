"""The scripts of the paper's questions run, resume, and agree with the page."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dephn_sk.datasets._ali_ccp import ITEM_FIELDS, USER_FIELDS

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


@pytest.fixture
def importable(monkeypatch):
    """The scripts can be imported."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def call(monkeypatch, capsys, importable):
    """call(script, *options): run a script's main, and return what it prints."""

    def run(script, *options):
        path = BENCHMARKS / f"{script}.py"
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, options)])
        code = compile(path.read_text(), str(path), "exec")
        exec(code, {"__name__": "__main__", "__file__": str(path)})
        return capsys.readouterr().out

    return run


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


TINY = ("--rows", 300, "--epochs", 1, "--datasets", "simulated")


def test_a_run_of_systems_goes_on_where_it_stopped(call, tmp_path):
    results = tmp_path / "systems.jsonl"
    options = (*TINY, "--systems", "MMoE", "DEPHN", "--results", results)
    call("rq3_systems", *options, "--seeds", 1)
    first = lines(results)
    assert [(row["system"], row["seed"]) for row in first] == [
        ("MMoE", 0),
        ("DEPHN", 0),
    ]
    table = call("rq3_systems", *options, "--seeds", 2)
    assert lines(results)[:2] == first
    assert len(lines(results)) == 4
    assert "| MMoE | 2 |" in table and "| DEPHN | 2 |" in table


def test_questions_on_systems_share_their_results(call, tmp_path):
    results = tmp_path / "systems.jsonl"
    options = (*TINY, "--seeds", 1, "--results", results)
    call("rq3_systems", *options, "--systems", "MMoE")
    table = call("rq1_expert_settings", *options, "--systems", "MMoE", "MT-PHN")
    assert [row["system"] for row in lines(results)] == ["MMoE", "MT-PHN"]
    assert "less that of MT-PHN" in table


def test_seeds_are_the_outer_loop(call, tmp_path):
    results = tmp_path / "systems.jsonl"
    options = ("--systems", "DNN", "MMoE", "--seeds", 2, "--results", results)
    call("rq3_systems", *TINY, *options)
    assert [row["seed"] for row in lines(results)] == [0, 0, 1, 1]


def test_every_variant_of_the_virtual_gradient_runs(call, tmp_path):
    results = tmp_path / "rq2.jsonl"
    options = ("--features", "simulated", "--rows", 300, "--epochs", 1, "--seeds", 1)
    options += ("--results", results)
    tables = call("rq2_virtual_gradient", *options, "--experiments", "study", "gates")
    assert "SGD 0.1, off" in tables and "| mapped |" in tables
    done = lines(results)
    assert {row["dataset"] for row in done} == {
        "simulated-related",
        "simulated-unrelated",
        "simulated-independent",
    }
    assert all(len(row["valid_curve"]) == row["epochs"] for row in done)
    call("rq2_virtual_gradient", *options, "--experiments", "study", "gates")
    assert lines(results) == done


def test_tasks_in_conflict_are_what_they_are_called(call, importable, tmp_path):
    import rq2_virtual_gradient as rq2

    X = pd.DataFrame({"a": np.random.default_rng(0).normal(size=2000), "b": "c"})
    X["b"] = np.random.default_rng(1).integers(0, 9, 2000).astype(str)
    opposed, crossed = (
        rq2.made(X, name, 0).corr().iloc[0, 1] for name in ("opposed", "crossed")
    )
    assert opposed < -0.5 and abs(crossed) < 0.4
    assert len(rq2.target(X, "eight").columns) == 8
    options = ("--features", "simulated", "--rows", 200, "--epochs", 1, "--seeds", 1)
    options += ("--results", tmp_path / "rq2.jsonl")
    tables = call("rq2_virtual_gradient", *options, "--experiments", "conflict")
    done = lines(tmp_path / "rq2.jsonl")
    assert {len(row["tasks"]) for row in done} == {2, 8}
    assert "| plain descent, product |" in tables
    # every parameter learns by plain descent, so the networks differ
    scores = {row["system"]: row["test_log_loss"] for row in done}
    assert scores["plain descent, off"] != scores["off"]


def test_decoupled_coefficient_of_zero_leaves_adams_gates_where_they_are(importable):
    import rq2_virtual_gradient as rq2

    from dephn_sk import DEPHNMultiTaskClassifier

    # two tasks of one label with equal gates: the coefficient is 0
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=64)})
    labels = (X["a"] > 0).astype(int)
    y = pd.DataFrame({"one": labels, "other": labels})
    model = DEPHNMultiTaskClassifier(
        max_epochs=2,
        random_state=0,
        virtual_gradient=None,
        gate_optimizer="adam",
        weight_decay=0.0,
        weight_averaging=0.0,
        callbacks=[rq2.StartingGates("alike"), rq2.DecoupledGradient()],
    ).fit(X, y)
    np.testing.assert_array_equal(model.gate_values_, np.full((2, 6), 0.5))


def test_fitted_models_are_described(call, tmp_path):
    results = tmp_path / "fitted.jsonl"
    tables = call(
        "fitted_models",
        *("--rows", 300, "--seeds", 1, "--datasets", "simulated"),
        *("--experiments", "network", "tasks", "--results", results),
    )
    for row in lines(results):
        if row["experiment"] == "network":
            np.testing.assert_allclose(np.sum(row["shares"], axis=1), 1, atol=1e-3)
    assert "| simulated | click | 1 |" in tables
    assert "| simulated | related | 1 |" in tables


# ------------------------------------- the files of the paper, in their own layout


def write_criteo(folder):
    rng = np.random.default_rng(0)
    rows = [
        [
            str(i % 2),
            *map(str, rng.integers(0, 9, 13)),
            *(f"{h:08x}" for h in rng.integers(0, 5, 26)),
        ]
        for i in range(60)
    ]
    text = "".join("\t".join(row) + "\n" for row in rows)
    (folder / "criteo").mkdir()
    (folder / "criteo" / "train.txt").write_text(text)


def write_wechat(folder):
    n, rng = 140, np.random.default_rng(0)
    log = pd.DataFrame(
        {
            "userid": rng.integers(0, 9, n),
            "feedid": rng.integers(0, 4, n),
            "date_": np.arange(n) % 14 + 1,
            "device": rng.integers(1, 3, n),
            "read_comment": np.arange(n) // 14 % 2,
            "like": np.arange(n) // 28 % 2,
            "click_avatar": np.arange(n) // 42 % 2,
        }
    )
    names = ["authorid", "videoplayseconds", "bgm_song_id", "bgm_singer_id"]
    feeds = pd.DataFrame({"feedid": range(4)} | dict.fromkeys(names, range(4)))
    for kind in ("manual_keyword", "machine_keyword", "manual_tag", "machine_tag"):
        feeds[f"{kind}_list"] = ["1;2", "3", "4", "5"]
    (folder / "wechat2021").mkdir()
    log.to_csv(folder / "wechat2021" / "user_action.csv", index=False)
    feeds.to_csv(folder / "wechat2021" / "feed_info.csv", index=False)


def write_ali_ccp(folder):
    def features(fields, i):
        return "\x01".join(f"{f}\x02{i % 5}\x031.0" for f in fields)

    (folder / "ali_ccp").mkdir()
    for part, n in (("train", 100), ("test", 40)):
        users = "".join(f"u{i},9,{features(USER_FIELDS, i)}\n" for i in range(3))
        rows = "".join(
            f"{i},{i % 2},{int(i % 4 == 1)},u{i % 3},9,{features(ITEM_FIELDS, i)}\n"
            for i in range(n)
        )
        (folder / "ali_ccp" / f"common_features_{part}.csv").write_text(users)
        (folder / "ali_ccp" / f"sample_skeleton_{part}.csv").write_text(rows)


@pytest.mark.parametrize(
    ("dataset", "write_files", "tasks"),
    [
        ("criteo", write_criteo, ["click"]),
        ("ali-ccp", write_ali_ccp, ["click", "conversion"]),
        ("wechat2021", write_wechat, ["read_comment", "like", "click_avatar"]),
    ],
)
def test_the_papers_own_files_are_one_command(
    call, tmp_path, dataset, write_files, tasks
):
    write_files(tmp_path)
    results = tmp_path / "systems.jsonl"
    options = ("--datasets", dataset, "--data", tmp_path, "--results", results)
    options += ("--seeds", 1, "--epochs", 1, "--systems", "MMoE", "DEPHN")
    table = call("rq3_systems", *options)
    assert f"| system | seeds | {' | '.join(tasks)} |" in table
    assert [row["tasks"] for row in lines(results)] == [tasks] * 2


def test_made_tasks_over_criteos_features_are_one_command(call, tmp_path):
    write_criteo(tmp_path)
    options = ("--features", "criteo", "--data", tmp_path, "--rows", 20, "--epochs", 1)
    options += ("--seeds", 1, "--results", tmp_path / "rq2.jsonl")
    tables = call("rq2_virtual_gradient", *options, "--experiments", "mapping")
    assert "#### criteo-unrelated, 20 rows, 1 epochs" in tables


def test_page_of_the_reproduction_agrees_with_the_results(importable):
    import write_reproduction

    page = write_reproduction.PAGE.read_text()
    assert page == write_reproduction.filled(page)

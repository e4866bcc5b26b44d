"""What experts cost is measured against other experts of the same rows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("pandas")


@pytest.fixture
def speed(script):
    return script("bench_speed")


def test_experts_are_compared_on_three_tasks(speed, monkeypatch, capsys):
    seconds = {"three DNN experts": 2.0, "DNN, cross, field": 3.0}
    made = []

    class Timed(speed.Ours):
        def __init__(self, name, *data):
            super().__init__(name, *data)
            made.append(self)
            self.seconds = seconds.get(name, 6.0)

    monkeypatch.setattr(speed, "Ours", Timed)

    def timed(action):
        action()
        return action.__self__.seconds, action.__self__.seconds

    monkeypatch.setattr(speed, "timed", timed)
    X, y = speed.load(None, 256)
    before = SimpleNamespace(ask=lambda action: {"cpu": 12.0})
    rows = speed.race_experts(X, y, 64, 1, before)
    assert [entry.state.epoch for entry in made] == [2, 2, 2]
    assert [len(entry.network.towers.outputs) for entry in made] == [3, 3, 3]
    experts = [entry.network.interaction for entry in made]
    assert [dict(one.public_kinds) for one in experts] == [
        {"dnn": 3},
        {"dnn": 1, "cross": 1, "field": 1},
        {"dnn": 1, "cross": 1, "field": 1},
    ]
    assert [dict(one.private_kinds) for one in experts] == [
        *({}, {}),
        {"cross": 1, "field": 1},
    ]
    assert [row.get("times_the_other_experts") for row in rows] == [None, 1.5, 2.0]
    assert [row["of_before"] for row in rows] == [6.0, 4.0, 2.0]
    speed.show_experts(rows)
    printed = capsys.readouterr().out.splitlines()
    assert (
        printed[-2].split(maxsplit=3)[-1] == "85       4.00    1.50  three DNN experts"
    )
    assert printed[-1].endswith("2.00    2.00  DNN, cross, field")


def test_another_commit_takes_turns_beside_this_one(speed, monkeypatch):
    monkeypatch.setattr(speed, "OURS", {"MMoE": speed.OURS["MMoE"]})
    monkeypatch.setattr(speed, "REFERENCE", {"MMoE": "bare MMoE"})
    asked = []

    def ask(line):
        asked.append(line)
        return {"rows": 100, "cpu": 1e9, "wall": 1e9}

    before = speed.Before(SimpleNamespace(ask=ask), "MMoE")
    X, y = speed.load(None, 128)
    rows = speed.race(X, y, 64, 1, {"MMoE, before": before})
    assert asked == 2 * ["fit: MMoE", "predict: MMoE"]
    ours = [row for row in rows if row["entry"] == "MMoE"]
    for row in ours:
        assert row["of_before"] == pytest.approx(row["rows_per_cpu_s"] * 1e7)
    others = [row for row in rows if row["entry"] == "MMoE, before"]
    assert [row["rows_per_cpu_s"] for row in others] == [1e-7, 1e-7]
    assert not any("times_slower_than_our_mmoe" in row for row in rows)

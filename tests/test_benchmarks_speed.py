"""What experts cost is measured against other experts of the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pandas")
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return __import__("bench_speed")


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
    rows = speed.race_experts(X, y, 64, rounds=1)
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
    speed.show_experts(rows)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2].endswith("85    1.50  three DNN experts")
    assert printed[-1].endswith("2.00  DNN, cross, field")

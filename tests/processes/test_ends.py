"""Whatever ends a rank ends all of them, with an error that says which, and why."""

from __future__ import annotations

import numpy as np
import pytest
from processes._launch import launched

TIMEOUT = 20.0
PHASES = {
    2: "count",
    3: "labels",
    4: "on_train_begin",
}
STEPS = {2: "validation", 3: "on_batch_end", 4: "losses"}
EVENTS = {2: "on_epoch_end", 3: "on_grad_computed", 4: "validation"}


@pytest.fixture(scope="module", params=[PHASES, STEPS, EVENTS], ids=["a", "b", "c"])
def phases(request):
    return request.param


@pytest.fixture(scope="module")
def killed(phases):
    given = {"arguments": (phases, "kill"), "timeout": str(TIMEOUT)}
    return launched("processes._ends", "end_in_each_phase", *phases, **given)[0]


@pytest.mark.parametrize("size", PHASES)
def test_a_rank_that_is_killed_ends_all(killed, size):
    first, lost, *others = killed[size]
    assert lost is None
    for kind, text, seconds in (first, *others):
        assert kind == "RankError"
        assert f"Rank 1 of {size} no longer answers" in text
        assert seconds < TIMEOUT


@pytest.fixture(scope="module")
def raised(phases):
    given = {"arguments": (phases, "raise"), "timeout": str(TIMEOUT)}
    return launched("processes._ends", "end_in_each_phase", *phases, **given)[0]


@pytest.mark.parametrize("size", PHASES)
def test_an_error_of_a_rank_ends_all(raised, size):
    first, own, *others = raised[size]
    assert own[:2] == ("ZeroDivisionError", "raise")
    for kind, text, _ in (first, *others):
        assert kind == "RankError"
        assert text == f"Rank 1 of {size} has failed: ZeroDivisionError: raise"


def test_a_rank_that_is_silent_ends_all_within_the_timeout():
    given = {"arguments": ({2: "losses"}, "stop"), "timeout": "4"}
    found = launched("processes._ends", "end_in_each_phase", 2, **given, waits=False)
    kind, text, seconds = found[0][2][0]
    assert kind == "RankError"
    assert "Rank 1 of 2 no longer answers" in text


def test_rank_0_shows_writes_and_stops_for_all():
    found, printed = launched("processes._ends", "callbacks", 3)
    ranks = found[3]
    assert [one["n_iter"] for one in ranks] == [2, 2, 2]
    assert [one["heard"] for one in ranks] == [[1, 2], [], []]
    assert [one["written"] for one in ranks] == [[1, 2]] * 3
    assert all(one["zero"] for one in ranks)
    assert len({tuple(one["names"]) for one in ranks}) == 1
    # a decision, two lines of a head, and a line for each epoch
    assert len(printed.splitlines()) == 5


def test_ranks_train_on_their_share_of_each_batch():
    found, _ = launched("processes._ends", "callbacks", 3)
    assert [one["seen"] for one in found[3]] == [
        [22, 22, 22, 1] * 2,
        [21, 21, 21, 0] * 2,
        [21, 21, 21, 0] * 2,
    ]


def test_ranks_that_were_given_something_else_are_named():
    found, _ = launched("processes._ends", "other_inputs", 2)
    first, second = found[2]
    assert first == second
    texts, fitted = first[::2], first[1::2]
    assert not any(fitted)
    assert all("Rank 1 of 2 was given something else" in text for text in texts)
    for text, name in zip(
        texts,
        ("learning_rate (1.01", "random_state", "rows (192", "y", "X", "rows of X"),
        strict=True,
    ):
        assert name in text


def test_a_rank_that_refuses_its_input_ends_all_and_changes_nothing():
    found, _ = launched("processes._ends", "refused_input", 3)
    for rank, (errors, same, _) in enumerate(found[3]):
        for text in errors:
            assert text.startswith("ValueError" if rank == 1 else "RankError")
            assert "infinity" in text
            assert rank == 1 or "Rank 1 of 3 has failed: ValueError" in text
        assert len(errors) == 2
        assert same
    predictions = [again for *_, again in found[3]]
    assert all(np.array_equal(one, predictions[0]) for one in predictions)


def test_ranks_share_the_seed_of_rank_0_unless_each_fits_alone():
    found, _ = launched("processes._ends", "random_seeds", 2)
    (shared, own), (same, another) = found[2]
    assert shared == same
    assert own != another


def test_a_fit_goes_on_with_another_number_of_processes(tmp_path):
    module = "processes._ends"
    (alone,) = launched(module, "resumed", 1, arguments=(tmp_path, False))[0][1]
    for file in tmp_path.iterdir():
        file.unlink()
    killed = launched(module, "resumed", 3, arguments=(tmp_path, True))[0][3]
    assert "RankError" in repr(killed[0])
    assert [file.name for file in tmp_path.iterdir() if file.name == "fit.zip"]
    goes_on = launched(module, "resumed", 2, arguments=(tmp_path, False))[0][2]
    for predictions, n_iter in goes_on:
        np.testing.assert_allclose(predictions, alone[0], rtol=0, atol=1e-9)
        assert n_iter == alone[1]

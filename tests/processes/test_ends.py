"""Whatever ends a rank ends all of them, with an error that says which, and why."""

from __future__ import annotations

import numpy as np
import pytest
from processes._launch import Job, launched, printed

MODULE = "processes._ends"
PHASES = {
    "labels": 3,
    "count": 2,
    "on_train_begin": 4,
    "losses": 4,
    "on_grad_computed": 3,
    "on_batch_end": 2,
    "validation": 3,
    "on_epoch_end": 2,
}
SILENT = Job("end_of_fit", 2, ("losses", "stop"), timeout=8, waits=False)
OTHERS = {
    "silent": SILENT,
    "callbacks": Job("callbacks", 3),
    "interrupted": Job("interrupted", 2),
    "other inputs": Job("other_inputs", 2),
    "refused": Job("refused_input", 3),
    "seeds": Job("random_seeds", 2),
    "a source": Job("source_without_ranks", 2),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    jobs = {
        (phase, how): Job("end_of_fit", size, (phase, how), timeout=20)
        for phase, size in PHASES.items()
        for how in ("kill", "raise")
    }
    resumed = {
        "alone": Job("resumed", 1, (folder / "alone", False)),
        "killed": Job("resumed", 3, (folder / "fit", True)),
        "goes on": Job("resumed", 2, (folder / "fit", False)),
    }
    return launched(MODULE, {**jobs, **OTHERS, **resumed})


def results(ranks):
    return [one for one, _ in ranks]


@pytest.mark.parametrize("phase", PHASES)
def test_a_rank_that_is_killed_ends_all(found, phase):
    first, lost, *others = found[phase, "kill"]
    assert lost is None
    for kind, text in results([first, *others]):
        assert kind == "RankError"
        assert f"Rank 1 of {PHASES[phase]} no longer answers" in text


@pytest.mark.parametrize("phase", PHASES)
def test_an_error_of_a_rank_ends_all(found, phase):
    first, own, *others = results(found[phase, "raise"])
    assert own == ("ZeroDivisionError", "raise")
    cause = f"Rank 1 of {PHASES[phase]} has failed: ZeroDivisionError: raise"
    for end in (first, *others):
        assert end == ("RankError", cause)


def test_a_rank_that_is_silent_ends_all(found):
    kind, text = found["silent"][0][0]
    assert kind == "RankError"
    assert "Rank 1 of 2 no longer answers" in text


def test_rank_0_shows_writes_and_stops_for_all(found):
    ranks = results(found["callbacks"])
    assert [one["n_iter"] for one in ranks] == [2, 2, 2]
    assert [one["heard"] for one in ranks] == [[1, 2], [], []]
    assert [one["written"] for one in ranks] == [[1, 2]] * 3
    assert all(one["zero"] for one in ranks)
    assert len({tuple(one["names"]) for one in ranks}) == 1
    # a decision, two epochs, and why it ended
    assert len(printed(found["callbacks"]).splitlines()) == 4


def test_ranks_train_on_their_share_of_each_batch(found):
    # the last batch is one row; a callback hears of it on each rank
    assert [one["seen"] for one in results(found["callbacks"])] == [
        [22, 22, 22, 1] * 2,
        [21, 21, 21, 0] * 2,
        [21, 21, 21, 0] * 2,
    ]


def test_an_interrupt_of_a_rank_interrupts_all_and_keeps_whole_epochs(found):
    assert results(found["interrupted"]) == [("KeyboardInterrupt", 1)] * 2


def test_ranks_that_were_given_something_else_are_named(found):
    first, second = results(found["other inputs"])
    assert first == second
    texts, fitted = first[::2], first[1::2]
    assert not any(fitted)
    assert all("Rank 1 of 2 was given something else" in text for text in texts)
    names = "learning_rate (1.01", "random_state", "rows (192", "y", "X", "rows of X"
    for text, name in zip(texts, names, strict=True):
        assert name in text


def test_a_rank_that_refuses_its_input_ends_all_and_changes_nothing(found):
    for rank, (errors, same, _) in enumerate(results(found["refused"])):
        assert len(errors) == 2
        assert same
        for text in errors:
            assert text.startswith("ValueError" if rank == 1 else "RankError")
            assert "infinity" in text
            assert rank == 1 or "Rank 1 of 3 has failed: ValueError" in text
    predictions = [again for *_, again in results(found["refused"])]
    assert all(np.array_equal(one, predictions[0]) for one in predictions)


def test_ranks_share_the_seed_of_rank_0_unless_each_fits_alone(found):
    (shared, own), (same, another) = results(found["seeds"])
    assert shared == same
    assert own != another


def test_a_source_that_knows_no_ranks_is_refused(found):
    for text in results(found["a source"]):
        assert "does not know of ranks" in text


def test_a_fit_goes_on_with_another_number_of_processes(found):
    (alone,) = results(found["alone"])
    assert found["killed"][1] is None
    assert "no longer answers" in found["killed"][0][0]
    for predictions, n_iter in results(found["goes on"]):
        np.testing.assert_allclose(predictions, alone[0], rtol=0, atol=1e-9)
        assert n_iter == alone[1]

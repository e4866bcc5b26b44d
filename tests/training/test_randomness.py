"""One seed, the same bytes; nobody else's generator is read or moved."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _logs import SMALL, assert_same_learned, make_log

from dephn_sk import DEPHNMultiTaskClassifier
from dephn_sk.preprocessing import FieldEncoder
from dephn_sk.training._randomness import STREAMS, draw_seed, generator_of, seed_of

X, Y = make_log(64)


def make(**options):
    encoder = FieldEncoder(target_statistics=["shop"])  # of no seed of its own
    given = {"encoder": encoder, "early_stopping": True, "validation_fraction": 0.3}
    return DEPHNMultiTaskClassifier(**{**SMALL, **given, **options})


def generators():
    return np.random.get_state()[1:], torch.get_rng_state().tolist()


@pytest.fixture
def nobody_elses():
    """Fails where numpy's or torch's global generator has been moved."""
    before = repr(generators())
    yield
    assert repr(generators()) == before


SEEDS = {"int": lambda: 3, "instance": lambda: np.random.RandomState(3)}


@pytest.mark.usefixtures("nobody_elses")
@pytest.mark.parametrize("seed", SEEDS)
def test_one_seed_gives_the_same_bytes(seed):
    one, other = make(random_state=SEEDS[seed]()), make(random_state=SEEDS[seed]())
    assert_same_learned(one.fit(X, Y), other.fit(X, Y))
    assert_same_learned(one.partial_fit(X, Y), other.partial_fit(X, Y))


@pytest.mark.parametrize("seed", SEEDS)
def test_global_generators_are_not_read(seed):
    one, other = make(random_state=SEEDS[seed]()), make(random_state=SEEDS[seed]())
    with torch.random.fork_rng():
        before = np.random.get_state()
        one.fit(X, Y)
        torch.rand(3)
        np.random.random(3)
        other.fit(X, Y)
        np.random.set_state(before)
    assert_same_learned(one, other)


@pytest.mark.usefixtures("nobody_elses")
@pytest.mark.parametrize(
    "use",
    [
        lambda: make(random_state=None).fit(X, Y).predict_proba(X),
        lambda: make(random_state=None).partial_fit(X, Y).partial_fit(X, Y),
        lambda: make(warm_start=True).fit(X, Y).fit(X, Y).score(X, Y),
        lambda: FieldEncoder(target_statistics=["shop"]).fit_transform(X, Y),
        lambda: FieldEncoder(target_statistics=["shop"]).fit(X, Y).partial_fit(X, Y),
    ],
)
def test_global_generators_are_not_moved(use):
    use()


def test_a_random_state_moves_on_with_each_fit():
    state = np.random.RandomState(0)
    one, other = (make(random_state=state).fit(X, Y) for _ in range(2))
    assert one.fitted_params_["random_state"] is state
    assert not np.array_equal(one.predict_proba(X), other.predict_proba(X))
    expected = np.random.RandomState(0)
    draw_seed(expected)
    draw_seed(expected)
    assert draw_seed(state) == draw_seed(expected)


def test_each_use_epoch_and_step_has_random_numbers_of_its_own():
    seeds = {
        seed_of(seed, stream, epoch, step)
        for seed in (0, 1, 2**31)
        for stream in STREAMS
        for epoch in range(3)
        for step in range(3)
    }
    assert len(seeds) == 3 * len(STREAMS) * 9
    drawn = [torch.rand(2, generator=generator_of(0, s)).tolist() for s in STREAMS]
    assert len({tuple(d) for d in drawn}) == len(STREAMS)

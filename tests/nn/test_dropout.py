"""Random masks of training, drawn from a generator of one's own."""

from __future__ import annotations

import pickle

import pytest
import torch

from dephn_sk.nn import Dropout, Share, UnseenMask, use_generator
from dephn_sk.nn._dropout import Draws


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_zeroes_its_share_and_keeps_the_mean(p):
    dropout = Dropout(p)
    use_generator(dropout, generator())
    out = dropout(torch.ones(100, 100))
    assert abs((out == 0).float().mean() - p) < 0.02
    assert torch.allclose(out[out != 0], torch.tensor(1 / (1 - p)))


def test_unseen_mask_zeroes_its_share_and_changes_no_other_code():
    mask, codes = UnseenMask(0.25), torch.randint(1, 9, (100, 100))
    use_generator(mask, generator())
    out = mask(codes)
    assert abs((out == 0).float().mean() - 0.25) < 0.02
    assert torch.equal(out[out != 0], codes[out != 0])
    assert out.dtype == codes.dtype


@pytest.mark.parametrize("module", [Dropout(0.0), UnseenMask(0.0)])
def test_rate_zero_returns_the_very_input(module):
    x = torch.arange(4)
    assert module.train()(x) is x


@pytest.mark.parametrize("module", [Dropout(0.5), UnseenMask(0.5)])
def test_nothing_is_masked_outside_training(module):
    x = torch.arange(4)
    assert module.eval()(x) is x


@pytest.mark.parametrize("module", [Dropout(0.5), UnseenMask(0.5)])
def test_the_generator_decides_and_torch_keeps_its_own(module):
    state = torch.get_rng_state()
    x = torch.arange(1.0, 100.0)
    use_generator(module, generator())
    first = module(x)
    use_generator(module, generator())
    assert torch.equal(module(x), first)
    assert not torch.equal(module(x), first)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_entries_are_dropped_independently(p):
    dropout = Dropout(p)
    use_generator(dropout, generator())
    dropped = (dropout(torch.ones(40_000)) == 0).double()
    for distance in range(1, 9):
        together = torch.corrcoef(
            torch.stack([dropped[:-distance], dropped[distance:]])
        )
        assert abs(together[0, 1]) < 0.02
    assert len({tuple(row) for row in dropped.reshape(-1, 8).tolist()}) > 20


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 3, 5), (0, 4), (7, 1)])
def test_a_mask_has_the_shape_of_what_it_masks(shape):
    assert Dropout(0.5)(torch.ones(shape)).shape == shape
    assert UnseenMask(0.5)(torch.ones(shape, dtype=torch.int32)).shape == shape


@pytest.mark.parametrize("p", [1e-7, 1e-3])
def test_a_small_rate_is_no_rate_of_zero(p):
    dropout = Dropout(p)
    use_generator(dropout, generator())
    dropped = (dropout(torch.ones(1_000_000)) == 0).double().mean()
    assert 0 < dropped < max(2 * p, 1e-4)


def test_use_generator_reaches_every_part():
    parts = torch.nn.Sequential(Dropout(0.5), torch.nn.Sequential(UnseenMask(0.5)))
    own = generator()
    use_generator(parts, own)
    assert parts[0].generator is own
    assert parts[1][0].generator is own


def test_a_generator_is_no_part_of_a_pickle():
    dropout = Dropout(0.5)
    use_generator(dropout, generator())
    assert pickle.loads(pickle.dumps(dropout)).generator is None


@pytest.mark.parametrize("axis", [0, 1, -2])
@pytest.mark.parametrize("n_rows", [1, 2, 7])
@pytest.mark.parametrize("size", [2, 3])
def test_ranks_draw_the_masks_of_their_rows_of_the_batch(axis, n_rows, size):
    shape = [3, 5]
    shape.insert(axis % 3, n_rows)
    batch = torch.ones(shape)
    dropout = Dropout(0.5, batch_axis=axis)
    use_generator(dropout, torch.Generator().manual_seed(0))
    whole = dropout(batch)
    for rank in range(size):
        share = Share(rank, size, n_rows)
        use_generator(dropout, torch.Generator().manual_seed(0), share)
        own = dropout(share.of(batch, axis))
        assert own.shape[axis] == share.n_own
        assert torch.equal(own, share.of(whole, axis))


def test_a_mask_that_does_not_know_the_rows_axis_says_so():
    dropout = Dropout(0.5)
    use_generator(dropout, torch.Generator(), Share(0, 2, n_rows=8))
    with pytest.raises(ValueError, match="which axis holds the rows: batch_axis"):
        dropout(torch.ones(3, 4, 5))
    assert pickle.loads(pickle.dumps(dropout)).share is None


# ------------------------------------------------------------------ drawn beforehand


def masks():
    """Masks of several shapes, one of which is used twice."""
    twice = Dropout(0.5)
    return torch.nn.Sequential(
        twice, Dropout(0.0), torch.nn.Flatten(1), Dropout(0.25), twice
    )


@pytest.mark.parametrize("rank", [None, 0, 1])
def test_what_is_drawn_beforehand_is_what_would_be_drawn(rank):
    module, n_rows = masks(), 7
    share = None if rank is None else Share(rank, 2, n_rows)
    x = torch.ones(n_rows if share is None else share.n_own, 3, 5)
    use_generator(module, generator(), share)
    expected = [module(x), module(x)]
    draws = Draws(module, input=x)
    use_generator(module, generator(), share)
    found = []
    for _ in expected:
        draws.draw()
        state = module[0].generator.get_state()
        with draws.given():
            found.append(module(x))
        assert torch.equal(module[0].generator.get_state(), state)
    assert all(map(torch.equal, found, expected))
    assert not torch.equal(*found)


def test_a_pass_that_fails_leaves_masks_as_they_were():
    module = torch.nn.Sequential(*masks(), torch.nn.Linear(2, 1))
    with pytest.raises(RuntimeError):
        Draws(module, input=torch.ones(4, 3, 5))
    use_generator(module, generator())
    first = module[0](torch.ones(4, 3))
    use_generator(module, generator())
    assert torch.equal(module[0](torch.ones(4, 3)), first)
    assert module[0].seen is module[0].drawn is None

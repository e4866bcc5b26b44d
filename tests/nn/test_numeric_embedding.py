"""NumericEmbedding: the parts of its docstring, one number at a time."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from _naive import numeric_field, randomize
from torch.testing import assert_close

from dephn_sk.nn import NumericEmbedding, PlainNumbers

PARTS = ("linear", "bins", "piecewise-linear", "periodic")
EDGES = [[-1.0, 0.0, 0.5, 1.5], [0.0, 2.0], [-3.0, -1.0, 4.0]]
NUMBERS = torch.tensor(
    [
        [-0.3, 1.0, 0.0],
        [0.0, 0.0, -1.0],  # on an edge
        [0.5, 2.0, 4.0],
        [-7.0, -5.0, -9.0],  # beyond the first
        [9.0, 5.0, 8.0],  # beyond the last
        [torch.nan, 1.5, torch.nan],
        [torch.nan, torch.nan, torch.nan],
    ],
    dtype=torch.float64,
)


def make(parts):
    return make_kind("+".join(parts))


def make_kind(kind, dim=2):
    edges = [torch.tensor(e, dtype=torch.float64) for e in EDGES]
    return randomize(NumericEmbedding(edges, dim, kind=kind, n_frequencies=3))


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize(
    "parts", [(p,) for p in PARTS] + [*combinations(PARTS, 2), PARTS]
)
def test_each_number_is_the_sum_of_its_parts(parts, batch):
    embedding = make(parts)
    for numbers in NUMBERS.split(batch):
        naive = [
            torch.stack(
                [
                    numeric_field(embedding, j, EDGES[j], float(x))
                    for j, x in enumerate(row)
                ]
            )
            for row in numbers
        ]
        assert_close(embedding(numbers), torch.stack(naive))


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_number_is_a_trained_vector_and_gives_finite_gradients(part):
    embedding = make((part,))
    out = embedding(NUMBERS)
    assert torch.equal(out[5, 0], embedding.missing[0])
    out.sum().backward()
    assert embedding.missing.grad.tolist() == [[2.0] * 2, [1.0] * 2, [2.0] * 2]
    for parameter in embedding.parameters():
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize("part", PARTS)
def test_all_missing_reads_nothing_else(part):
    embedding = make((part,))
    embedding(torch.full((2, 3), torch.nan, dtype=torch.float64)).sum().backward()
    for name, parameter in embedding.named_parameters():
        assert name == "missing" or not parameter.grad.any()


def test_piecewise_linear_is_continuous_and_flat_beyond_the_edges():
    embedding = make(("piecewise-linear",))
    step = 1e-9
    for edge in EDGES[0]:
        left, right = torch.tensor([[edge - step] * 3, [edge + step] * 3]).double()
        assert_close(
            embedding(left[None])[:, 0], embedding(right[None])[:, 0], atol=1e-7, rtol=0
        )
    far = torch.tensor([[1.5, 2.0, 4.0], [99.0, 99.0, 99.0]]).double()
    assert torch.equal(embedding(far)[0], embedding(far)[1])


def test_equal_numbers_of_two_fields_have_vectors_of_their_own():
    out = make(PARTS)(torch.full((1, 3), 0.25, dtype=torch.float64))[0]
    assert not torch.isclose(out[0], out[1]).any()


@pytest.mark.parametrize(
    "name", ["lineal", "bins+bins", "bins|bins", "bins+", "bins|", ""]
)
def test_an_unknown_part_is_named(name):
    with pytest.raises(ValueError, match="got ") as error:
        NumericEmbedding([torch.tensor([0.0, 1.0])], 2, kind=name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("kind", ["bins|piecewise-linear", "periodic|linear+bins"])
def test_vectors_side_by_side_are_those_of_each_alone(kind):
    embedding = make_kind(kind)
    out = embedding(NUMBERS)
    n_numeric = len(EDGES)
    assert out.shape == (len(NUMBERS), 2 * n_numeric, 2)
    for i, alone in enumerate(kind.split("|")):
        single = make_kind(alone)
        own = slice(i * n_numeric, (i + 1) * n_numeric)
        values = {**embedding.state_dict(), "missing": embedding.missing[own]}
        single.load_state_dict(values, strict=False)
        assert_close(out[:, own], single(NUMBERS))


def test_plain_numbers_are_as_they_are_and_missing_is_trained():
    plain = randomize(PlainNumbers(3))
    out = plain(NUMBERS)
    known = ~NUMBERS.isnan()
    assert torch.equal(out[known], NUMBERS[known])
    assert torch.equal(out[6], plain.missing)
    out.sum().backward()
    assert plain.missing.grad.tolist() == [2.0, 1.0, 2.0]

"""Virtual gradient, [DEPHN] eq. 7 to 9 and figure 4, against loops over numbers."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from _naive import (
    GAMMA,
    naive_binary,
    naive_coefficient,
    naive_cramer,
    naive_similarity,
)
from scipy.stats.contingency import association
from torch.testing import assert_close

from dephn_sk.nn import coefficient, label_similarity, scale_gradient

NAN = float("nan")

# ------------------------------------------------------------- label similarity


def random_labels(n_rows, n_classes, seed, missing=0.0):
    """Labels that depend on each other, some of them missing."""
    rng = np.random.default_rng(seed)
    common = rng.random(n_rows)
    own = [0.5 * common + 0.5 * rng.random(n_rows) for _ in n_classes]
    y = np.stack([np.floor(o * k) for o, k in zip(own, n_classes, strict=True)], 1)
    y[rng.random(y.shape) < missing] = NAN
    return y


def assert_similarity_is_naive(y, **options):
    tensors = {
        k: torch.from_numpy(v) if k == "weights" else v for k, v in options.items()
    }
    similarity = label_similarity(torch.from_numpy(y), **tensors)
    expected = torch.from_numpy(naive_similarity(y, **options))
    assert_close(similarity, expected, equal_nan=True, atol=1e-9, rtol=1e-9)
    assert torch.equal(similarity.diagonal(), torch.ones(y.shape[1]).double())
    return similarity


@pytest.mark.parametrize("kind", ["pearson", "cosine"])
@pytest.mark.parametrize("n_rows", [1, 2, 7, 50])
@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("n_tasks", [1, 2, 5])
def test_similarity_of_binary_tasks_is_the_definition(kind, n_rows, missing, n_tasks):
    for seed in range(3):
        y = random_labels(n_rows, [2] * n_tasks, seed, missing)
        assert_similarity_is_naive(y, kind=kind)


@pytest.mark.parametrize("kind", ["pearson", "cosine"])
@pytest.mark.parametrize("n_rows", [1, 2, 7, 50])
@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("n_classes", [[2, 3], [2, 3, 5, 2], [4, 4]])
def test_similarity_with_a_multi_class_task_is_cramers_v(
    kind, n_rows, missing, n_classes
):
    for seed in range(3):
        y = random_labels(n_rows, n_classes, seed, missing)
        assert_similarity_is_naive(y, kind=kind, n_classes=n_classes)


def test_cramers_v_is_that_of_scipy():
    y = random_labels(200, [3, 5], seed=0)
    table = np.zeros((3, 5), dtype=int)
    for i, j in y.astype(int):
        table[i, j] += 1
    similarity = label_similarity(torch.from_numpy(y), n_classes=[3, 5])
    assert math.isclose(similarity[0, 1], association(table, method="cramer"))


def test_cramers_v_of_two_binary_tasks_is_their_absolute_pearson_correlation():
    y = random_labels(50, [2, 2], seed=0)
    v, r = naive_cramer(*y.T), naive_binary(*y.T, "pearson")
    assert math.isclose(v, r)
    # taken for three classes, of which two occur, the task is compared by Cramér's V
    similarity = label_similarity(torch.from_numpy(y), n_classes=[2, 3])
    assert math.isclose(similarity[0, 1], r)


def test_pearson_is_that_of_numpy_and_absolute():
    y = random_labels(50, [2, 2], seed=0)
    y[:, 1] = 1 - y[:, 1]
    r = np.corrcoef(y.T)[0, 1]
    assert r < -0.1
    assert math.isclose(label_similarity(torch.from_numpy(y))[0, 1], -r)


@pytest.mark.parametrize("kind", ["pearson", "cosine"])
@pytest.mark.parametrize("n_classes", [[2, 2, 2], [2, 3, 4]])
@pytest.mark.parametrize("per_task", [False, True])
def test_weights_weigh(kind, n_classes, per_task):
    rng = np.random.default_rng(1)
    y = random_labels(20, n_classes, seed=0, missing=0.2)
    weights = rng.random((20, 3) if per_task else 20)
    assert_similarity_is_naive(y, kind=kind, weights=weights, n_classes=n_classes)


@pytest.mark.parametrize("kind", ["pearson", "cosine"])
@pytest.mark.parametrize("n_classes", [[2, 2, 2], [2, 3, 4]])
def test_integer_weights_are_repeated_rows(kind, n_classes):
    y = torch.from_numpy(random_labels(20, n_classes, seed=0, missing=0.2))
    weights = torch.from_numpy(np.random.default_rng(1).integers(0, 4, 20))
    weighted = label_similarity(y, kind, weights=weights, n_classes=n_classes)
    repeated = label_similarity(
        y.repeat_interleave(weights, 0), kind, n_classes=n_classes
    )
    assert_close(weighted, repeated, equal_nan=True)


@pytest.mark.parametrize("kind", ["pearson", "cosine"])
@pytest.mark.parametrize("n_classes", [[2, 2, 2], [2, 3, 4]])
def test_a_weight_of_zero_is_a_missing_label(kind, n_classes):
    y = torch.from_numpy(random_labels(20, n_classes, seed=0, missing=0.3))
    known = ~y.isnan()
    by_weight = label_similarity(
        y.nan_to_num(), kind, weights=known.double(), n_classes=n_classes
    )
    by_nan = label_similarity(y, kind, n_classes=n_classes)
    assert_close(by_weight, by_nan, equal_nan=True)


@pytest.mark.parametrize("kind", ["pearson", "cosine"])
@pytest.mark.parametrize("n_classes", [[2, 2, 2], [3, 3, 3]])
@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_a_constant_label_has_no_similarity_to_any_other(kind, n_classes, constant):
    y = torch.tensor([[0, 0, 1], [1, 0, 0], [0, 0, 0], [1, 0, 1]]).double()
    y[:, 1] = constant
    similarity = label_similarity(y, kind, n_classes=n_classes)
    undefined = [[False, True, False], [True, False, True], [False, True, False]]
    assert similarity.isnan().tolist() == undefined


@pytest.mark.parametrize("kind", ["pearson", "cosine"])
@pytest.mark.parametrize("n_classes", [None, [3, 3]])
@pytest.mark.parametrize(
    "y",
    [
        [],
        [[1, 0]],
        [[1, NAN], [0, NAN]],
        [[1, 1], [0, NAN]],
        [[1, NAN], [NAN, 0], [0, NAN]],
        [[NAN, NAN]],
    ],
)
def test_fewer_than_two_rows_with_both_labels_have_no_similarity(kind, n_classes, y):
    y = torch.tensor(y, dtype=torch.float64).reshape(-1, 2)
    similarity = label_similarity(y, kind, n_classes=n_classes)
    assert similarity.isnan().tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize("n_classes", [None, [2, 3]])
def test_equal_and_opposite_labels_have_similarity_one(n_classes):
    y = torch.tensor([[0, 0.0], [1, 1], [1, 1], [0, 0]])
    ones = torch.ones(2, 2)
    assert_close(label_similarity(y, n_classes=n_classes), ones)
    y[:, 1] = 1 - y[:, 1]
    assert_close(label_similarity(y, n_classes=n_classes), ones)


@pytest.mark.parametrize("n_rows", [10_000, 100_000])
def test_a_single_positive_among_many_rows_is_no_constant(n_rows):
    y = torch.zeros(n_rows, 2)
    y[0, 0] = 1
    y[: n_rows // 2, 1] = 1
    expected = abs(np.corrcoef(y.double().T)[0, 1])
    assert_close(label_similarity(y)[0, 1].item(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_similarity_has_the_labels_dtype_and_lies_between_zero_and_one(dtype):
    for seed in range(20):
        y = torch.from_numpy(random_labels(5, [2, 2, 3], seed)).to(dtype)
        similarity = label_similarity(y, n_classes=[2, 2, 3])
        assert similarity.dtype == dtype
        defined = similarity[~similarity.isnan()]
        assert (defined >= 0).all()
        assert (defined <= 1).all()


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match=r"kind .* got 'spearman'"):
        label_similarity(torch.zeros(2, 2), "spearman")


# ------------------------------------------------------------------ coefficient


def random_gates(n_tasks, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    gates = torch.randn(n_tasks, *shape, generator=generator, dtype=torch.float64)
    x = torch.rand(n_tasks, n_tasks, generator=generator, dtype=torch.float64)
    similarity = torch.triu(x, 1) + torch.triu(x, 1).T + torch.eye(n_tasks)
    return gates, similarity


@pytest.mark.parametrize("name", GAMMA)
@pytest.mark.parametrize("n_tasks", [1, 2, 3, 5])
@pytest.mark.parametrize("reduction", ["product", "mean"])
@pytest.mark.parametrize("shape", [(), (6,), (3, 2)])
def test_coefficient_is_the_equation(name, n_tasks, reduction, shape):
    for seed in range(3):
        gates, similarity = random_gates(n_tasks, *shape, seed=seed)
        out = coefficient(gates, similarity, name, reduction=reduction)
        expected = naive_coefficient(gates, similarity, GAMMA[name], reduction)
        # the square root magnifies rounding near the valley
        assert_close(out, expected, atol=1e-7, rtol=1e-9)
        assert out.shape == gates.shape


@pytest.mark.parametrize("name", GAMMA)
@pytest.mark.parametrize("n_tasks", [2, 3, 5])
def test_coefficient_lies_between_zero_and_two_for_each_other_task(name, n_tasks):
    values = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0, 7.0])
    for a, x in product(values, values[:5]):
        gates = torch.zeros(n_tasks, 6)
        gates[0], gates[1] = values, a
        out = coefficient(gates, torch.full((n_tasks, n_tasks), x.item()), name)
        assert (out >= 0).all()
        assert (out <= 2 ** (n_tasks - 1)).all()
        mean = coefficient(
            gates, torch.full((n_tasks, n_tasks), x.item()), name, reduction="mean"
        )
        assert (mean >= 0).all()
        assert (mean <= 2).all()


@pytest.mark.parametrize("family", ["additive", "multiplicative"])
@pytest.mark.parametrize("distance", ["cos", "abs", "square", "sqrt"])
def test_corners_of_figure_4(family, distance):
    corners = {(0, 0): 2, (1, 1): 2, (0, 1): 0, (1, 0): 0}
    if family == "multiplicative":  # the stated intent fails there: paper, section 6
        corners[0, 1] = corners[1, 0] = 2
    for (x, y), expected in corners.items():
        gates = torch.tensor([0.0, y])
        similarity = torch.tensor([[1.0, x], [x, 1.0]])
        out = coefficient(gates, similarity, f"{family}-{distance}")
        assert out.tolist() == [expected, expected]


@pytest.mark.parametrize("name", GAMMA)
def test_the_valley_is_exactly_zero(name):
    x, y = (0.5, 1.0) if name.startswith("multiplicative") else (0.25, 0.75)
    similarity = torch.tensor([[1.0, x], [x, 1.0]], dtype=torch.float64)
    gates = torch.tensor([0.0, y], dtype=torch.float64)
    assert coefficient(gates, similarity, name).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", GAMMA)
@pytest.mark.parametrize("reduction", ["product", "mean"])
def test_an_undefined_similarity_counts_one(name, reduction):
    gates, similarity = random_gates(3, 4)
    similarity[0, 1] = similarity[1, 0] = NAN
    out = coefficient(gates, similarity, name, reduction=reduction)
    expected = naive_coefficient(gates, similarity, GAMMA[name], reduction)
    assert_close(out, expected, atol=1e-7, rtol=1e-9)
    similarity = torch.full((3, 3), NAN)
    ones = torch.ones_like(gates)
    assert torch.equal(coefficient(gates, similarity, name, reduction=reduction), ones)


@pytest.mark.parametrize("reduction", ["product", "mean"])
def test_a_callable_is_a_coefficient(reduction):
    gates, similarity = random_gates(3, 4)
    similarity[0, 2] = similarity[2, 0] = NAN

    def gamma(x, y):
        return 0.5 * x + y * y

    out = coefficient(gates, similarity, gamma, reduction=reduction)
    assert_close(out, naive_coefficient(gates, similarity, gamma, reduction))


def test_one_task_alone_has_coefficient_one():
    gates = torch.randn(1, 4)
    assert torch.equal(coefficient(gates, torch.ones(1, 1)), torch.ones(1, 4))


def test_additive_sqrt_with_the_product_is_the_default():
    gates, similarity = random_gates(3, 4)
    expected = naive_coefficient(gates, similarity, GAMMA["additive-sqrt"])
    assert_close(coefficient(gates, similarity), expected, atol=1e-7, rtol=1e-9)


@pytest.mark.parametrize("function", ["additive-sqrt", lambda x, y: x + y])
def test_no_gradient_goes_through_the_coefficient(function):
    gates, similarity = random_gates(3, 4)
    assert not coefficient(gates.requires_grad_(), similarity, function).requires_grad


def test_permuted_tasks_have_permuted_coefficients():
    gates, similarity = random_gates(5, 4)
    order = torch.tensor([3, 0, 4, 1, 2])
    permuted = coefficient(gates[order], similarity[order][:, order])
    assert_close(permuted, coefficient(gates, similarity)[order])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"function": "additive-sqr"}, "function .* got 'additive-sqr'"),
        ({"reduction": "sum"}, "reduction .* got 'sum'"),
    ],
)
def test_an_unknown_option_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        coefficient(*random_gates(2, 3), **options)


# --------------------------------------------------------------- scale_gradient


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_virtual_gradient_acts_in_backward_only(dtype):
    gates = torch.randn(2, 3, dtype=dtype, requires_grad=True)
    factor, upstream = torch.rand(2, 2, 3, dtype=dtype)
    out = scale_gradient(gates, factor)
    assert torch.equal(out, gates)  # bit for bit
    (gradient,) = torch.autograd.grad(out, gates, upstream)
    assert torch.equal(gradient, factor * upstream)


def test_a_coefficient_of_zero_is_exact():
    gates = torch.randn(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        scale_gradient(gates, torch.zeros(2, 3)).sin().sum(), gates
    )
    assert torch.equal(gradient, torch.zeros(2, 3))


def test_a_coefficient_broadcasts_over_rows():
    gates = torch.randn(5, 2, 3, requires_grad=True)
    factor, upstream = torch.rand(2, 3), torch.randn(5, 2, 3)
    (gradient,) = torch.autograd.grad(scale_gradient(gates, factor), gates, upstream)
    assert torch.equal(gradient, factor * upstream)


def test_the_coefficient_gets_no_gradient():
    gates = torch.randn(2, 3, requires_grad=True)
    factor = torch.rand(2, 3, requires_grad=True)
    scale_gradient(gates, factor).sum().backward()
    assert factor.grad is None

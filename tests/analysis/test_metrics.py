import math

import numpy as np
import pytest
from scipy.stats import entropy

from filterdb.analysis import (
    PCA,
    Moments,
    orthogonality,
    scale,
    sparse_mask,
    sparsity,
    summarize_layer,
    variance_entropy,
)
from filterdb.errors import SourceError, UsageError


def random_weight(out_channels, in_channels, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    sizes = rng.exponential(size=(out_channels, in_channels, 1, 1)) ** 3
    return (rng.standard_normal((out_channels, in_channels, 3, 3)) * sizes).astype(dtype)


def plain_orthogonality(weight):
    banks = weight.reshape(len(weight), -1).astype(np.float64)
    norms = np.linalg.norm(banks, axis=1, keepdims=True)
    banks = np.divide(banks, norms, out=np.zeros_like(banks), where=norms > 0)
    n = len(banks)
    return 1 - np.abs(banks @ banks.T - np.eye(n)).sum() / (n * (n - 1))


@pytest.mark.parametrize("shape", [(2, 1), (7, 3), (64, 16), (257, 4), (300, 40)])
def test_orthogonality_equals_its_definition(shape):
    weight = random_weight(*shape)
    assert orthogonality(weight) == pytest.approx(plain_orthogonality(weight), abs=1e-9)


def test_orthogonality_of_more_banks_than_one_block_holds():
    weight = random_weight(2500, 1)
    assert orthogonality(weight) == pytest.approx(plain_orthogonality(weight), abs=1e-9)


@pytest.mark.parametrize("share", [0, 0.1, 0.2, 0.5, 1, 10])
@pytest.mark.parametrize("out_channels", [2, 256, 300])
def test_orthogonality_stays_within_1e_7_where_rounding_does_not_average_out(out_channels, share):
    """Copies of one bank beside others of its own: products of equal numbers round alike."""
    weight = random_weight(out_channels, 40).reshape(out_channels, -1)
    weight /= np.linalg.norm(weight, axis=1, keepdims=True)
    nearly_parallel = (weight[:1] + np.float32(share) * weight).astype(np.float32)
    assert orthogonality(nearly_parallel) == pytest.approx(plain_orthogonality(nearly_parallel), abs=1e-7)


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e20, 1e30])
def test_orthogonality_does_not_depend_on_the_size_of_the_weights(size):
    weight = random_weight(300, 4) * np.float32(size)
    assert orthogonality(weight) == pytest.approx(plain_orthogonality(weight), abs=1e-9)
    weight[:150] /= np.float32(1e5)
    assert orthogonality(weight) == pytest.approx(plain_orthogonality(weight), abs=1e-9)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_orthogonality_of_other_dtypes(dtype):
    weight = random_weight(300, 3).clip(-100, 100).astype(dtype)
    assert orthogonality(weight) == pytest.approx(plain_orthogonality(weight), abs=1e-9)


def test_orthogonal_banks_give_one_and_zero_banks_count_as_in_the_definition():
    assert orthogonality(np.eye(9)) == pytest.approx(1)
    weight = random_weight(6, 2)
    weight[[1, 4]] = 0
    assert orthogonality(weight) == pytest.approx(plain_orthogonality(weight), abs=1e-12)
    assert orthogonality(np.zeros((4, 9))) == pytest.approx(1 - 1 / 3)


def test_groups_are_judged_alone_and_weigh_the_same():
    weight = random_weight(12, 5)
    expected = np.mean([plain_orthogonality(group) for group in np.split(weight, 3)])
    assert orthogonality(weight, groups=3) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("out_channels", "groups"), [(1, 1), (8, 8), (0, 1)])
def test_without_a_pair_of_banks_orthogonality_is_nan(out_channels, groups):
    assert math.isnan(orthogonality(random_weight(out_channels, 1), groups))


@pytest.mark.parametrize("groups", [0, 5, -2])
def test_impossible_groups_are_refused(groups):
    with pytest.raises(UsageError, match=f"{groups} groups"):
        orthogonality(random_weight(6, 2), groups)


def test_sparsity_equals_plain_numpy():
    weight = random_weight(20, 30)
    largest = np.abs(weight).max(axis=(2, 3))
    assert sparsity(weight) == np.mean(largest <= largest.max() / 100)
    assert 0.05 < sparsity(weight) < 0.95
    assert sparsity(np.zeros((4, 9))) == 1
    assert math.isnan(sparsity(np.empty((0, 9))))


def test_variance_entropy_equals_scipy():
    ratios = np.random.default_rng(0).dirichlet(np.ones(9), size=20)
    np.testing.assert_allclose(variance_entropy(ratios), entropy(ratios, base=10, axis=1), rtol=1e-12)


def test_variance_entropy_at_its_ends():
    assert variance_entropy([1, 0, 0, 0, 0, 0, 0, 0, 0]) == 0
    assert variance_entropy(np.full(9, 1 / 9)) == pytest.approx(math.log10(9))
    assert np.isnan(variance_entropy(np.full(9, np.nan)))


def test_variance_entropy_of_moments_is_that_of_their_pca():
    moments = Moments.from_filters(random_weight(10, 10))
    expected = entropy(PCA.from_moments(moments).explained_variance_ratio, base=10)
    assert variance_entropy(moments) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(variance_entropy(Moments.from_filters(np.ones((1, 9)))))
    assert np.isnan(variance_entropy(Moments.from_filters(np.ones((5, 9)))))


def test_layer_summary_equals_its_parts():
    weight = random_weight(24, 10)
    summary = summarize_layer(weight.reshape(-1, 9), out_channels=24, groups=2)
    mask = sparse_mask(weight)
    kept = weight.reshape(-1, 9)[~mask]
    assert (summary.n_filters, summary.n_sparse) == (240, mask.sum())
    assert summary.sparsity == sparsity(weight)
    assert summary.max_abs == np.abs(weight).max()
    assert summary.filter_max_abs.dtype == np.float32
    np.testing.assert_array_equal(summary.filter_max_abs, np.abs(weight).max(axis=(2, 3)).ravel())
    np.testing.assert_array_equal(summary.sparse, mask)
    raw, scaled = Moments.from_filters(kept), Moments.from_filters(scale(kept))
    np.testing.assert_allclose(summary.raw_moments.to_vector(), raw.to_vector(), rtol=1e-11)
    np.testing.assert_allclose(summary.scaled_moments.to_vector(), scaled.to_vector(), rtol=1e-11, atol=1e-12)
    assert summary.variance_entropy == pytest.approx(variance_entropy(raw), rel=1e-9)
    assert summary.variance_entropy_scaled == pytest.approx(variance_entropy(scaled), rel=1e-9)
    assert summary.orthogonality == orthogonality(weight, groups=2)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_layer_summary_of_other_dtypes(dtype):
    weight = random_weight(8, 8).astype(dtype)
    summary, same = summarize_layer(weight, 8), summarize_layer(weight.astype(np.float64), 8)
    np.testing.assert_allclose(summary.raw_moments.to_vector(), same.raw_moments.to_vector(), rtol=1e-12)
    np.testing.assert_array_equal(summary.sparse, same.sparse)


def test_layer_summary_without_filters():
    summary = summarize_layer(np.empty((0, 9), np.float32))
    assert (summary.n_filters, summary.n_sparse, summary.max_abs) == (0, 0, 0)
    for value in (summary.sparsity, summary.variance_entropy, summary.variance_entropy_scaled):
        assert math.isnan(value)


def test_layer_summary_of_zeros_has_no_entropy():
    summary = summarize_layer(np.zeros((12, 9), np.float32), out_channels=3)
    assert (summary.n_sparse, summary.sparsity, summary.raw_moments.n) == (12, 1, 0)
    assert math.isnan(summary.variance_entropy)
    assert summary.orthogonality == pytest.approx(0.5)


def test_layer_summary_without_orthogonality():
    filters = random_weight(6, 1).reshape(-1, 9)
    assert math.isnan(summarize_layer(filters).orthogonality)
    assert math.isnan(summarize_layer(filters, out_channels=6, groups=6).orthogonality)


@pytest.mark.parametrize("out_channels", [0, 4, -3])
def test_layer_summary_refuses_impossible_channels(out_channels):
    with pytest.raises(UsageError, match=f"6 filters cannot belong to {out_channels} output channels"):
        summarize_layer(random_weight(6, 1), out_channels)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_weights_are_refused(bad):
    weight = random_weight(6, 4)
    weight[2, 1, 0, 0] = bad
    for function in (summarize_layer, orthogonality, sparsity):
        with pytest.raises(SourceError, match="NaN or infinite"):
            function(weight)

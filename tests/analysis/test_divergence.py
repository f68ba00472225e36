import dataclasses

import numpy as np
import pytest
from scipy.stats import entropy

from filterdb.analysis import PCA, Moments, coefficient_histogram, scale, symmetric_kl, symmetric_kl_by_axis
from filterdb.errors import SourceError, UsageError


def random_filters(n, seed, spread=1.0):
    rng = np.random.default_rng(seed)
    return scale(rng.standard_normal((n, 9)) * np.linspace(1, 1 + spread, 9))


@pytest.fixture(scope="module")
def splits():
    return random_filters(3000, 1), random_filters(5000, 2, spread=3.0)


@pytest.fixture(scope="module")
def basis(splits):
    return PCA.from_moments(Moments.from_filters(np.concatenate(splits)))


def plain_kl(first, second, basis, bins):
    low, high = basis.coefficient_range()
    total = 0.0
    for axis, weight in enumerate(basis.explained_variance_ratio):
        densities = []
        for filters in (first, second):
            coefficients = (filters - basis.mean) @ basis.components[axis]
            density, _ = np.histogram(coefficients, bins, (low, high), density=True)
            densities.append(np.where(density == 0, np.finfo(np.float32).eps, density))
        p, q = densities  # scipy normalises them
        total += weight * (entropy(p, q) + entropy(q, p))
    return total


@pytest.mark.parametrize("bins", [1, 10, 70])
def test_histogram_equals_numpy(splits, basis, bins):
    low, high = basis.coefficient_range()
    counts = coefficient_histogram(splits[0], basis, bins=bins)
    expected = [np.histogram(row, bins, (low, high))[0] for row in basis.transform(splits[0]).T]
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, expected)


def test_bins_are_closed_below_and_the_last_on_both_sides():
    axes = PCA(np.eye(9), np.ones(9), np.full(9, 1 / 9), np.zeros(9), 2)
    filters = np.zeros((5, 9))
    filters[:, 0] = [-1, -0.5, 0, 0.5, 1]
    counts = coefficient_histogram(filters, axes, value_range=(-1, 1), bins=4)
    assert list(counts[0]) == [1, 1, 1, 2]
    assert list(counts[1]) == [0, 0, 5, 0]


def test_what_lies_outside_the_range_counts_in_the_end_bins():
    axes = PCA(np.eye(9), np.ones(9), np.full(9, 1 / 9), np.zeros(9), 2)
    filters = np.zeros((3, 9))
    filters[:, 0] = [-9, 0.5, 9]
    assert list(coefficient_histogram(filters, axes, value_range=(0, 1), bins=4)[0]) == [1, 0, 1, 1]


def test_a_histogram_of_float32_filters_is_that_of_the_same_in_float64(basis):
    filters = random_filters(2000, 5).astype(np.float32)
    expected = coefficient_histogram(filters.astype(np.float64), basis)
    np.testing.assert_array_equal(coefficient_histogram(filters, basis), expected)


def test_no_filter_gives_empty_bins(basis):
    assert coefficient_histogram(np.empty((0, 9)), basis).shape == (9, 70)
    assert not coefficient_histogram(np.empty((0, 9)), basis).any()


@pytest.mark.parametrize("bins", [10, 70])
def test_divergence_equals_scipy(splits, basis, bins):
    counts = [coefficient_histogram(filters, basis, bins=bins) for filters in splits]
    kl = symmetric_kl(*counts, basis.coefficient_range(), basis.explained_variance_ratio)
    assert isinstance(kl, float)
    assert kl == pytest.approx(plain_kl(*splits, basis, bins), rel=1e-10)
    assert kl > 0.01


def test_divergence_is_symmetric_and_zero_only_for_equals(splits, basis):
    p, q = (coefficient_histogram(filters, basis) for filters in splits)
    arguments = (basis.coefficient_range(), basis.explained_variance_ratio)
    assert symmetric_kl(p, q, *arguments) == symmetric_kl(q, p, *arguments)
    assert symmetric_kl(p, 3 * p, *arguments) == pytest.approx(0, abs=1e-15)


def test_divergence_by_axis_adds_up_and_takes_groups_at_once(splits, basis):
    p, q = (coefficient_histogram(filters, basis) for filters in splits)
    value_range = basis.coefficient_range()
    by_axis = symmetric_kl_by_axis(np.stack([p, q]), np.stack([q, q]), value_range)
    assert by_axis.shape == (2, 9)
    total = symmetric_kl(p, q, value_range, basis.explained_variance_ratio)
    assert by_axis[0] @ basis.explained_variance_ratio == pytest.approx(total, rel=1e-14)
    assert not by_axis[1].any()


def test_an_empty_bin_has_the_density_of_float32_eps():
    eps = float(np.finfo(np.float32).eps)
    p = np.array([1.0, eps]) / (1 + eps)  # bins of width 1, so that probability is density
    expected = entropy(p, p[::-1]) + entropy(p[::-1], p)
    assert symmetric_kl_by_axis([4, 0], [0, 7], (0.0, 2.0)) == pytest.approx(expected, rel=1e-12)


def test_an_empty_split_has_no_divergence(basis):
    counts = np.ones((9, 70), np.int64)
    value_range, weights = basis.coefficient_range(), basis.explained_variance_ratio
    assert np.isnan(symmetric_kl(counts, np.zeros_like(counts), value_range, weights))
    assert np.isnan(symmetric_kl(np.zeros_like(counts), counts, value_range, weights))


def test_an_undefined_basis_is_refused_with_the_remedy():
    pca = PCA.from_moments(Moments.from_filters(np.ones((3, 9))))
    with pytest.raises(UsageError, match="two or more filters that differ"):
        coefficient_histogram(np.ones((3, 9)), pca)


@pytest.mark.parametrize("value_range", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_impossible_ranges_are_refused(basis, value_range):
    counts = np.ones((9, 70))
    with pytest.raises(UsageError, match="low < high"):
        coefficient_histogram(np.ones((3, 9)), basis, value_range)
    with pytest.raises(UsageError, match="low < high"):
        symmetric_kl(counts, counts, value_range, np.ones(9))


def test_impossible_bins_are_refused(basis):
    with pytest.raises(UsageError, match="at least one bin; got 0"):
        coefficient_histogram(np.ones((3, 9)), basis, bins=0)
    with pytest.raises(UsageError, match=r"\(9, 70\) and \(9, 60\)"):
        symmetric_kl(np.ones((9, 70)), np.ones((9, 60)), (0, 1), np.ones(9))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_weights_are_refused(basis, bad, dtype):
    filters = random_filters(100, 3).astype(dtype)
    filters[50, 0] = bad
    with pytest.raises(SourceError, match="NaN or infinite"):
        coefficient_histogram(filters, basis)


def test_turning_an_axis_mirrors_its_histogram(splits, basis):
    signs = np.array([1, -1, 1, 1, 1, 1, 1, 1, 1.0])
    turned = dataclasses.replace(basis, components=signs[:, None] * basis.components)
    counts, mirrored = (coefficient_histogram(splits[0], pca, value_range=(-3, 3)) for pca in (basis, turned))
    np.testing.assert_array_equal(mirrored[1], counts[1, ::-1])
    np.testing.assert_array_equal(mirrored[0], counts[0])

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filterdb.analysis import Moments, scale, sparse_mask
from filterdb.analysis.moments import covariances, means, unpack
from filterdb.errors import SourceError, UsageError


def random_filters(n, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, 9)) @ rng.standard_normal((9, 9)) + rng.standard_normal(9)).astype(dtype)


def assert_same(left, right, tolerance=1e-12):
    assert left.n == right.n
    np.testing.assert_allclose(left.sum, right.sum, rtol=0, atol=tolerance * (1 + np.abs(right.sum).max()))
    np.testing.assert_allclose(left.cross, right.cross, rtol=0, atol=tolerance * (1 + np.abs(right.cross).max()))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
def test_equal_numpy_in_float64_whatever_the_dtype(dtype):
    filters = random_filters(10_000).clip(-100, 100).astype(dtype)
    moments = Moments.from_filters(filters)
    exact = filters.astype(np.float64)
    assert moments.n == 10_000
    np.testing.assert_allclose(moments.mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance(), np.cov(exact.T), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(moments.covariance(ddof=0), np.cov(exact.T, ddof=0), rtol=1e-11, atol=1e-12)


def test_a_shift_does_not_drown_the_covariance():
    filters = random_filters(50_000) + np.float32(1000)
    expected = np.cov(filters.astype(np.float64).T)
    np.testing.assert_allclose(Moments.from_filters(filters).covariance(), expected, rtol=1e-6)


@given(cuts=st.lists(st.integers(0, 500), max_size=6), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_any_partition_and_any_order_give_the_same(cuts, seed):
    filters = random_filters(500, seed)
    shuffled = np.random.default_rng(seed).permutation(filters)
    parts = [Moments.from_filters(part) for part in np.split(shuffled, sorted(cuts))]
    assert_same(Moments.empty().merge(*parts), Moments.from_filters(filters))
    assert_same(sum(parts[::-1], Moments.empty()), Moments.from_filters(filters))


def test_spatial_and_flat_filters_are_the_same():
    filters = random_filters(24)
    assert_same(Moments.from_filters(filters.reshape(4, 6, 3, 3)), Moments.from_filters(filters), tolerance=0)


def test_mean_and_covariance_return_as_moments():
    moments = Moments.from_filters(random_filters(1000))
    for ddof in (0, 1):
        again = Moments.from_mean_cov(1000, moments.mean, moments.covariance(ddof), ddof)
        assert_same(again, moments)


def test_vector_has_the_order_of_the_table_and_round_trips():
    moments = Moments.from_filters(random_filters(10))
    vector = moments.to_vector()
    assert vector.shape == (55,)
    assert vector[0] == 10
    assert list(vector[1:10]) == list(moments.sum)
    assert (vector[10], vector[11], vector[18], vector[19], vector[54]) == (
        moments.cross[0, 0],
        moments.cross[0, 1],
        moments.cross[0, 8],
        moments.cross[1, 1],
        moments.cross[8, 8],
    )
    assert_same(Moments.from_vector(vector), moments, tolerance=0)
    assert isinstance(Moments.from_vector(vector).n, int)


def test_weighted_counts_keep_their_fraction():
    moments = Moments.from_filters(random_filters(3))
    half = Moments.from_vector(moments.to_vector() / 2)
    assert half.n == 1.5
    assert_same(half + half, moments)


def test_groups_at_once_equal_one_by_one():
    every = [Moments.from_filters(random_filters(n, n)) for n in (0, 1, 2, 50)]
    vectors = np.array([moments.to_vector() for moments in every]).reshape(2, 2, 55)
    np.testing.assert_array_equal(means(vectors).reshape(4, 9), [one.mean for one in every])
    np.testing.assert_array_equal(covariances(vectors).reshape(4, 9, 9), [one.covariance() for one in every])
    np.testing.assert_array_equal(unpack(vectors)[0].ravel(), [0, 1, 2, 50])


def test_no_filter_and_one_filter():
    none, one = Moments.from_filters(np.empty((0, 9))), Moments.from_filters(np.arange(9.0)[None])
    assert_same(none, Moments.empty(), tolerance=0)
    assert np.isnan(none.mean).all()
    assert np.isnan(none.covariance()).all()
    assert list(one.mean) == list(range(9))
    assert np.isnan(one.covariance()).all()
    assert not one.covariance(ddof=0).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("function", [Moments.from_filters, scale, sparse_mask])
def test_non_finite_weights_are_refused(function, bad):
    filters = random_filters(20)
    filters[7, 3] = bad
    with pytest.raises(SourceError, match="NaN or infinite"):
        function(filters)


@pytest.mark.parametrize("shape", [(9,), (4, 8), (2, 9, 1), (2, 5, 5)])
def test_other_shapes_are_refused_by_name(shape):
    with pytest.raises(UsageError, match=r"\(n, 9\) or \(…, 3, 3\)"):
        Moments.from_filters(np.zeros(shape))


def test_other_kinds_of_numbers_are_refused_by_name():
    with pytest.raises(UsageError, match="complex128"):
        scale(np.zeros((2, 9), complex))


def test_malformed_moments_are_refused():
    with pytest.raises(UsageError, match=r"\(9,\)"):
        Moments(1, np.zeros(8), np.zeros((9, 9)))
    with pytest.raises(UsageError, match="55"):
        Moments.from_vector(np.zeros(54))


def test_scaling_divides_by_the_largest_weight_and_keeps_zeros():
    filters = random_filters(100)
    filters[3] = 0
    expected = [row / max(abs(row)) if row.any() else row for row in filters.astype(np.float64)]
    np.testing.assert_array_equal(scale(filters), expected)
    assert scale(filters.reshape(10, 10, 3, 3)).shape == (10, 10, 3, 3)


def test_subnormal_filters_scale_without_loss():
    assert np.abs(scale(np.full((1, 9), 1e-45, np.float32))).max() == 1


def test_sparse_mask_equals_the_definition():
    filters = random_filters(1000) * np.logspace(-4, 0, 1000, dtype=np.float32)[:, None]
    largest = [max(abs(float(weight)) for weight in row) for row in filters]
    assert list(sparse_mask(filters)) == [100 * one <= max(largest) for one in largest]
    assert list(sparse_mask(filters, 1000.0)) == [100 * one <= 1000.0 for one in largest]


def test_a_filter_exactly_at_a_hundredth_is_sparse_and_the_next_float_is_not():
    limit = np.float32(0.32)
    filters = np.zeros((3, 9), np.float32)
    filters[:, 4] = 32.0, limit, np.nextafter(limit, np.float32(1))
    exactly_sparse = 100 * float(limit) <= 32.0
    assert list(sparse_mask(filters)) == [False, exactly_sparse, False]
    filters[:, 4] = 50.0, 0.5, np.nextafter(np.float32(0.5), np.float32(1))
    assert list(sparse_mask(filters)) == [False, True, False]


def test_an_all_zero_layer_is_all_sparse_and_none_has_no_mask():
    assert sparse_mask(np.zeros((5, 9))).all()
    assert sparse_mask(np.empty((0, 9))).shape == (0,)

import json

import numpy as np
import pytest
from sklearn.decomposition import PCA as ReferencePCA

from filterdb.analysis import PCA, Moments, scale
from filterdb.analysis.pca import decompose, explained_variance, variance_ratio
from filterdb.errors import UsageError


def random_filters(n, seed=0):
    rng = np.random.default_rng(seed)
    return scale(rng.standard_normal((n, 9)) @ rng.standard_normal((9, 9)) + rng.standard_normal(9))


def pca_of(filters):
    return PCA.from_moments(Moments.from_filters(filters))


@pytest.mark.parametrize("n", [10, 100, 20_000])
def test_equals_scikit_learn(n):
    filters = random_filters(n)
    ours, reference = pca_of(filters), ReferencePCA(svd_solver="full").fit(filters)
    signs = np.sign(np.sum(ours.components * reference.components_, axis=1, keepdims=True))
    np.testing.assert_allclose(ours.explained_variance, reference.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(ours.explained_variance_ratio, reference.explained_variance_ratio_, atol=1e-9)
    np.testing.assert_allclose(ours.components, signs * reference.components_, atol=1e-9)
    np.testing.assert_allclose(ours.mean, reference.mean_, atol=1e-12)
    assert ours.n == n


def test_equals_a_singular_value_decomposition():
    filters = random_filters(500)
    _, singular, axes = np.linalg.svd(filters - filters.mean(axis=0), full_matrices=False)
    ours = pca_of(filters)
    np.testing.assert_allclose(ours.explained_variance_ratio, singular**2 / np.sum(singular**2), atol=1e-9)
    np.testing.assert_allclose(np.abs(ours.components @ axes.T), np.eye(9), atol=1e-9)


def test_the_entry_of_largest_magnitude_is_positive():
    for seed in range(20):
        for component in pca_of(random_filters(50, seed)).components:
            assert component[np.argmax(np.abs(component))] > 0


def test_filters_return_from_their_coefficients():
    filters = random_filters(200)
    pca = pca_of(filters)
    coefficients = pca.transform(filters)
    np.testing.assert_allclose(pca.inverse_transform(coefficients), filters, atol=1e-12)
    np.testing.assert_allclose(coefficients.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.cov(coefficients.T), np.diag(pca.explained_variance), atol=1e-12)


def test_the_range_is_the_exact_bound_of_filters_in_the_cube():
    pca = pca_of(random_filters(300))
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 9)).reshape(9, -1).T
    coefficients = pca.transform(corners)
    np.testing.assert_allclose(pca.coefficient_range(), (coefficients.min(), coefficients.max()), rtol=1e-12)


def test_survives_json():
    for filters in (random_filters(100), np.ones((1, 9))):
        pca = pca_of(filters)
        again = PCA.from_dict(json.loads(json.dumps(pca.to_dict(), allow_nan=False)))
        assert again.n == pca.n
        for name in ("components", "explained_variance", "explained_variance_ratio", "mean"):
            np.testing.assert_array_equal(getattr(again, name), getattr(pca, name))


@pytest.mark.parametrize("change", [{"mean": [0.0] * 8}, {"mean": "x"}, {"components": None}, {"n": ...}])
def test_what_is_no_saved_pca_is_refused(change):
    values = pca_of(random_filters(10)).to_dict() | change
    with pytest.raises(UsageError, match="not a saved PCA"):
        PCA.from_dict({name: value for name, value in values.items() if value is not ...})


@pytest.mark.parametrize("n", [0, 1])
def test_below_two_filters_nothing_but_the_mean_is_defined(n):
    pca = pca_of(random_filters(n))
    for array in (pca.components, pca.explained_variance, pca.explained_variance_ratio):
        assert np.isnan(array).all()
    assert np.isnan(pca.mean).all() == (n == 0)
    assert np.isnan(pca.coefficient_range()).all()


@pytest.mark.parametrize("n", [2, 1000, 100_003])
def test_equal_filters_have_zero_variance_and_no_ratio(n):
    pca = pca_of(np.tile(random_filters(1), (n, 1)))
    assert not pca.explained_variance.any()
    assert np.isnan(pca.explained_variance_ratio).all()
    assert np.isnan(pca.components).all()


def test_a_variance_is_never_negative():
    along_one_line = np.outer(np.linspace(-1, 1, 50), np.ones(9))
    pca = pca_of(along_one_line)
    assert (pca.explained_variance >= 0).all()
    np.testing.assert_allclose(pca.explained_variance_ratio, [1, 0, 0, 0, 0, 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(pca.components[0], np.full(9, 1 / 3), atol=1e-12)


def test_groups_at_once_equal_one_by_one():
    every = [Moments.from_filters(random_filters(n, n)) for n in (0, 1, 30, 200)]
    vectors = np.array([moments.to_vector() for moments in every])
    variances, components = decompose(vectors)
    for i, moments in enumerate(every):
        pca = PCA.from_moments(moments)
        np.testing.assert_array_equal(variances[i], pca.explained_variance)
        np.testing.assert_array_equal(components[i], pca.components)
    np.testing.assert_allclose(explained_variance(vectors), variances, atol=1e-14)
    np.testing.assert_allclose(np.nansum(variance_ratio(variances), axis=1), [0, 0, 1, 1])

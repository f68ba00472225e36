"""Real networks: what is known of their filters comes out of our functions, too."""

import dataclasses

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from filterdb.analysis import (
    PCA,
    Moments,
    coefficient_histogram,
    column_histogram,
    column_moments,
    scale,
    symmetric_kl,
)
from filterdb.analysis.moments import is_sparse


@pytest.fixture(scope="module")
def networks(reference_data):
    with np.load(reference_data / "model_moments_cifar10.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def real_filters(reference_data):
    """Filters (n, 9), robust (n,), sparse (n,) as judged against the filters shown of the same layer."""
    table = pq.read_table(reference_data / "real_filters_cifar10.parquet")
    filters = np.stack([table[f"w{i}"].to_numpy() for i in range(9)], axis=1)
    keys = pc.binary_join_element_wise(
        table["model"], pc.cast(table["layer_row"], table["model"].type), pc.cast("/", table["model"].type)
    )
    layers = np.unique(keys.to_numpy(), return_inverse=True)[1]
    maxima = np.abs(filters).max(axis=1)
    layer_maxima = np.zeros(layers.max() + 1, np.float32)
    np.maximum.at(layer_maxima, layers, maxima)
    sparse = np.concatenate([is_sparse(maxima[[i]], layer_maxima[layer]) for i, layer in enumerate(layers)])
    return filters, table["robust"].to_numpy(), sparse


def merged(networks, robust):
    chosen = np.flatnonzero(networks["robust"] == robust)
    every = [Moments.from_mean_cov(int(networks["n"][i]), networks["mean"][i], networks["cov"][i]) for i in chosen]
    return Moments.empty().merge(*every)


def plain_merge(networks, robust):
    """Pooled covariance from within and between the networks, without uncentred moments."""
    chosen = networks["robust"] == robust
    n, means, covs = (networks[name][chosen] for name in ("n", "mean", "cov"))
    mean = np.average(means, axis=0, weights=n)
    within = np.einsum("m,mij->ij", n - 1.0, covs)
    between = np.einsum("m,mi,mj->ij", n.astype(float), means - mean, means - mean)
    return (within + between) / (n.sum() - 1)


@pytest.mark.parametrize(("robust", "first_ratio"), [(False, 0.6849), (True, 0.3617)])
def test_merged_moments_of_78_networks(networks, robust, first_ratio):
    pca = PCA.from_moments(merged(networks, robust))
    values = np.linalg.eigvalsh(plain_merge(networks, robust))[::-1]
    np.testing.assert_allclose(pca.explained_variance_ratio, values / values.sum(), rtol=0, atol=1e-12)
    assert pca.explained_variance_ratio[0] == pytest.approx(first_ratio, abs=5e-5)
    assert pca.n == networks["n"][networks["robust"] == robust].sum()


def test_components_of_real_filters(real_filters):
    filters, robust, sparse = real_filters
    normal = column_moments(filters.T, sparse=sparse | robust)
    adversarial = column_moments(filters.T, sparse=sparse | ~robust)
    assert PCA.from_moments(normal).explained_variance_ratio[0] == pytest.approx(0.469981, abs=5e-7)
    assert PCA.from_moments(adversarial).explained_variance_ratio[0] == pytest.approx(0.344047, abs=5e-7)


def divergence(first, second, basis):
    counts = [coefficient_histogram(filters, basis) for filters in (first, second)]
    return symmetric_kl(*counts, basis.coefficient_range(), basis.explained_variance_ratio)


def test_divergence_of_real_filters(real_filters):
    """0.088195 was found with LAPACK's signs, which turn axes 5 and 8 against the rule of `PCA` and so
    move their coefficients against the bins; with the rule it is 0.088185."""
    filters, robust, sparse = real_filters
    scaled = scale(filters)
    splits = scaled[robust & ~sparse], scaled[~robust & ~sparse]
    basis = PCA.from_moments(Moments.from_filters(np.concatenate(splits)))
    assert divergence(*splits, basis) == pytest.approx(0.088185, abs=1e-6)
    signs = np.where(np.isin(np.arange(9), [5, 8]), -1.0, 1.0)
    turned = dataclasses.replace(basis, components=signs[:, None] * basis.components)
    assert divergence(*splits, turned) == pytest.approx(0.088195, abs=1e-6)


def test_histograms_of_real_filters_need_no_scaled_copy(real_filters):
    filters, robust, sparse = real_filters
    scaled = scale(filters[robust & ~sparse])
    basis = PCA.from_moments(Moments.from_filters(scaled))
    counts = column_histogram(filters.T, basis, sparse=sparse | ~robust)
    np.testing.assert_array_equal(counts, coefficient_histogram(scaled, basis))

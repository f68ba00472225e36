"""KL of two splits: the kernel over row groups, the SQL macros, and plain numpy agree."""

import numpy as np
import pytest
from scipy.stats import entropy

from filterdb.errors import UsageError
from tests.query.test_split import numpy_filters

EPS = np.finfo(np.float32).eps


def plain_kl(p, q, basis_filters, bins=70):
    values, vectors = np.linalg.eigh(np.cov(basis_filters.T))
    ratios, components = values[::-1] / values.sum(), vectors.T[::-1]
    mean = basis_filters.mean(axis=0)
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(9), largest])[:, None]
    low = min(-np.abs(v).sum() - v @ mean for v in components)
    high = max(np.abs(v).sum() - v @ mean for v in components)
    total = 0.0
    for axis in range(9):
        densities = []
        for filters in (p, q):
            x = (filters - mean) @ components[axis]
            density = np.histogram(x, bins, (low, high), density=True)[0]
            densities.append(np.where(density == 0, EPS, density))
        total += ratios[axis] * (entropy(*densities) + entropy(*densities[::-1]))
    return total


def of_class(networks, robust, decile=None):
    return numpy_filters(
        networks, lambda f, layer: f.robust is robust and (decile is None or layer.depth_decile == decile)
    )


def test_kl_equals_plain_numpy(db, networks):
    p, q = of_class(networks, True), of_class(networks, False)
    row = db.kl("robust", "NOT robust").row(0, named=True)
    np.testing.assert_allclose(row["kl"], plain_kl(p, q, np.concatenate([p, q])), rtol=1e-9)
    assert (row["n_p"], row["n_q"], row["bins"], row["definition"]) == (len(p), len(q), 70, "paper")


def test_kl_by_group_is_on_one_common_basis(db, networks):
    both = np.concatenate([of_class(networks, True), of_class(networks, False)])
    for row in db.kl("robust", "NOT robust", by="depth_decile").iter_rows(named=True):
        decile = row["depth_decile"]
        expected = plain_kl(of_class(networks, True, decile), of_class(networks, False, decile), both)
        np.testing.assert_allclose(row["kl"], expected, rtol=1e-9)


@pytest.mark.parametrize("by", [(), "dataset", ["model", "depth_decile"]])
def test_the_kernel_equals_the_macros(db, by):
    kernel = db.kl("robust", "NOT robust", by)
    macros = db.kl(with_facts("robust"), with_facts("NOT robust"), by)
    assert kernel.drop("kl", "range").rows() == macros.drop("kl", "range").rows()
    np.testing.assert_allclose(kernel["kl"].fill_null(-1).to_numpy(), macros["kl"].fill_null(-1).to_numpy(), rtol=1e-9)


def with_facts(predicate):
    return f"SELECT * FROM filter_facts WHERE {predicate} AND w4 IS NOT NULL"


def test_kl_is_symmetric_and_zero_on_itself(db):
    basis = db.split("true").pca()
    forth = db.kl("robust", "NOT robust", basis=basis)["kl"][0]
    back = db.kl("NOT robust", "robust", basis=basis)["kl"][0]
    assert forth == pytest.approx(back, rel=1e-12)
    assert db.kl("robust", "robust", basis=basis)["kl"][0] == 0


def test_a_group_that_one_side_lacks_has_no_kl(db):
    rows = db.kl("robust AND dataset = 'cifar10'", "NOT robust AND dataset = 'cifar100'", by="dataset")
    assert rows["kl"].is_null().all()
    assert rows["dataset"].to_list() == ["cifar10", "cifar100"]
    assert rows["n_q"].to_list()[0] == 0


def test_without_filters_there_is_no_common_basis(db):
    with pytest.raises(UsageError, match="no common basis"):
        db.kl("false", "false")


def test_a_split_may_be_the_basis(db):
    by_split = db.kl("robust", "NOT robust", basis=db.split("dataset = 'cifar10'"))
    by_pca = db.kl("robust", "NOT robust", basis=db.split("dataset = 'cifar10'").pca())
    assert by_split["kl"][0] == pytest.approx(by_pca["kl"][0], rel=1e-9)
    assert by_split["range"][0].to_list() == pytest.approx(by_pca["range"][0].to_list(), rel=1e-12)

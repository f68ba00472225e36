"""The SQL macros run in a bare DuckDB and equal numpy on random data."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from filterdb import resources
from filterdb.analysis import PCA, Moments, coefficient_histogram, symmetric_kl_by_axis
from filterdb.query import connection, finishers

W = ", ".join(f"w{i}" for i in range(9))


@pytest.fixture(scope="module")
def filters():
    rng = np.random.default_rng(3)
    made = rng.normal(size=(500, 9)).astype(np.float32)
    made[7] = 0
    return made


@pytest.fixture
def con(filters):
    with duckdb.connect() as bare:
        for text in connection.macros():
            bare.execute(text)
        columns = {f"w{i}": filters[:, i] for i in range(9)}
        table = pa.table({**columns, "max_abs": np.abs(filters).max(axis=1), "part": np.arange(len(filters)) % 7})
        bare.register("filters", table)
        yield bare


def vector(struct):
    return np.array(list(struct.values()))


def one(con, expression, source="filters", **params):
    return con.sql(f"SELECT {expression} FROM {source}", params=params or None).fetchall()[0][0]


def test_raw_moments(con, filters):
    np.testing.assert_allclose(
        vector(one(con, f"raw_moments({W})")), Moments.from_filters(filters).to_vector(), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("arguments", [f"{W}, max_abs", W])
def test_scaled_moments_with_and_without_stored_maxima(con, filters, arguments):
    largest = np.abs(filters.astype(float)).max(axis=1, keepdims=True)
    scaled = filters / np.where(largest == 0, 1, largest)
    expected = Moments.from_filters(scaled).to_vector()
    np.testing.assert_allclose(vector(one(con, f"scaled_moments({arguments})")), expected, rtol=1e-12, atol=1e-12)


def test_merged_parts_are_the_whole(con):
    parts = f"(SELECT part, raw_moments({W}) AS m FROM filters GROUP BY part)"
    np.testing.assert_allclose(
        vector(one(con, "merge_moments(m)", parts)), vector(one(con, f"raw_moments({W})")), rtol=1e-12, atol=1e-12
    )


def test_filters_of_nulls_are_left_out(con, filters):
    halved = ", ".join(f"CASE WHEN part < 3 THEN w{i} END" for i in range(9))
    expected = Moments.from_filters(filters[np.arange(len(filters)) % 7 < 3]).to_vector()
    np.testing.assert_allclose(vector(one(con, f"raw_moments({halved})")), expected, rtol=1e-12, atol=1e-12)


def test_is_sparse_is_exact_at_the_border(con):
    assert one(con, "is_sparse(1.0::FLOAT, 100.0::FLOAT)", "(SELECT 1)")
    assert not one(con, "is_sparse(1.0000001::FLOAT, 100.0::FLOAT)", "(SELECT 1)")
    assert one(con, "is_sparse(0, 0)", "(SELECT 1)")


@pytest.mark.parametrize(("x", "expected"), [(-1, 0), (0, 35), (1, 69), (0.999999, 69), (-2, 0), (7, 69)])
def test_histogram_bins_are_half_open_and_the_last_is_closed(con, x, expected):
    assert one(con, f"histogram_bin({x}, -1, 1)", "(SELECT 1)") == expected


def test_coefficient_bins_equal_the_histogram(con, filters):
    dense = filters[np.abs(filters).max(axis=1) > 0]
    scaled = dense / np.abs(dense).max(axis=1, keepdims=True)
    basis = PCA.from_moments(Moments.from_filters(scaled))
    low, high = basis.coefficient_range()
    rows = con.sql(
        f"SELECT unnest(range(9)) AS axis, unnest(coefficient_bins({W}, max_abs, $v, $s, $low, $high)) AS bin "
        "FROM filters WHERE max_abs > 0",
        params={
            "v": basis.components.tolist(),
            "s": (basis.components @ basis.mean).tolist(),
            "low": low,
            "high": high,
        },
    ).fetchall()
    counts = np.zeros((9, 70), int)
    np.add.at(counts, tuple(np.array(rows).T), 1)
    np.testing.assert_array_equal(counts, coefficient_histogram(scaled, basis))


def test_symmetric_kl_equals_numpy(con):
    rng = np.random.default_rng(0)
    p, q = rng.integers(0, 20, (2, 70)) * (rng.random((2, 70)) < 0.7)
    expected = symmetric_kl_by_axis(p, q, (-2.5, 3.1))
    found = one(con, "symmetric_kl($p, $q, -2.5::DOUBLE, 3.1::DOUBLE)", "(SELECT 1)", p=p.tolist(), q=q.tolist())
    assert found == pytest.approx(expected, rel=1e-9)
    assert one(con, "symmetric_kl($p, $q, -1, 1)", "(SELECT 1)", p=[0, 0], q=[1, 2]) is None


def test_pooling_leaves_out_what_is_null(con):
    rows = "(VALUES (1.0, 2), (NULL, 5), (3.0, 6)) AS t(value, weight)"
    assert one(con, "weighted_mean(value, weight)", rows) == pytest.approx(20 / 8)
    assert one(con, "weighted_mean(NULL, weight)", rows) is None
    assert one(con, "pooled_sparsity(weight, 2 * weight)", rows) == 0.5


def test_every_finisher_is_null_where_it_is_not_defined(con):
    for finisher in finishers.FINISHERS:
        finishers.register(con, finisher)
    nothing = f"(SELECT raw_moments({W}) AS m FROM filters WHERE false)"
    single = f"(SELECT raw_moments({W}) AS m FROM filters LIMIT 1)"
    for finisher in finishers.FINISHERS:
        assert one(con, f"{finisher.name}(m)", nothing) is None
        assert one(con, f"{finisher.name}(NULL)", single) is None
    assert one(con, "variance_entropy(m)", "(SELECT raw_moments(1,1,1,1,1,1,1,1,1) AS m)") is None


def test_finishers_equal_the_analysis(con, filters):
    for finisher in finishers.FINISHERS:
        finishers.register(con, finisher)
    pca = PCA.from_moments(Moments.from_filters(filters))
    moments = f"(SELECT raw_moments({W}) AS m FROM filters)"
    np.testing.assert_allclose(one(con, "explained_variance(m)", moments), pca.explained_variance, rtol=1e-10)
    np.testing.assert_allclose(
        one(con, "explained_variance_ratio(m)", moments), pca.explained_variance_ratio, rtol=1e-10
    )
    np.testing.assert_allclose(one(con, "principal_components(m)", moments), pca.components, atol=1e-9)
    np.testing.assert_allclose(one(con, "mean_filter(m)", moments), pca.mean, atol=1e-12)
    assert one(con, "variance_entropy(m)", moments) == pytest.approx(0.95, abs=0.01)


def test_every_macro_has_a_comment():
    folder = resources.directory("schema") / "macros"
    for file in folder.glob("*.sql"):
        text = file.read_text("utf-8")
        for chunk in text.split("CREATE OR REPLACE MACRO ")[1:]:
            name = chunk.split("(")[0]
            assert f"-- {name}(" in text, f"{file.name}: {name} has no comment"

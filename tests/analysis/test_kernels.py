import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from filterdb.analysis import PCA, Moments, coefficient_histogram, column_histogram, column_moments, kernels, plain
from filterdb.analysis import scale as scaled_filters
from filterdb.errors import SourceError, UsageError

SIZES = [0, 1, 255, 256, 257, 10_007]


@pytest.fixture(scope="module")
def compiled():
    pytest.importorskip("numba")
    from filterdb.analysis import compiled

    return compiled


@pytest.fixture(scope="module")
def basis():
    return PCA.from_moments(Moments.from_filters(scaled_filters(random_rows(1000, 99))))


def random_rows(n, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 9)) * rng.exponential(size=(n, 1)) ** 2
    rows[::7] = 0
    return rows.astype(np.float32)


def random_columns(n, *, stored, dropped, scaled):
    rows = random_rows(n)
    maxima = np.abs(rows).max(axis=1)
    return plain.Columns(
        tuple(np.ascontiguousarray(rows.T)),
        maxima if stored else None,
        maxima < 0.3 if dropped else None,
        scaled,
    )


def every_way(test):
    for name in ("stored", "dropped", "scaled"):
        test = pytest.mark.parametrize(name, [False, True])(test)
    return pytest.mark.parametrize("n", SIZES)(test)


@every_way
def test_compiled_columns_equal_plain_ones(compiled, basis, n, stored, dropped, scaled):
    columns = random_columns(n, stored=stored, dropped=dropped, scaled=scaled)
    binning = kernels._binning(basis, None, 70)
    expected = plain.column_moments(columns)
    np.testing.assert_allclose(compiled.column_moments(columns), expected, rtol=1e-11, atol=1e-11)
    counts = compiled.column_histogram(columns, binning)
    np.testing.assert_array_equal(counts, plain.column_histogram(columns, binning))
    assert (counts.sum(axis=1) == columns.n_kept).all()


@pytest.mark.parametrize("least", [0.0, 0.3])
@pytest.mark.parametrize("n", SIZES)
def test_compiled_rows_equal_plain_ones(compiled, n, least):
    rows = random_rows(n)
    maxima = compiled.row_maxima(rows)
    np.testing.assert_array_equal(maxima, plain.row_maxima(rows))
    np.testing.assert_array_equal(maxima, np.abs(rows).max(axis=1, initial=0))
    sparse = maxima < least
    expected = plain.row_moments(rows, maxima, sparse)
    np.testing.assert_allclose(compiled.row_moments(rows, maxima, sparse), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 4, 8])
def test_both_notice_non_finite_weights(compiled, basis, monkeypatch, bad, position):
    rows = random_rows(300) + np.float32(0.1)
    rows[123, position] = bad
    columns = np.ascontiguousarray(rows.T)
    for loops in (compiled, plain):
        monkeypatch.setattr(kernels, "_loops", lambda filters, floats, loops=loops: loops)
        for scaled in (False, True):
            with pytest.raises(SourceError, match="NaN or infinite"):
                column_moments(columns, scaled=scaled)
            with pytest.raises(SourceError, match="NaN or infinite"):
                column_histogram(columns, basis, scaled=scaled)
        with pytest.raises(SourceError, match="NaN or infinite"):
            kernels.row_maxima(rows)


def test_columns_equal_the_definition(basis):
    rows = random_rows(5000)
    sparse = np.abs(rows).max(axis=1) < 0.3
    kept = scaled_filters(rows[~sparse])
    expected = Moments.from_filters(kept).to_vector()
    np.testing.assert_allclose(column_moments(rows.T, sparse=sparse).to_vector(), expected, rtol=1e-11, atol=1e-11)
    counts = column_histogram(rows.T, basis, sparse=sparse)
    np.testing.assert_array_equal(counts, coefficient_histogram(kept, basis))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_dtypes_are_taken_as_they_are(dtype):
    rows = random_rows(500).astype(dtype)
    expected = Moments.from_filters(rows).to_vector()
    np.testing.assert_allclose(column_moments(rows.T, scaled=False).to_vector(), expected, rtol=1e-11)


def test_arrow_columns_give_the_same(compiled, monkeypatch):
    rows = random_rows(1000)
    sparse = np.abs(rows).max(axis=1) < 0.3
    arrow = [pa.array(column) for column in rows.T]
    expected = column_moments(rows.T, sparse=sparse).to_vector()
    monkeypatch.setattr(kernels._Work, "filters", kernels._FILTERS_THAT_REPAY_LOADING)
    taken = column_moments(arrow, sparse=pa.array(sparse), maxima=pa.array(np.abs(rows).max(axis=1)))
    np.testing.assert_allclose(taken.to_vector(), expected, rtol=1e-11, atol=1e-11)


def test_threads_share_the_loops(compiled):
    rows = random_rows(50_000)
    parts = [rows[start : start + 5000] for start in range(0, len(rows), 5000)]
    with ThreadPoolExecutor(4) as pool:
        maxima = list(pool.map(compiled.row_maxima, parts))
    np.testing.assert_array_equal(np.concatenate(maxima), plain.row_maxima(rows))


def test_numba_is_used_once_it_pays_and_only_for_what_it_takes(compiled, monkeypatch):
    rows = random_rows(100)
    monkeypatch.setattr(kernels._Work, "filters", 0)
    assert kernels._loops(rows, [rows]) is plain
    kernels.expect(kernels._FILTERS_THAT_REPAY_LOADING)
    assert kernels._loops(rows, [rows]) is compiled
    assert kernels._loops(rows, [rows.astype(np.float64)]) is plain
    assert kernels._loops(rows, [rows[:, ::2]]) is plain
    unaligned = np.frombuffer(b"?" + rows.tobytes(), np.float32, offset=1)
    assert kernels._loops(rows, [unaligned]) is plain


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_analysis_does_not_load_numba():
    code = "import sys, filterdb.analysis; print({'numba', 'scipy', 'pyarrow'} & set(sys.modules))"
    assert run_python(code) == "set()"


def test_without_numba_the_loops_are_plain():
    code = """
import sys
sys.modules["numba"] = None
import numpy as np
from filterdb.analysis import kernels, plain
kernels.expect(1 << 40)
print(kernels.column_moments(np.ones((9, 5), np.float32)).n, kernels._fastest() is plain)
"""
    assert run_python(code) == "5 True"


def test_unequal_lengths_are_refused():
    columns = np.ones((9, 5), np.float32)
    with pytest.raises(UsageError, match="equally long"):
        column_moments(columns, maxima=np.ones(4, np.float32))
    with pytest.raises(UsageError, match="equally long"):
        column_moments(columns, sparse=np.ones(6, bool))
    with pytest.raises(UsageError, match="equally long"):
        kernels.row_moments(columns.T, np.ones(5, np.float32), np.ones(4, bool))
    with pytest.raises(UsageError, match="nine weights w0 … w8; got 8"):
        column_moments(columns[:8])

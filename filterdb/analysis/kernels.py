"""The hot loops over many filters, checked and dispatched: `compiled` where it pays, else `plain`.

Both give the same: moments to rounding, histograms bit for bit. Every function releases the GIL for
most of its time, so that one thread per row group or layer scales; none starts threads itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from types import ModuleType

import numpy as np

from filterdb.analysis import plain
from filterdb.analysis.moments import NOT_FINITE, Moments, check_finite
from filterdb.analysis.pca import PCA
from filterdb.errors import SourceError, UsageError

BINS = 70

# Loading numba takes half a second (seconds when it compiles, once per installation): as long as
# numpy needs for about this many filters.
_FILTERS_THAT_REPAY_LOADING = 1 << 23


class _Work:
    """Filters seen, or announced, in this process."""

    filters = 0


def expect(filters: int) -> None:
    """Announces a scan over so many filters, so that a large one is compiled from its first block on."""
    _Work.filters += filters


def row_maxima(rows: np.ndarray) -> np.ndarray:
    """(n,) max|F| of each filter of `rows` (n, 9), in their dtype. Raises SourceError if not finite."""
    maxima = _loops(rows, [rows]).row_maxima(rows)
    check_finite(maxima)
    return maxima


def row_moments(rows: np.ndarray, maxima: np.ndarray, sparse: np.ndarray) -> tuple[Moments, Moments]:
    """Moments of the non-sparse filters of `rows` (n, 9): as they are, and scaled.

    `maxima` (n,): what `row_maxima` gave. `sparse` (n,) bool: filters to leave out.
    """
    _check_lengths([len(rows), len(maxima), len(sparse)])
    raw, scaled = _loops(rows, [rows, maxima]).row_moments(rows, maxima, np.ascontiguousarray(sparse, dtype=bool))
    return _moments(raw), _moments(scaled)


def column_moments(
    weights: Sequence[np.ndarray],
    *,
    scaled: bool = True,
    maxima: np.ndarray | None = None,
    sparse: np.ndarray | None = None,
) -> Moments:
    """Moments of filters given by weight: w0 … w8, nine arrays (n,), best contiguous float32.

    `maxima` (n,): max|F| of each where it is stored (computed otherwise). `sparse` (n,) bool:
    filters to leave out. Arrow arrays without nulls are taken without a copy.
    """
    columns = _columns(weights, maxima, sparse, scaled)
    return _moments(_column_loops(columns).column_moments(columns))


def column_histogram(
    weights: Sequence[np.ndarray],
    pca: PCA,
    value_range: tuple[float, float] | None = None,
    bins: int = BINS,
    *,
    scaled: bool = True,
    maxima: np.ndarray | None = None,
    sparse: np.ndarray | None = None,
) -> np.ndarray:
    """(9, bins) int64: `divergence.coefficient_histogram` of filters given as in `column_moments`."""
    columns = _columns(weights, maxima, sparse, scaled)
    counts = _column_loops(columns).column_histogram(columns, _binning(pca, value_range, bins))
    if counts[0].sum() != columns.n_kept:
        raise SourceError(NOT_FINITE)
    return counts


def checked_range(value_range: tuple[float, float]) -> tuple[float, float]:
    """`value_range` as floats (low, high). Raises UsageError unless both are finite and low < high."""
    low, high = map(float, value_range)
    if not (np.isfinite([low, high]).all() and low < high):
        raise UsageError(
            f"a histogram's range must be finite and low < high; got ({low}, {high}): "
            "give one, or a basis from two or more filters that differ"
        )
    return low, high


def _columns(
    weights: Sequence[np.ndarray], maxima: np.ndarray | None, sparse: np.ndarray | None, scaled: bool
) -> plain.Columns:
    if len(weights) != 9:
        raise UsageError(f"a 3×3 filter has nine weights w0 … w8; got {len(weights)} columns")
    columns = plain.Columns(
        tuple(np.asarray(weight) for weight in weights),
        None if maxima is None else np.asarray(maxima),
        None if sparse is None else np.ascontiguousarray(sparse, dtype=bool),
        scaled,
    )
    given = [array for array in (*columns.weights, columns.maxima, columns.sparse) if array is not None]
    _check_lengths([len(array) for array in given])
    return columns


def _check_lengths(lengths: list[int]) -> None:
    if len(set(lengths)) > 1:
        raise UsageError(f"weights, maxima and sparse must be equally long; got {lengths}")


def _binning(pca: PCA, value_range: tuple[float, float] | None, bins: int) -> plain.Binning:
    low, high = checked_range(pca.coefficient_range() if value_range is None else value_range)
    if bins < 1:
        raise UsageError(f"a histogram needs at least one bin; got {bins}")
    components = np.ascontiguousarray(pca.components, dtype=np.float64)
    return plain.Binning(components, components @ pca.mean + low, bins / (high - low), bins)


def _column_loops(columns: plain.Columns) -> ModuleType:
    floats = columns.weights if columns.maxima is None else (*columns.weights, columns.maxima)
    return _loops(columns.weights[0], floats)


def _loops(filters: np.ndarray, floats: Iterable[np.ndarray]) -> ModuleType:
    """The module to run on `filters`, whose arrays of weights and maxima are `floats`."""
    _Work.filters += len(filters)
    if _Work.filters < _FILTERS_THAT_REPAY_LOADING or not all(map(_is_compilable, floats)):
        return plain
    return _fastest()


def _is_compilable(array: np.ndarray) -> bool:
    return array.dtype == np.float32 and array.flags.c_contiguous and array.flags.aligned


@cache
def _fastest() -> ModuleType:
    """`compiled`; `plain` without numba, or where numba finds no directory to keep compiled code in."""
    try:
        from filterdb.analysis import compiled
    except (ImportError, RuntimeError):
        return plain
    return compiled


def _moments(vector: np.ndarray) -> Moments:
    check_finite(vector)
    return Moments.from_vector(vector)

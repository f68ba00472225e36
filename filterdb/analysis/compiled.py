"""The hot loops compiled by numba: the functions of `plain`, several times faster and without the GIL.

Importing this module compiles them, once per installation: numba keeps the result on disk. Filters
are taken in blocks that fit the first-level cache, as float64 (9, BLOCK), so that every inner loop
runs over neighbouring filters and vectorises. Arrays must be C-contiguous, weights and maxima float32.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from filterdb.analysis.plain import Binning, Columns

BLOCK = 256

_FLOATS = types.Array(types.float32, 1, "C", readonly=True)
_FLAGS = types.Array(types.boolean, 1, "C", readonly=True)
_ROWS = types.Array(types.float32, 2, "C", readonly=True)
_WEIGHTS = types.UniTuple(_FLOATS, 9)
_VECTOR = types.float64[::1]
_MATRIX = types.float64[:, ::1]

_OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy"}
# Sums may be reordered and fused, which vectorises them; NaN and infinities keep their meaning.
_REORDERED = {"reassoc", "contract", "nsz"}

# What stands for absent maxima and sparse flags.
_NO_MAXIMA = np.empty(0, np.float32)
_NO_FLAGS = np.empty(0, np.bool_)


def row_maxima(rows: np.ndarray) -> np.ndarray:
    """See `plain.row_maxima`."""
    return _row_maxima(rows)


def row_moments(rows: np.ndarray, maxima: np.ndarray, sparse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """See `plain.row_moments`."""
    raw, scaled = np.zeros(55), np.zeros(55)
    _add_row_moments(rows, maxima, sparse, raw, scaled)
    raw[0] = scaled[0] = len(sparse) - np.count_nonzero(sparse)
    return raw, scaled


def column_moments(columns: Columns) -> np.ndarray:
    """See `plain.column_moments`."""
    total = np.zeros(55)
    _add_column_moments(*_arguments(columns), total)
    total[0] = columns.n_kept
    return total


def column_histogram(columns: Columns, binning: Binning) -> np.ndarray:
    """See `plain.column_histogram`."""
    counts = np.zeros((9, binning.bins + 1), dtype=np.int64)
    _count_columns(*_arguments(columns), binning.components, binning.shifts, binning.per_width, counts)
    return counts[:, : binning.bins]


def _arguments(columns: Columns) -> tuple:
    maxima = _NO_MAXIMA if columns.maxima is None else columns.maxima
    sparse = _NO_FLAGS if columns.sparse is None else columns.sparse
    return columns.weights, maxima, sparse, columns.scaled


@njit(types.float32[::1](_ROWS), **_OPTIONS)
def _row_maxima(rows) -> np.ndarray:
    maxima = np.empty(len(rows), np.float32)
    for k in range(len(rows)):
        largest = abs(rows[k, 0])
        for weight in range(1, 9):
            value = abs(rows[k, weight])
            largest = value if value > largest or value != value else largest  # a NaN stays
        maxima[k] = largest
    return maxima


@njit(types.void(_MATRIX, types.int64, _VECTOR), fastmath=_REORDERED, **_OPTIONS)
def _add_moments(block, size, total) -> None:
    """Adds sums and products of the first `size` filters of a block to a vector of moments."""
    for i in range(9):
        value = 0.0
        for k in range(size):
            value += block[i, k]
        total[1 + i] += value
    position = 10
    for i in range(9):
        for j in range(i, 9):
            value = 0.0
            for k in range(size):
                value += block[i, k] * block[j, k]
            total[position] += value
            position += 1


@njit(types.void(_ROWS, _FLOATS, _FLAGS, _VECTOR, _VECTOR), **_OPTIONS)
def _add_row_moments(rows, maxima, sparse, raw, scaled) -> None:
    block = np.empty((9, BLOCK))
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        largest = maxima[start : start + BLOCK]
        is_sparse = sparse[start : start + BLOCK]
        for k in range(len(part)):
            keep = 0.0 if is_sparse[k] else 1.0
            for weight in range(9):
                block[weight, k] = keep * part[k, weight]
        _add_moments(block, len(part), raw)
        for k in range(len(part)):
            factor = 0.0 if is_sparse[k] or largest[k] == 0.0 else 1.0 / largest[k]
            for weight in range(9):
                block[weight, k] *= factor
        _add_moments(block, len(part), scaled)


@njit(types.void(_WEIGHTS, _FLOATS, types.int64, types.int64, _VECTOR), **_OPTIONS)
def _set_maxima(weights, stored, start, size, maxima) -> None:
    """max|F| of the `size` filters from `start`, as stored or else computed."""
    for k in range(size):
        maxima[k] = stored[start + k] if len(stored) else 0.0
    for weight in range(0 if len(stored) else 9):
        column = weights[weight][start : start + size]
        for k in range(size):
            value = np.float64(abs(column[k]))
            maxima[k] = value if value > maxima[k] else maxima[k]


@njit(
    types.void(_WEIGHTS, _FLOATS, _FLAGS, types.boolean, types.float64, types.int64, types.int64, _VECTOR, _MATRIX),
    **_OPTIONS,
)
def _fill(weights, maxima, sparse, scaled, dropped, start, size, factors, block) -> None:
    """The `size` filters from `start`, scaled if asked, sparse ones multiplied by `dropped`."""
    for k in range(size):
        factors[k] = 1.0
    if scaled:
        _set_maxima(weights, maxima, start, size, factors)
        for k in range(size):
            factors[k] = 1.0 / (1.0 if factors[k] == 0.0 else factors[k])
    if len(sparse):
        is_sparse = sparse[start : start + size]
        for k in range(size):
            factors[k] = factors[k] * (dropped if is_sparse[k] else 1.0)
    for weight in range(9):
        column = weights[weight][start : start + size]
        for k in range(size):
            block[weight, k] = column[k] * factors[k]


@njit(types.void(_WEIGHTS, _FLOATS, _FLAGS, types.boolean, _VECTOR), **_OPTIONS)
def _add_column_moments(weights, maxima, sparse, scaled, total) -> None:
    block = np.empty((9, BLOCK))
    factors = np.empty(BLOCK)
    n = len(weights[0])
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        _fill(weights, maxima, sparse, scaled, 0.0, start, size, factors, block)
        _add_moments(block, size, total)


@njit(types.void(_MATRIX, types.int64, _VECTOR, types.float64, types.float64, types.int64[::1]), **_OPTIONS)
def _count(block, size, component, shift, per_width, counts) -> None:
    """Adds a block's coefficients on one component to its counts, whose last bin takes what is not finite."""
    indices = np.empty(BLOCK, np.int32)
    bins = len(counts) - 1
    last = np.float64(bins - 1)
    v0, v1, v2, v3, v4 = component[0], component[1], component[2], component[3], component[4]
    v5, v6, v7, v8 = component[5], component[6], component[7], component[8]
    for k in range(size):
        value = v0 * block[0, k] + v1 * block[1, k] + v2 * block[2, k] + v3 * block[3, k] + v4 * block[4, k]
        value = value + v5 * block[5, k] + v6 * block[6, k] + v7 * block[7, k] + v8 * block[8, k]
        position = (value - shift) * per_width
        inside = position if position > 0.0 else 0.0
        inside = inside if inside < last else last
        indices[k] = np.int32(inside if position - position == 0.0 else np.float64(bins))
    for k in range(size):
        counts[indices[k]] += 1


@njit(
    types.void(_WEIGHTS, _FLOATS, _FLAGS, types.boolean, _MATRIX, _VECTOR, types.float64, types.int64[:, ::1]),
    **_OPTIONS,
)
def _count_columns(weights, maxima, sparse, scaled, components, shifts, per_width, counts) -> None:
    block = np.empty((9, BLOCK))
    factors = np.empty(BLOCK)
    n = len(weights[0])
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        _fill(weights, maxima, sparse, scaled, np.nan, start, size, factors, block)
        for axis in range(9):
            _count(block, size, components[axis], shifts[axis], per_width, counts[axis])

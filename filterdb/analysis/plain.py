"""The hot loops in numpy: the reference that `compiled` must equal, and its stand-in without numba.

Rows are filters (n, 9); columns are the nine weights w0 … w8 as arrays (n,) of their own, as Arrow
holds them. `maxima` (n,) are the filters' max|F|, `sparse` (n,) bool marks filters to leave out.
Moments leave as vectors (55,), see `Moments.to_vector`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

CHUNK = 1 << 13
_UPPER = np.triu_indices(9)


def row_maxima(rows: np.ndarray) -> np.ndarray:
    """(n,) max|F| of each filter, in the dtype of `rows`; NaN if it holds one."""
    largest = np.abs(rows[:, 0])
    for column in range(1, 9):
        np.maximum(largest, np.abs(rows[:, column]), out=largest)
    return largest


def row_moments(rows: np.ndarray, maxima: np.ndarray, sparse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moments of the non-sparse filters as they are, and of the same scaled."""
    raw, scaled = np.zeros(55), np.zeros(55)
    for part in _chunks(len(rows)):
        keep = ~sparse[part]
        block = rows[part][keep].T.astype(np.float64)
        raw += _block_moments(block)
        scaled += _block_moments(block / maxima[part][keep])
    return raw, scaled


def column_moments(
    columns: Sequence[np.ndarray], maxima: np.ndarray | None, sparse: np.ndarray | None, scaled: bool
) -> np.ndarray:
    """Moments of the non-sparse filters, scaled or as they are."""
    total = np.zeros(55)
    for block in _blocks(columns, maxima, sparse, scaled):
        total += _block_moments(block)
    return total


def column_histogram(
    columns: Sequence[np.ndarray],
    maxima: np.ndarray | None,
    sparse: np.ndarray | None,
    scaled: bool,
    components: np.ndarray,
    mean: np.ndarray,
    value_range: tuple[float, float],
    bins: int,
) -> np.ndarray:
    """(9, bins) int64 counts of the non-sparse filters' coefficients, scaled or as they are."""
    counts = np.zeros((9, bins), dtype=np.int64)
    for block in _blocks(columns, maxima, sparse, scaled):
        counts += histogram(block, components, mean, value_range, bins)
    return counts


def histogram(
    block: np.ndarray, components: np.ndarray, mean: np.ndarray, value_range: tuple[float, float], bins: int
) -> np.ndarray:
    """(9, bins) int64 counts of the coefficients of a float64 block (9, n) of filters as columns.

    Products are added in the order of the weights, so that other implementations can be equal bit by bit.
    """
    low, high = value_range
    coefficients = components[:, :1] * block[0]
    for weight in range(1, 9):
        coefficients += components[:, weight : weight + 1] * block[weight]
    coefficients -= (components @ mean)[:, None]
    positions = (coefficients - low) / ((high - low) / bins)
    indices = np.clip(np.floor(positions), 0, bins - 1).astype(np.int64)
    indices += bins * np.arange(9)[:, None]
    return np.bincount(indices.ravel(), minlength=9 * bins).reshape(9, bins)


def _blocks(
    columns: Sequence[np.ndarray], maxima: np.ndarray | None, sparse: np.ndarray | None, scaled: bool
) -> Iterator[np.ndarray]:
    """The kept filters as float64 blocks (9, ≤ CHUNK), scaled if asked."""
    for part in _chunks(len(columns[0])):
        block = np.array([column[part] for column in columns], dtype=np.float64)
        if scaled:
            largest = np.abs(block).max(axis=0) if maxima is None else maxima[part]
            block /= np.where(largest > 0, largest, 1.0)
        yield block if sparse is None else block[:, ~sparse[part]]


def _block_moments(block: np.ndarray) -> np.ndarray:
    return np.concatenate([[block.shape[1]], block.sum(axis=1), (block @ block.T)[_UPPER]])


def _chunks(n: int) -> Iterator[slice]:
    for start in range(0, n, CHUNK):
        yield slice(start, start + CHUNK)

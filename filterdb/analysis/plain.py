"""The hot loops in numpy: what `compiled` must equal, and what runs without numba or on few filters.

Rows are filters (n, 9) in memory order; columns are the nine weights as arrays (n,), as Arrow holds
them. Moments leave as vectors (55,), see `Moments.to_vector`. Non-finite weights are not looked for
here: they turn moments into NaN and stay uncounted in histograms, where `kernels` notices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

CHUNK = 1 << 13
_UPPER = np.triu_indices(9)


class Columns(NamedTuple):
    """Filters by weight, and how they are to be taken.

    `weights`: nine arrays (n,). `maxima` (n,): max|F| of each, or None to compute it where needed.
    `sparse` (n,) bool: filters to leave out, or None. `scaled`: each divided by its maximum.
    """

    weights: tuple[np.ndarray, ...]
    maxima: np.ndarray | None = None
    sparse: np.ndarray | None = None
    scaled: bool = False

    @property
    def n_kept(self) -> int:
        n_sparse = 0 if self.sparse is None else int(np.count_nonzero(self.sparse))
        return len(self.weights[0]) - n_sparse


class Binning(NamedTuple):
    """Bins of coefficients: floor((components · F − shifts) · per_width), cut to 0 … bins − 1."""

    components: np.ndarray
    shifts: np.ndarray
    per_width: float
    bins: int


def row_maxima(rows: np.ndarray) -> np.ndarray:
    """(n,) max|F| of each filter, in the dtype of `rows`; NaN if it holds one."""
    largest = np.abs(rows[:, 0])
    for weight in range(1, 9):
        np.maximum(largest, np.abs(rows[:, weight]), out=largest)
    return largest


def row_moments(rows: np.ndarray, maxima: np.ndarray, sparse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moments of the non-sparse filters as they are, and scaled."""
    raw = Columns(tuple(rows.T), maxima, sparse, scaled=False)
    return column_moments(raw), column_moments(raw._replace(scaled=True))


@np.errstate(invalid="ignore", over="ignore")
def column_moments(columns: Columns) -> np.ndarray:
    """Moments of the filters that are kept."""
    total = np.zeros(55)
    for block in _blocks(columns, dropped=0.0):
        total[1:10] += block.sum(axis=1)
        total[10:] += (block @ block.T)[_UPPER]
    total[0] = columns.n_kept
    return total


@np.errstate(invalid="ignore", over="ignore")
def column_histogram(columns: Columns, binning: Binning) -> np.ndarray:
    """(9, bins) int64: how many of the filters that are kept fall into each bin of each axis."""
    counts = np.zeros((9, binning.bins + 1), dtype=np.int64)
    for block in _blocks(columns, dropped=np.nan):
        indices = _bin_indices(block, binning) + (binning.bins + 1) * np.arange(9)[:, None]
        counts += np.bincount(indices.ravel(), minlength=counts.size).reshape(counts.shape)
    return counts[:, : binning.bins]


def _bin_indices(block: np.ndarray, binning: Binning) -> np.ndarray:
    """(9, n) bins of a block, `bins` where not finite; products are added in order, as in `compiled`."""
    values = binning.components[:, :1] * block[0]
    product = np.empty_like(values)
    for weight in range(1, 9):
        values += np.multiply(binning.components[:, weight : weight + 1], block[weight], out=product)
    values -= binning.shifts[:, None]
    values *= binning.per_width
    infinite = ~np.isfinite(values)
    np.clip(values, 0, binning.bins - 1, out=values)
    values[infinite] = binning.bins
    return values.astype(np.int64)


def _blocks(columns: Columns, dropped: float) -> Iterator[np.ndarray]:
    """The filters as float64 blocks (9, ≤ CHUNK), scaled if asked, sparse ones multiplied by `dropped`."""
    for start in range(0, len(columns.weights[0]), CHUNK):
        part = slice(start, start + CHUNK)
        block = np.array([weight[part] for weight in columns.weights], dtype=np.float64)
        if columns.scaled:
            block *= 1.0 / _divisors(block, columns.maxima, part)
        if columns.sparse is not None:
            block *= np.where(columns.sparse[part], dropped, 1.0)
        yield block


def _divisors(block: np.ndarray, maxima: np.ndarray | None, part: slice) -> np.ndarray:
    largest = np.abs(block).max(axis=0) if maxima is None else maxima[part].astype(np.float64)
    return np.where(largest == 0, 1.0, largest)

"""The hot loops over many filters: compiled with numba where it is installed, numpy otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from filterdb.analysis import plain
from filterdb.analysis.moments import Moments
from filterdb.analysis.pca import PCA


def row_maxima(rows: np.ndarray) -> np.ndarray:
    """(n,) max|F| of each filter of (n, 9), in the dtype of `rows`; NaN if it holds one."""
    return plain.row_maxima(rows)


def row_moments(rows: np.ndarray, maxima: np.ndarray, sparse: np.ndarray) -> tuple[Moments, Moments]:
    """Raw and scaled moments of the non-sparse filters of (n, 9)."""
    raw, scaled = plain.row_moments(rows, maxima, sparse)
    return Moments.from_vector(raw), Moments.from_vector(scaled)


def column_moments(
    columns: Sequence[np.ndarray],
    *,
    scaled: bool = True,
    maxima: np.ndarray | None = None,
    sparse: np.ndarray | None = None,
) -> Moments:
    """Moments of the non-sparse filters whose weights are nine columns w0 … w8 (n,) float32.

    `maxima` (n,): max|F| of each, computed if absent. `sparse` (n,) bool: filters to leave out.
    """
    return Moments.from_vector(plain.column_moments(columns, maxima, sparse, scaled))


def column_histogram(
    columns: Sequence[np.ndarray],
    pca: PCA,
    value_range: tuple[float, float] | None = None,
    bins: int = 70,
    *,
    scaled: bool = True,
    maxima: np.ndarray | None = None,
    sparse: np.ndarray | None = None,
) -> np.ndarray:
    """(9, bins) int64: `divergence.coefficient_histogram` of filters given as to `column_moments`."""
    value_range = pca.coefficient_range() if value_range is None else value_range
    return plain.column_histogram(
        columns, maxima, sparse, scaled, pca.components, pca.mean, value_range, bins
    )

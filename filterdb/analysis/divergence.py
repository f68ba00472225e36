"""How far two sets of filters differ: symmetric KL of their coefficients on a common basis (Eq. 10)."""

from __future__ import annotations

import numpy as np

from filterdb.analysis import kernels
from filterdb.analysis.moments import as_rows
from filterdb.analysis.pca import PCA
from filterdb.errors import UsageError

_CHUNK = 1 << 16
_EMPTY_DENSITY = float(np.finfo(np.float32).eps)


def coefficient_histogram(
    filters: np.ndarray,
    pca: PCA,
    value_range: tuple[float, float] | None = None,
    bins: int = kernels.BINS,
) -> np.ndarray:
    """(9, bins) int64: how many filters have their coefficient on each axis in each bin.

    `filters` (n, 9) are taken as they are: scale them and drop the sparse ones before. Bins are
    [a, b) of equal width over `value_range` (default: the basis' `coefficient_range`), the last one
    closed; what lies outside counts in the first or last, so that every row sums to n.
    """
    rows = as_rows(filters)
    chunks = [rows[start : start + _CHUNK].T for start in range(0, max(len(rows), 1), _CHUNK)]
    return sum(
        kernels.column_histogram(np.ascontiguousarray(chunk), pca, value_range, bins, scaled=False) for chunk in chunks
    )


def symmetric_kl(
    counts_p: np.ndarray,
    counts_q: np.ndarray,
    value_range: tuple[float, float],
    weights: np.ndarray,
) -> float:
    """KL(P‖Q) + KL(Q‖P) in nats, summed over axes weighted by `weights` (9,), the basis' variance ratios.

    See `symmetric_kl_by_axis`. NaN if either split is empty.
    """
    return float(symmetric_kl_by_axis(counts_p, counts_q, value_range) @ np.asarray(weights))


def symmetric_kl_by_axis(
    counts_p: np.ndarray,
    counts_q: np.ndarray,
    value_range: tuple[float, float],
) -> np.ndarray:
    """KL(P‖Q) + KL(Q‖P) in nats along each axis (…,), from counts (…, bins) over `value_range`.

    Empty bins have density (count / (n · bin width)) float32 eps, then each histogram is normalised
    again, as published. NaN where either has no filters. Counts may be weighted.
    """
    if np.shape(counts_p) != np.shape(counts_q):
        raise UsageError(f"histograms of shapes {np.shape(counts_p)} and {np.shape(counts_q)} cannot be compared")
    p = _probabilities(counts_p, value_range)
    q = _probabilities(counts_q, value_range)
    return ((p - q) * np.log(p / q)).sum(axis=-1)


def _probabilities(counts: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    counts = np.asarray(counts, dtype=np.float64)
    low, high = kernels.checked_range(value_range)
    n = counts.sum(axis=-1, keepdims=True)
    density = counts / np.where(n > 0, n * (high - low) / counts.shape[-1], np.nan)
    density = np.where(density == 0, _EMPTY_DENSITY, density)
    return density / density.sum(axis=-1, keepdims=True)

"""Quality of a layer's filters: sparsity, variance entropy (Eq. 8), orthogonality (Eq. 9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from filterdb.analysis import kernels
from filterdb.analysis.moments import Moments, as_rows, sparse_mask
from filterdb.analysis.pca import explained_variance, variance_ratio
from filterdb.errors import SourceError, UsageError

_BANK_ROWS = 1024
_BANK_COLUMNS = 2304


@dataclass(frozen=True, eq=False)
class LayerSummary:
    """What one layer contributes to every later question; see `summarize_layer`."""

    n_filters: int
    max_abs: float
    n_sparse: int
    filter_max_abs: np.ndarray
    sparse: np.ndarray
    raw_moments: Moments
    scaled_moments: Moments
    orthogonality: float

    @property
    def sparsity(self) -> float:
        """Share of sparse filters; NaN without filters."""
        return self.n_sparse / self.n_filters if self.n_filters else np.nan

    @property
    def variance_entropy(self) -> float:
        """Definition `paper`: of the non-sparse filters as they are."""
        return float(variance_entropy(self.raw_moments))

    @property
    def variance_entropy_scaled(self) -> float:
        """Definition `published`: of the non-sparse filters, each scaled to a maximum of 1."""
        return float(variance_entropy(self.scaled_moments))


def summarize_layer(filters: np.ndarray, out_channels: int | None = None, groups: int = 1) -> LayerSummary:
    """Everything the lake keeps of a layer, from its filters (n, 9) in order of (out, in) channel.

    Moments are those of the non-sparse filters. `filter_max_abs` (n,) and `sparse` (n,) are per
    filter, `max_abs` is of the layer (0 without filters). `orthogonality` is NaN where
    `out_channels` is unknown (None) or `orthogonality()` says so. Raises SourceError on NaN or
    infinite weights. Extra memory: a few MB, beside the two arrays per filter.
    """
    rows = as_rows(filters)
    largest = kernels.row_maxima(rows)
    max_abs = float(largest.max(initial=0.0))
    if not np.isfinite(max_abs):
        raise SourceError("filters hold NaN or infinite weights; leave this layer out")
    sparse = 100.0 * largest.astype(np.float64) <= max_abs
    raw, scaled = kernels.row_moments(rows, largest, sparse)
    return LayerSummary(
        n_filters=len(rows),
        max_abs=max_abs,
        n_sparse=int(sparse.sum()),
        filter_max_abs=largest,
        sparse=sparse,
        raw_moments=raw,
        scaled_moments=scaled,
        orthogonality=np.nan if out_channels is None else _layer_orthogonality(rows, out_channels, groups),
    )


def sparsity(filters: np.ndarray, layer_maximum: float | None = None) -> float:
    """Share in [0, 1] of sparse filters (`sparse_mask`) among (n, 9) or (…, 3, 3); NaN without filters."""
    mask = sparse_mask(filters, layer_maximum)
    return float(mask.mean()) if mask.size else np.nan


def variance_entropy(ratios: np.ndarray | Moments) -> np.ndarray:
    """−Σ p log10 p over explained-variance ratios (…, 9), or over those of `Moments` (Eq. 8).

    In [0, log10 9 = 0.954]; 0·log 0 = 0. NaN where the ratios are: below two filters, at zero variance.
    """
    if isinstance(ratios, Moments):
        ratios = variance_ratio(explained_variance(ratios.to_vector()))
    ratios = np.asarray(ratios, dtype=np.float64)
    logarithms = np.log10(np.where(ratios > 0, ratios, 1.0))
    return np.abs((ratios * logarithms).sum(axis=-1))


def orthogonality(weight: np.ndarray, groups: int = 1) -> float:
    """1 − Σ|W Wᵀ − I| / (c_out (c_out − 1)) over unit-length filterbanks (Eq. 9), in [0, 1].

    `weight` (c_out, c_in / groups, 3, 3) or (c_out, …): a filterbank is one output channel's
    weights; sparse filters count, zero banks stay zero. A grouped convolution has the mean over its
    groups, each judged alone. NaN at one output channel per group (depthwise), where no pair exists.
    Float32 products summed in float64: within 1e-7 of float64 throughout.
    """
    weight = np.asarray(weight)
    banks = weight.reshape(len(weight), -1)
    if groups < 1 or len(banks) % groups:
        raise UsageError(f"{len(banks)} output channels cannot form {groups} groups")
    if len(banks) // groups < 2:
        return np.nan
    return float(np.mean([_group_orthogonality(group) for group in np.split(banks, groups)]))


def _layer_orthogonality(rows: np.ndarray, out_channels: int, groups: int) -> float:
    if out_channels < 1 or len(rows) % out_channels:
        raise UsageError(f"{len(rows)} filters cannot belong to {out_channels} output channels")
    return orthogonality(rows.reshape(out_channels, -1), groups)


def _group_orthogonality(banks: np.ndarray) -> float:
    """Eq. 9 of one group's banks (c_out, length)."""
    norms = np.sqrt(np.einsum("ij,ij->i", banks, banks, dtype=np.float64))
    inverse = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    n_banks, n_zero = len(banks), int((norms == 0).sum())
    off_diagonal = sum(_block_sum(banks, inverse, start) for start in range(0, n_banks, _BANK_ROWS))
    return 1.0 - (2.0 * off_diagonal + n_zero) / (n_banks * (n_banks - 1))


def _block_sum(banks: np.ndarray, inverse: np.ndarray, start: int) -> float:
    """Σ|cos| over the pairs (i, j), i < j, with i among the _BANK_ROWS banks from `start`."""
    stop = min(start + _BANK_ROWS, len(banks))
    gram = np.zeros((stop - start, len(banks) - start))
    for columns in _column_chunks(banks):
        gram += columns[start:stop] @ columns[start:].T
    cosines = np.abs(gram, out=gram)
    cosines *= inverse[start:]
    return float(inverse[start:stop] @ np.triu(cosines, 1).sum(axis=1))


def _column_chunks(banks: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, banks.shape[1], _BANK_COLUMNS):
        yield banks[:, first : first + _BANK_COLUMNS]

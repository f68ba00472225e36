"""Quality of a layer's filters: sparsity, variance entropy (Eq. 8), orthogonality (Eq. 9)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from filterdb.analysis import kernels
from filterdb.analysis.moments import Moments, as_rows, check_finite, is_sparse, sparse_mask
from filterdb.analysis.pca import explained_variance, variance_ratio
from filterdb.errors import UsageError

# Products are formed for so many pairs of filterbanks at a time, and over so many of their weights:
# longer pieces would cost memory where they are converted, and rounding where they are not.
_GRAM_PAIRS = 1 << 22
_GRAM_DEPTH = {np.float32: 4608, np.float64: 1152}
_FLOAT64_BANKS = 256
_FLOAT32_LEAST = 0.7


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
    infinite weights. Extra memory: 13 bytes a filter and what `orthogonality` needs.
    """
    rows = as_rows(filters)
    maxima = kernels.row_maxima(rows)
    max_abs = float(maxima.max(initial=0.0))
    sparse = is_sparse(maxima, max_abs)
    raw, scaled = kernels.row_moments(rows, maxima, sparse)
    return LayerSummary(
        n_filters=len(rows),
        max_abs=max_abs,
        n_sparse=int(np.count_nonzero(sparse)),
        filter_max_abs=maxima,
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

    `weight` (c_out, c_in / groups, 3, 3) or (c_out, …): a filterbank is all the weights of one output
    channel. Sparse filters count, zero banks stay zero. A grouped convolution has the mean over its
    groups, each judged alone. NaN at one output channel per group (depthwise), where there is no pair.

    Within 1e-7 of float64 throughout. Cost: c_out² / groups dot products; extra memory: about 50 MB
    at most, twice that where float64 is needed. Raises SourceError on NaN or infinite weights.
    """
    weight = np.asarray(weight)
    if weight.ndim < 2 or groups < 1 or len(weight) % groups:
        raise UsageError(f"weights of shape {weight.shape} cannot form {groups} groups of filterbanks")
    if len(weight) // groups < 2:
        return np.nan
    banks = weight.reshape(len(weight), prod(weight.shape[1:]))
    return float(np.mean([_group_orthogonality(group) for group in np.split(banks, groups)]))


def _layer_orthogonality(rows: np.ndarray, out_channels: int, groups: int) -> float:
    if out_channels < 1 or len(rows) % out_channels:
        raise UsageError(f"{len(rows)} filters cannot belong to {out_channels} output channels")
    return orthogonality(rows.reshape(out_channels, 9 * (len(rows) // out_channels)), groups)


def _group_orthogonality(banks: np.ndarray) -> float:
    """Eq. 9 of the filterbanks (c_out, length) of one group.

    In float32, which halves the time, where its rounding averages out over many pairs that are far
    from parallel, and where no product can overflow or vanish; in float64 otherwise.
    """
    norms = np.sqrt(np.einsum("ij,ij->i", banks, banks, dtype=np.float64))
    check_finite(norms)
    known = norms[norms > 0]
    is_moderate = known.min(initial=1.0) > 1e-12 and known.max(initial=1.0) < 1e12
    if len(banks) > _FLOAT64_BANKS and is_moderate:
        value = _orthogonality_in(np.float32, banks, norms)
        if value > _FLOAT32_LEAST:
            return value
    return _orthogonality_in(np.float64, banks, norms)


def _orthogonality_in(dtype: type, banks: np.ndarray, norms: np.ndarray) -> float:
    inverse = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    height = max(1, _GRAM_PAIRS // len(banks))
    blocks = [slice(start, start + height) for start in range(0, len(banks), height)]
    differences = sum(_cosine_sum(banks, inverse, block, dtype) for block in blocks) + np.sum(norms == 0)
    return max(0.0, float(1.0 - differences / (len(banks) * (len(banks) - 1))))


def _cosine_sum(banks: np.ndarray, inverse: np.ndarray, block: slice, dtype: type) -> float:
    """Σ|cos| over the ordered pairs of different banks of which the first lies in `block` and the
    second in it too, or, counted twice, after it. `inverse` (c_out,): 1/length, 0 for zero banks."""
    own = inverse[block]
    weights = np.concatenate([own, 2.0 * inverse[block.stop :]])
    gram = np.zeros((len(own), len(weights)))
    depth = _GRAM_DEPTH[dtype]
    for first in range(0, banks.shape[1], depth):
        part = banks[block.start :, first : first + depth].astype(dtype, copy=False)
        gram += part[: len(own)] @ part.T
    np.abs(gram, out=gram)
    return float(own @ (gram @ weights) - gram.diagonal() @ own**2)

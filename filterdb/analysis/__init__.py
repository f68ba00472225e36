"""Analysis of 3×3 filters in numpy: moments, PCA, quality metrics, divergence. No I/O, no SQL."""

from filterdb.analysis.divergence import coefficient_histogram, symmetric_kl, symmetric_kl_by_axis
from filterdb.analysis.kernels import column_histogram, column_moments
from filterdb.analysis.metrics import (
    LayerSummary,
    orthogonality,
    sparsity,
    summarize_layer,
    variance_entropy,
)
from filterdb.analysis.moments import Moments, scale, sparse_mask
from filterdb.analysis.pca import PCA

__all__ = [
    "PCA",
    "LayerSummary",
    "Moments",
    "coefficient_histogram",
    "column_histogram",
    "column_moments",
    "orthogonality",
    "scale",
    "sparse_mask",
    "sparsity",
    "summarize_layer",
    "symmetric_kl",
    "symmetric_kl_by_axis",
    "variance_entropy",
]

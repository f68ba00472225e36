"""Second moments of 3×3 filters: the 55 numbers per group from which PCA and entropy follow exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from filterdb.errors import UsageError

VECTOR_LENGTH = 55
CHUNK_ROWS = 1 << 15
_UPPER = np.triu_indices(9)


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, sum and uncentred second moments of filters, in float64; they merge in any order.

    `n` is the number of filters (a float when they are weighted), `sum` (9,) is Σ F and `cross`
    (9, 9) is Σ F Fᵀ. Merging adds, so any partition and any order give the same to about 1e-12.

    Not kept: higher moments and a running SVD, which would depend on the order of its input. The
    sums are not centred: a variance below about 1e-12 of the mean square is lost in rounding.
    """

    n: float
    sum: np.ndarray
    cross: np.ndarray

    @classmethod
    def empty(cls) -> Moments:
        """The moments of no filter, neutral in a merge."""
        return cls(0, np.zeros(9), np.zeros((9, 9)))

    @classmethod
    def from_filters(cls, filters: np.ndarray) -> Moments:
        """The moments of filters (n, 9) or (…, 3, 3) as they are, in one pass and constant extra memory."""
        rows = as_rows(filters)
        total, cross = np.zeros(9), np.zeros((9, 9))
        for chunk in row_chunks(rows):
            block = chunk.astype(np.float64)
            total += block.sum(axis=0)
            cross += block.T @ block
        return cls(len(rows), total, cross)

    @classmethod
    def from_mean_cov(cls, n: float, mean: np.ndarray, cov: np.ndarray, ddof: int = 1) -> Moments:
        """The moments of `n` filters of known mean (9,) and covariance (9, 9), whose divisor is n − ddof."""
        mean = np.asarray(mean, dtype=np.float64)
        cov = np.asarray(cov, dtype=np.float64)
        return cls(n, n * mean, (n - ddof) * cov + n * np.outer(mean, mean))

    @classmethod
    def from_vector(cls, vector: np.ndarray) -> Moments:
        """The inverse of `to_vector`."""
        n, total, cross = unpack(vector)
        return cls(float(n), total, cross)

    def to_vector(self) -> np.ndarray:
        """(55,): n, the nine sums, the upper triangle of `cross` row by row (c00, c01 … c08, c11 … c88)."""
        return np.concatenate([[self.n], self.sum, self.cross[_UPPER]])

    def merge(self, *others: Moments) -> Moments:
        """The moments of these filters and those of `others` together."""
        every = (self, *others)
        return Moments(
            sum(one.n for one in every),
            np.sum([one.sum for one in every], axis=0),
            np.sum([one.cross for one in every], axis=0),
        )

    def __add__(self, other: Moments) -> Moments:
        return self.merge(other)

    @property
    def mean(self) -> np.ndarray:
        """(9,); NaN without filters."""
        return mean(self.to_vector())

    def covariance(self, ddof: int = 1) -> np.ndarray:
        """(9, 9), divisor n − ddof; NaN where n ≤ ddof."""
        return covariance(self.to_vector(), ddof)


def unpack(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count (…), sum (…, 9) and cross (…, 9, 9) of moment vectors (…, 55)."""
    vectors = np.asarray(vectors, dtype=np.float64)
    if vectors.shape[-1:] != (VECTOR_LENGTH,):
        raise UsageError(f"moments are vectors of {VECTOR_LENGTH} numbers; got shape {vectors.shape}")
    cross = np.empty((*vectors.shape[:-1], 9, 9))
    cross[..., _UPPER[0], _UPPER[1]] = vectors[..., 10:]
    cross[..., _UPPER[1], _UPPER[0]] = vectors[..., 10:]
    return vectors[..., 0], vectors[..., 1:10], cross


def mean(vectors: np.ndarray) -> np.ndarray:
    """Means (…, 9) of moment vectors (…, 55); NaN where n = 0."""
    n, total, _ = unpack(vectors)
    return total / np.where(n > 0, n, np.nan)[..., None]


def covariance(vectors: np.ndarray, ddof: int = 1) -> np.ndarray:
    """Covariances (…, 9, 9) of moment vectors (…, 55), divisor n − ddof; NaN where n ≤ ddof."""
    n, total, cross = unpack(vectors)
    divisor = np.where(n > ddof, n - ddof, np.nan)[..., None, None]
    average = total / np.where(n > 0, n, np.nan)[..., None]
    return (cross - total[..., :, None] * average[..., None, :]) / divisor


def scale(filters: np.ndarray) -> np.ndarray:
    """F / max|F| in float64 (Eq. 3) of filters (n, 9) or (…, 3, 3), same shape; zero filters stay zero."""
    rows = as_rows(filters).astype(np.float64)
    largest = np.abs(rows).max(axis=1, initial=0.0, keepdims=True)
    return (rows / np.where(largest > 0, largest, 1.0)).reshape(np.shape(filters))


def sparse_mask(filters: np.ndarray, layer_maximum: float | None = None) -> np.ndarray:
    """(n,) bool: max|F| ≤ max|W|/100, for the filters (n, 9) or (…, 3, 3) of one layer.

    `layer_maximum` is max|W| where `filters` are only a part of the layer. The comparison is
    100·max|F| ≤ max|W| in float64, which is exact for float16 and float32 weights (a division by
    100 is not). An all-zero layer is all sparse.
    """
    largest = maxima(as_rows(filters)).astype(np.float64)
    if layer_maximum is None:
        layer_maximum = largest.max(initial=0.0)
    return 100.0 * largest <= float(layer_maximum)


def maxima(rows: np.ndarray) -> np.ndarray:
    """(n,) max|F| of each row of (n, 9), in the dtype of `rows`."""
    return np.maximum(rows.max(axis=1, initial=-np.inf), -rows.min(axis=1, initial=np.inf))


def as_rows(filters: np.ndarray) -> np.ndarray:
    """Filters (n, 9) or (…, 3, 3) as (n, 9), without copying where the memory allows it."""
    filters = np.asarray(filters)
    is_rows = filters.ndim == 2 and filters.shape[1] == 9
    if not is_rows and filters.shape[-2:] != (3, 3):
        raise UsageError(f"filters have the shape (n, 9) or (…, 3, 3); got {filters.shape}")
    return filters.reshape(-1, 9)


def row_chunks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Consecutive slices of at most CHUNK_ROWS rows, so that temporaries stay in cache."""
    for start in range(0, len(rows), CHUNK_ROWS):
        yield rows[start : start + CHUNK_ROWS]

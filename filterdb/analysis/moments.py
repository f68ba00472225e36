"""Second moments of 3×3 filters: the 55 numbers per group from which PCA and entropy follow exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from filterdb.analysis import plain
from filterdb.errors import SourceError, UsageError

VECTOR_LENGTH = 55
NOT_FINITE = "filters hold NaN or infinite weights; leave these out before analysing the others"
_UPPER = np.triu_indices(9)


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, sum and uncentred second moments of filters, in float64; they merge in any order.

    `n` is the number of filters (a float where they are weighted), `sum` (9,) is Σ F and `cross`
    (9, 9) is Σ F Fᵀ. Merging adds, so any partition and any order give the same to 1e-12.

    Left out: a running SVD, which would have to be fed in sequence. The sums are not centred: a
    variance below 1e-12 of the mean square is lost in their rounding.
    """

    n: float
    sum: np.ndarray
    cross: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "sum", np.asarray(self.sum, dtype=np.float64))
        object.__setattr__(self, "cross", np.asarray(self.cross, dtype=np.float64))
        if self.sum.shape != (9,) or self.cross.shape != (9, 9):
            raise UsageError(f"moments have a sum (9,) and cross (9, 9); got {self.sum.shape}, {self.cross.shape}")

    @classmethod
    def empty(cls) -> Moments:
        """The moments of no filter, neutral in a merge."""
        return cls(0, np.zeros(9), np.zeros((9, 9)))

    @classmethod
    def from_filters(cls, filters: np.ndarray) -> Moments:
        """The moments of filters (n, 9) or (…, 3, 3) as they are.

        One pass in float64 whatever the dtype, in blocks of constant memory. Raises SourceError on
        NaN or infinite weights.
        """
        vector = plain.column_moments(plain.Columns(tuple(as_rows(filters).T)))
        check_finite(vector)
        return cls.from_vector(vector)

    @classmethod
    def from_mean_cov(cls, n: float, mean: np.ndarray, cov: np.ndarray, ddof: int = 1) -> Moments:
        """The moments of `n` filters of known mean (9,) and covariance (9, 9), whose divisor is n − ddof."""
        mean = np.asarray(mean, dtype=np.float64)
        cov = np.asarray(cov, dtype=np.float64)
        return cls(n, n * mean, (n - ddof) * cov + n * np.outer(mean, mean))

    @classmethod
    def from_vector(cls, vector: np.ndarray) -> Moments:
        """The inverse of `to_vector`; `n` is an int where it is whole."""
        n, total, cross = unpack(vector)
        return cls(int(n) if n == np.floor(n) else float(n), total, cross)

    def to_vector(self) -> np.ndarray:
        """(55,): n, the nine sums, the upper triangle of `cross` row by row (c00, c01 … c08, c11 … c88)."""
        return np.concatenate([[self.n], self.sum, self.cross[_UPPER]])

    def merge(self, *others: Moments) -> Moments:
        """The moments of these filters and of those of `others` together."""
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
        return means(self.to_vector())

    def covariance(self, ddof: int = 1) -> np.ndarray:
        """(9, 9) with divisor n − ddof; NaN where n ≤ ddof."""
        return covariances(self.to_vector(), ddof)


def unpack(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count (…), sum (…, 9) and cross (…, 9, 9) of moment vectors (…, 55)."""
    vectors = np.asarray(vectors, dtype=np.float64)
    if vectors.shape[-1:] != (VECTOR_LENGTH,):
        raise UsageError(f"moments are vectors of {VECTOR_LENGTH} numbers; got shape {vectors.shape}")
    cross = np.empty((*vectors.shape[:-1], 9, 9))
    rows, columns = _UPPER
    cross[..., rows, columns] = cross[..., columns, rows] = vectors[..., 10:]
    return vectors[..., 0], vectors[..., 1:10], cross


def means(vectors: np.ndarray) -> np.ndarray:
    """Means (…, 9) of moment vectors (…, 55); NaN where n = 0."""
    n, total, _ = unpack(vectors)
    return total / np.where(n > 0, n, np.nan)[..., None]


def covariances(vectors: np.ndarray, ddof: int = 1) -> np.ndarray:
    """Covariances (…, 9, 9) of moment vectors (…, 55) with divisor n − ddof; NaN where n ≤ ddof."""
    n, total, cross = unpack(vectors)
    centred = cross - total[..., :, None] * means(vectors)[..., None, :]
    return centred / np.where(n > ddof, n - ddof, np.nan)[..., None, None]


def scale(filters: np.ndarray) -> np.ndarray:
    """F / max|F| (Eq. 3) in float64, of the shape of `filters`: (n, 9) or (…, 3, 3). Zero filters stay zero.

    Raises SourceError on NaN or infinite weights.
    """
    rows = as_rows(filters)
    maxima = _checked_maxima(rows).astype(np.float64)
    scaled = rows / np.where(maxima == 0, 1.0, maxima)[:, None]
    return scaled.reshape(np.shape(filters))


def sparse_mask(filters: np.ndarray, layer_maximum: float | None = None) -> np.ndarray:
    """(n,) bool: max|F| ≤ max|W|/100, for the filters (n, 9) or (…, 3, 3) of one layer.

    `layer_maximum` is max|W| where `filters` are only a part of the layer. An all-zero layer is all
    sparse. Raises SourceError on NaN or infinite weights.
    """
    maxima = _checked_maxima(as_rows(filters))
    return is_sparse(maxima, maxima.max(initial=0.0) if layer_maximum is None else layer_maximum)


def is_sparse(maxima: np.ndarray, layer_maximum: float) -> np.ndarray:
    """(n,) bool from the max|F| (n,) of filters and the max|W| of their layer.

    Judged as 100·max|F| ≤ max|W| in float64, which is exact for weights of float32 and below (a
    division by 100 would round).
    """
    return np.multiply(maxima, 100.0, dtype=np.float64) <= float(layer_maximum)


def as_rows(filters: np.ndarray) -> np.ndarray:
    """Filters (n, 9) or (…, 3, 3) as floating-point rows (n, 9), copied only where it must be."""
    filters = np.asarray(filters)
    is_rows = filters.ndim == 2 and filters.shape[1] == 9
    if not is_rows and filters.shape[-2:] != (3, 3):
        raise UsageError(f"filters have the shape (n, 9) or (…, 3, 3); got {filters.shape}")
    if filters.dtype.kind not in "fiub":
        raise UsageError(f"filters are real numbers; got {filters.dtype}")
    return filters.reshape(-1, 9).astype(np.result_type(filters, np.float16), copy=False)


def check_finite(values: np.ndarray) -> None:
    """Raises SourceError unless all that was computed from some filters is finite."""
    if not np.isfinite(values).all():
        raise SourceError(NOT_FINITE)


def _checked_maxima(rows: np.ndarray) -> np.ndarray:
    maxima = plain.row_maxima(rows)
    check_finite(maxima)
    return maxima

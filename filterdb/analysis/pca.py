"""Principal components of filters from their second moments (Eq. 4 to 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from filterdb.analysis.moments import Moments, covariances, unpack
from filterdb.errors import UsageError

# Below this share of the mean square a variance is rounding of the uncentred sums, not data.
_ZERO_VARIANCE = 1e-12
_SHAPES = {"components": (9, 9), "explained_variance": (9,), "explained_variance_ratio": (9,), "mean": (9,)}


@dataclass(frozen=True, eq=False)
class PCA:
    """Structure of a set of filters.

    `components` (9, 9): one unit eigenvector of the covariance (n − 1) per row, by descending
    `explained_variance` (9,); the entry of largest magnitude of each is positive.
    `explained_variance_ratio` (9,) sums to 1. `mean` (9,). `n`: filters they were computed from.

    Undefined values are NaN: the mean without filters; variances and components below two filters;
    ratios and components at zero variance.
    """

    components: np.ndarray
    explained_variance: np.ndarray
    explained_variance_ratio: np.ndarray
    mean: np.ndarray
    n: float

    @classmethod
    def from_moments(cls, moments: Moments) -> PCA:
        """The PCA of the filters that `moments` sums up (Eq. 4, 5): exact, no filter is looked at."""
        variances, components = decompose(moments.to_vector())
        return cls(components, variances, variance_ratio(variances), moments.mean, moments.n)

    def transform(self, filters: np.ndarray) -> np.ndarray:
        """Coefficients (n, 9) float64 of filters (n, 9) along the components: (F − mean) Vᵀ."""
        return (np.asarray(filters, dtype=np.float64) - self.mean) @ self.components.T

    def inverse_transform(self, coefficients: np.ndarray) -> np.ndarray:
        """Filters (n, 9) float64 from their coefficients (n, 9) (Eq. 6)."""
        return np.asarray(coefficients, dtype=np.float64) @ self.components + self.mean

    def coefficient_range(self) -> tuple[float, float]:
        """The least and greatest coefficient that any filter in [−1, 1]⁹ can have on any axis.

        (min, max) over the axes of ∓‖v‖₁ − v·mean: attained at the corners of the cube, so no pass
        over the filters is needed to bin their coefficients.
        """
        reach = np.abs(self.components).sum(axis=1)
        offset = self.components @ self.mean
        return float((-reach - offset).min()), float((reach - offset).max())

    def to_dict(self) -> dict:
        """Lists and numbers that JSON can hold; NaN becomes None."""
        return {
            "n": self.n,
            "explained_variance": _to_list(self.explained_variance),
            "explained_variance_ratio": _to_list(self.explained_variance_ratio),
            "mean": _to_list(self.mean),
            "components": [_to_list(row) for row in self.components],
        }

    @classmethod
    def from_dict(cls, values: dict) -> PCA:
        """The inverse of `to_dict`, for which other keys do not matter. Raises UsageError on anything else."""
        try:
            arrays = {name: np.array(values[name], dtype=np.float64).reshape(_SHAPES[name]) for name in _SHAPES}
            return cls(**arrays, n=values["n"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"not a saved PCA: it needs n and {_SHAPES} ({error!r})") from error


def decompose(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Explained variances (…, 9) and components (…, 9, 9) of moment vectors (…, 55).

    NaN below two filters; at zero variance the variances are 0 and the components NaN.
    """
    values, columns = np.linalg.eigh(_finite_covariance(vectors))
    variances = _descending_variances(values, vectors)
    has_variance = variances.sum(axis=-1) > 0
    components = _with_fixed_signs(np.swapaxes(columns, -1, -2)[..., ::-1, :])
    return variances, np.where(has_variance[..., None, None], components, np.nan)


def explained_variance(vectors: np.ndarray) -> np.ndarray:
    """The variances (…, 9) of `decompose` alone, at half its cost (about 5 µs a group)."""
    return _descending_variances(np.linalg.eigvalsh(_finite_covariance(vectors)), vectors)


def variance_ratio(variances: np.ndarray) -> np.ndarray:
    """Shares (…, 9) of the total of `variances` (…, 9); NaN where the total is zero or undefined."""
    total = variances.sum(axis=-1, keepdims=True)
    return variances / np.where(total > 0, total, np.nan)


def _finite_covariance(vectors: np.ndarray) -> np.ndarray:
    """Covariances with zeros where undefined: LAPACK refuses NaN."""
    matrices = covariances(vectors)
    return np.where(np.isnan(matrices), 0.0, matrices)


def _descending_variances(values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    n, _, cross = unpack(vectors)
    variances = np.maximum(values[..., ::-1], 0.0)
    mean_square = np.trace(cross, axis1=-2, axis2=-1) / np.maximum(n, 1)
    is_noise = variances.sum(axis=-1) <= _ZERO_VARIANCE * mean_square
    variances = np.where(is_noise[..., None], 0.0, variances)
    return np.where(n[..., None] >= 2, variances, np.nan)


def _with_fixed_signs(components: np.ndarray) -> np.ndarray:
    """Each row (…, 9) turned so that its (first) entry of largest magnitude is positive."""
    largest = np.abs(components).argmax(axis=-1, keepdims=True)
    return components * np.where(np.take_along_axis(components, largest, axis=-1) < 0, -1.0, 1.0)


def _to_list(array: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in array]

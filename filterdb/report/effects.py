"""Statistics of a collection of networks, for many weightings of its networks at once, and their intervals.

Everywhere `weights` (b, n) says how often each of n networks counts in each of b weightings, and the result
has one value for each weighting; NaN where it is not defined.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from filterdb.analysis import PCA, symmetric_kl_by_axis
from filterdb.analysis.pca import decompose, explained_variance, variance_ratio
from filterdb.report.collection import FEWEST, Collection

LEVEL = 0.95
REPLICATES = 1000
EXCHANGES = 200
CHUNK = 50
FEWEST_PLACES = 3
"""Of which one can say that something grows along them."""


@dataclass(frozen=True)
class Interval:
    """Where the value lies if networks like these were drawn anew, with probability `LEVEL`."""

    low: float
    high: float

    @classmethod
    def of(cls, replicates: np.ndarray) -> "Interval":
        """From the values of resampled collections, those that are defined."""
        known = replicates[np.isfinite(replicates)]
        if not known.size:
            return cls(np.nan, np.nan)
        return cls(*np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist())

    @classmethod
    def of_divergence(cls, estimate: float, replicates: np.ndarray) -> "Interval":
        """The same for a value above 0 that resampling inflates, as it does every divergence.

        A resampled collection is less varied than the collection itself. On the scale of logarithms the
        interval keeps its width and is moved so that the median of the replicates falls on the estimate.
        """
        known = replicates[np.isfinite(replicates) & (replicates > 0)]
        if not known.size or not estimate > 0:
            return cls(np.nan, np.nan)
        raw = cls.of(np.log(known))
        shift = np.log(estimate) - np.median(np.log(known))
        return cls(float(np.exp(raw.low + shift)), float(np.exp(raw.high + shift)))


@dataclass(frozen=True, eq=False)
class Spread:
    """Divergences (d,), those of resampled collections (b, d), and those of exchanged labels (e, d).

    b and e are 0 where there are too few independent units.
    """

    values: np.ndarray
    resampled: np.ndarray
    exchanged: np.ndarray

    @property
    def intervals(self) -> list[Interval]:
        """One for each divergence; see `Interval.of_divergence`."""
        return [Interval.of_divergence(*of_one) for of_one in zip(self.values, self.resampled.T, strict=True)]

    @property
    def by_chance(self) -> np.ndarray:
        """(d,) the medians that labels dealt out by chance give; NaN where that is not known."""
        if not len(self.exchanged):
            return np.full(len(self.values), np.nan)
        return np.median(self.exchanged, axis=0)


def spread(counts: np.ndarray, collection: Collection, basis: PCA, generator: np.random.Generator) -> Spread:
    """The divergences of robust from normal in counts (n, d, 9, bins) of a collection's n networks."""
    once = collection.times[None]
    values = divergences(counts, once, collection.robust, basis)[0]
    if collection.n_units < FEWEST:
        return Spread(values, np.empty((0, len(values))), np.empty((0, len(values))))
    resampled = divergences(counts, collection.resampled(REPLICATES, generator), collection.robust, basis)
    exchanged = collection.exchanged(EXCHANGES, generator)
    return Spread(values, resampled, divergences(counts, np.repeat(once, EXCHANGES, axis=0), exchanged, basis))


def divergences(counts: np.ndarray, weights: np.ndarray, robust: np.ndarray, basis: PCA) -> np.ndarray:
    """(b, d) symmetric KL divergence of robust from normal at each depth, from counts (n, d, 9, bins).

    robust: (n,) or (b, n) bool. Memory does not grow with b beyond the result.
    """
    flat = counts.reshape(len(counts), -1)
    parts = []
    for weight, is_robust in _chunks(weights, np.broadcast_to(robust, weights.shape)):
        p, q = ((weight * side) @ flat for side in (is_robust, ~is_robust))
        shape = (len(weight), *counts.shape[1:])
        by_axis = symmetric_kl_by_axis(p.reshape(shape), q.reshape(shape), basis.coefficient_range())
        parts.append(by_axis @ basis.explained_variance_ratio)
    return np.concatenate(parts)


def mean_difference(values: np.ndarray, weights: np.ndarray, robust: np.ndarray) -> np.ndarray:
    """(b,) robust minus normal mean of values (n, d), NaN where unknown: averaged over those d that both have."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    robust_mean, normal_mean = (
        _ratio((weights * side) @ filled, (weights * side) @ known) for side in (robust, ~robust)
    )
    difference = robust_mean - normal_mean
    defined = np.isfinite(difference)
    return _ratio(np.where(defined, difference, 0.0).sum(axis=1), defined.sum(axis=1))


def first_component(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(b,) share of the variance on the first principal component, from moment vectors (n, 55)."""
    return variance_ratio(explained_variance(weights @ vectors))[:, 0]


def similarity_of_bases(vectors: np.ndarray, weights: np.ndarray, robust: np.ndarray) -> np.ndarray:
    """(b,) |cosine| of each robust basis vector with the nearest normal one, from moment vectors (n, 55).

    Mean over the nine robust vectors, weighted by the variance that each explains: vectors that explain
    little are hardly told apart from their neighbours, and turn within their common plane.
    """
    (variances, robust_basis), (_, normal_basis) = (decompose((weights * side) @ vectors) for side in (robust, ~robust))
    cosines = np.abs(robust_basis @ np.swapaxes(normal_basis, -1, -2))
    return (cosines.max(axis=-1) * variance_ratio(variances)).sum(axis=-1)


def rank_correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(b,) Spearman's correlation of x (n,) with y (n,), each network as often as it counts; ties share ranks."""
    known = np.isfinite(x) & np.isfinite(y)
    weights = weights[:, known]
    total = weights.sum(axis=1, keepdims=True)
    first, second = (_ranks(values[known], weights) for values in (x, y))
    first, second = (ranks - _ratio((weights * ranks).sum(axis=1, keepdims=True), total) for ranks in (first, second))
    product, *squares = ((weights * a * b).sum(axis=1) for a, b in ((first, second), (first, first), (second, second)))
    return _ratio(product, np.sqrt(squares[0] * squares[1]))


def trend(rows: np.ndarray) -> np.ndarray:
    """(b,) Spearman's correlation of values (b, d) with their position, without the d that any row lacks.

    NaN below three of them.
    """
    rows = rows[:, np.isfinite(rows).all(axis=0)]
    if rows.shape[1] < FEWEST_PLACES:
        return np.full(len(rows), np.nan)
    positions = np.arange(rows.shape[1], dtype=float)
    ones = np.ones((1, rows.shape[1]))
    return np.array([rank_correlation(positions, row, ones)[0] for row in rows])


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(b, n) the rank of each of n values when each occurs `weights` (b, n) times; equal ones share the mean."""
    below = (values[:, None] < values[None, :]).astype(float)
    equal = (values[:, None] == values[None, :]).astype(float)
    return weights @ below + (weights @ equal + 1) / 2


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return above / np.where(below > 0, below, np.nan)


def _chunks(*arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    for start in range(0, len(arrays[0]), CHUNK):
        yield tuple(array[start : start + CHUNK] for array in arrays)

"""The paper's table and figures from a lake's raw rows, with numpy and scipy alone: what the queries must equal.

Nothing of filterdb computes here; it only hands over the rows of models, pairs, filters, and where layers lie.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import entropy

EPS = float(np.finfo(np.float32).eps)
BINS = 70
WEIGHTS = ", ".join(f"w{i}" for i in range(9))
LAYERS = "SELECT model, layer, depth_decile, conv_depth, out_channels FROM layers"


@dataclass
class Layer:
    """One layer: raw filters (n, 9) in order of channels, and what is known of it."""

    model: str
    layer: int
    decile: int | None
    conv_depth: int | None
    out_channels: int | None
    filters: np.ndarray

    @property
    def largest(self):
        return np.abs(self.filters).max(axis=1)

    @property
    def dense(self):
        return 100 * self.largest > self.largest.max()

    @property
    def scaled(self):
        return (self.filters / np.where(self.largest > 0, self.largest, 1)[:, None])[self.dense]

    def entropy(self, *, published):
        filters = self.scaled if published else self.filters[self.dense]
        if len(filters) < 2:
            return np.nan
        singular = np.linalg.svd(filters - filters.mean(axis=0), compute_uv=False)
        return entropy(singular**2) / np.log(10)

    @property
    def orthogonality(self):
        if not self.out_channels or self.out_channels < 2:
            return np.nan
        banks = self.filters.reshape(self.out_channels, -1)
        lengths = np.linalg.norm(banks, axis=1, keepdims=True)
        banks = banks / np.where(lengths > 0, lengths, 1)
        c = self.out_channels
        return 1 - np.abs(banks @ banks.T - np.eye(c)).sum() / (c * (c - 1))


class Oracle:
    """Everything that the queries say of one lake whose networks are all in one form."""

    def __init__(self, db):
        columns = "model, dataset, robust, n_filters, clean_accuracy, robust_accuracy"
        self.models = {
            row[0]: dict(zip(columns.split(", "), row, strict=True)) for row in self.rows(db, columns, "models")
        }
        self.pairs = self.rows(db, "robust_model, normal_model", "pairs")
        places = {row[:2]: row[2:] for row in db.sql(LAYERS).fetchall()}
        raw = db.sql(f"SELECT model, layer, {WEIGHTS} FROM filters ORDER BY model, layer, out_channel, in_channel").pl()
        self.layers = [
            Layer(*key, *places[key], rows.drop("model", "layer").to_numpy().astype(np.float64))
            for key, rows in raw.group_by("model", "layer", maintain_order=True)
        ]

    @staticmethod
    def rows(db, columns, view):
        return db.sql(f"SELECT {columns} FROM {view} ORDER BY ALL").fetchall()

    def kind(self, model):
        robust = self.models[model]["robust"]
        if robust is None:
            return "untrained" if "@random" in model else None
        return "robust" if robust else "normal"

    def dataset(self, model):
        return self.models[model]["dataset"]

    @property
    def datasets(self):
        return sorted({self.dataset(model) for model in self.models if self.kind(model)})

    def has_pairs(self, dataset):
        return any(self.dataset(model) == dataset for pair in self.pairs for model in pair)

    def times(self, model, *, pairs):
        if not pairs or self.kind(model) == "untrained" or not self.has_pairs(self.dataset(model)):
            return 1
        return sum(pair.count(model) for pair in self.pairs)

    def members(self, dataset, kind):
        return [model for model in self.models if self.dataset(model) == dataset and self.kind(model) == kind]

    def scaled(self, models, decile=None, *, pairs=False):
        """Scaled, non-sparse filters (n, 9) of these networks, each as often as it counts."""
        parts = [
            np.tile(layer.scaled, (self.times(layer.model, pairs=pairs), 1))
            for layer in self.layers
            if layer.model in models and (decile is None or layer.decile == decile)
        ]
        return np.concatenate([np.empty((0, 9)), *parts])

    @cached_property
    def basis(self):
        """(components, ratios, mean, low, high) of all trained networks."""
        filters = self.scaled([model for model in self.models if self.kind(model) in ("robust", "normal")])
        return (*spectrum(filters), *bounds(*spectrum(filters)[::2]))

    def histograms(self, filters):
        """(9, 70) counts, by numpy's own histogram."""
        components, _, mean, low, high = self.basis
        coefficients = (filters - mean) @ components.T
        return np.array([np.histogram(column, BINS, (low, high))[0] for column in coefficients.T])

    def axis_kl(self, robust, normal):
        """(9,) symmetric KL along each axis; NaN if a side is empty."""
        if not len(robust) or not len(normal):
            return np.full(9, np.nan)
        _, _, _, low, high = self.basis
        p, q = (densities(self.histograms(side), low, high) for side in (robust, normal))
        return np.array([entropy(*both) + entropy(*both[::-1]) for both in zip(p, q, strict=True)])

    def kl(self, dataset, decile=None, *, pairs):
        sides = (self.scaled(self.members(dataset, kind), decile, pairs=pairs) for kind in ("robust", "normal"))
        return float(self.axis_kl(*sides) @ self.basis[1])

    def quality(self, model, decile, *, published, everything=False):
        """sparsity, entropy, orthogonality of a network's layers in a decile, or of all its layers."""
        layers = [one for one in self.layers if one.model == model and (everything or one.decile == decile)]
        n, dense = (
            sum(counts) for counts in zip(*((len(one.filters), one.dense.sum()) for one in layers), strict=True)
        )
        entropies = weighted([(one.entropy(published=published), one.dense.sum()) for one in layers])
        orthogonalities = weighted([(one.orthogonality, one.out_channels) for one in layers])
        return (n - dense) / n, entropies, orthogonalities


def spectrum(filters):
    """Components with their largest entry positive, ratios of variance, mean."""
    mean = filters.mean(axis=0)
    _, singular, components = np.linalg.svd(filters - mean, full_matrices=False)
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(9), largest])[:, None]
    return components, singular**2 / (singular**2).sum(), mean


def bounds(components, mean):
    reach, offset = np.abs(components).sum(axis=1), components @ mean
    return (-reach - offset).min(), (reach - offset).max()


def densities(counts, low, high):
    """Densities as numpy normalises them, empty bins at float32 eps."""
    width = (high - low) / counts.shape[1]
    found = counts / (counts.sum(axis=1, keepdims=True) * width)
    return np.where(found == 0, EPS, found)


def weighted(pairs):
    known = [(value, weight) for value, weight in pairs if np.isfinite(value)]
    return np.average([value for value, _ in known], weights=[weight for _, weight in known]) if known else None

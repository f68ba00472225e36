"""One network against a split of a lake, without ingesting it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from filterdb.analysis import (
    PCA,
    LayerSummary,
    Moments,
    coefficient_histogram,
    scale,
    summarize_layer,
    symmetric_kl,
)
from filterdb.errors import SourceError, UsageError
from filterdb.network import Layer, Network
from filterdb.query.names import Definition

if TYPE_CHECKING:
    from filterdb.query.database import Split

METRICS = ("sparsity", "variance_entropy", "orthogonality")
BY = ("model", "depth_decile")


@dataclass(frozen=True)
class Depth:
    """The network at one depth decile (None: all depths, or unknown) beside the split.

    `kl` in nats on the split's basis, None where either has no filters; each metric with the
    percentage of the split's networks whose value is at most as large.
    """

    depth_decile: int | None
    n_filters: int
    kl: float | None
    sparsity: float | None
    sparsity_percentile: float | None
    variance_entropy: float | None
    variance_entropy_percentile: float | None
    orthogonality: float | None
    orthogonality_percentile: float | None


@dataclass(frozen=True)
class Comparison:
    """Where one network stands; `overall` takes all its layers together."""

    model: str
    against: str
    n_networks: int
    overall: Depth
    by_depth: tuple[Depth, ...]
    explained_variance_ratio: dict[str, list[float]]
    definition: str
    lake_version: int

    def to_dict(self) -> dict[str, object]:
        """Plain values that JSON can hold."""
        return asdict(self)


def compare(network: Network, split: "Split", definition: str = Definition.PAPER) -> Comparison:
    """Compare `network` with the filters and the networks of `split`.

    Cost: one pass over the split's filters (their histograms on its own basis) and the network's
    summaries. Raises UsageError for a split without structure, SourceError for a network without layers.
    """
    if not network.layers:
        raise SourceError(f"{network.facts.model}: nothing to compare, the network has no 3×3 convolution")
    basis = split.pca()
    if not np.isfinite(basis.components).all():
        raise UsageError(f"split {split.text!r} has fewer than two non-sparse filters; choose another --against")
    parts = [_Part.of(layer, basis) for layer in network.layers]
    deciles = sorted({part.decile for part in parts if part.decile is not None})
    whole = _Reference(split, "model", definition)
    by_depth = _Reference(split, BY, definition)
    return Comparison(
        model=network.facts.model,
        against=split.text,
        n_networks=len(whole.rows),
        overall=whole.depth(None, parts, basis),
        by_depth=tuple(by_depth.depth(d, [p for p in parts if p.decile == d], basis) for d in deciles),
        explained_variance_ratio={
            "network": _spectrum([part.summary.scaled_moments for part in parts]),
            "split": basis.explained_variance_ratio.tolist(),
        },
        definition=Definition(definition).value,
        lake_version=split.database.version,
    )


@dataclass(frozen=True)
class _Part:
    """One layer of the network: its summary and its histogram on the split's basis."""

    decile: int | None
    out_channels: int
    summary: LayerSummary
    counts: np.ndarray

    @classmethod
    def of(cls, layer: Layer, basis: PCA) -> "_Part":
        filters = layer.read()
        summary = summarize_layer(filters, layer.out_channels, layer.groups or 1)
        counts = coefficient_histogram(scale(filters[~summary.sparse]), basis)
        return cls(layer.depth_decile, layer.out_channels or 0, summary, counts)


class _Reference:
    """The split's networks: their metrics and the histograms of their filters, at each depth or at all."""

    def __init__(self, split: "Split", by: str | Sequence[str], definition: str) -> None:
        self.definition = Definition(definition)
        self.rows = split.metrics(by, definition=definition).to_dicts()
        self.counts = split.histograms(split.pca(), "depth_decile" if by == BY else ())

    def depth(self, decile: int | None, parts: Sequence[_Part], basis: PCA) -> Depth:
        counts = self.counts.get(() if decile is None else (decile,), np.zeros_like(parts[0].counts))
        kl = symmetric_kl(
            sum(part.counts for part in parts), counts, basis.coefficient_range(), basis.explained_variance_ratio
        )
        values = dict(zip(METRICS, _metrics(parts, self.definition), strict=True))
        ranks = {f"{name}_percentile": self._percentile(name, decile, value) for name, value in values.items()}
        n_filters = sum(part.summary.n_filters for part in parts)
        return Depth(decile, n_filters, _defined(kl), **{n: _defined(v) for n, v in values.items()}, **ranks)

    def _percentile(self, metric: str, decile: int | None, value: float) -> float | None:
        rows = (row for row in self.rows if decile is None or row["depth_decile"] == decile)
        others = [row[metric] for row in rows if row[metric] is not None]
        return 100 * float(np.mean(np.array(others) <= value)) if others and np.isfinite(value) else None


def _metrics(parts: Sequence[_Part], definition: Definition) -> Iterator[float]:
    """Sparsity over all filters, entropy weighted by non-sparse filters, orthogonality by output channels."""
    summaries = [part.summary for part in parts]
    dense = [s.n_filters - s.n_sparse for s in summaries]
    paper = definition is Definition.PAPER
    yield sum(s.n_sparse for s in summaries) / sum(s.n_filters for s in summaries)
    yield _mean([s.variance_entropy if paper else s.variance_entropy_scaled for s in summaries], dense)
    yield _mean([s.orthogonality for s in summaries], [part.out_channels for part in parts])


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    known = [(value, weight) for value, weight in zip(values, weights, strict=True) if not np.isnan(value)]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else np.nan


def _spectrum(moments: Sequence[Moments]) -> list[float]:
    return PCA.from_moments(Moments.empty().merge(*moments)).explained_variance_ratio.tolist()


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

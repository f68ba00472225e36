"""Figure 3: how the coefficients of filters are distributed along each axis, and the divergence of a data set."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, nan

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from filterdb.analysis import PCA, symmetric_kl_by_axis
from filterdb.report import published
from filterdb.report.charts import SMALL, kind_handles, stamped
from filterdb.report.collection import Collection
from filterdb.report.effects import Interval, divergences
from filterdb.report.part import Part, Table
from filterdb.report.study import KINDS, Study
from filterdb.report.style import COLUMN, colour, new_figure, plain, styled
from filterdb.report.words import MISSING, counted, dataset_name, file_name, listed, number, percent

TITLE = "Figure 3: distribution of coefficients, and divergence by data set"


@dataclass(frozen=True, eq=False)
class Distribution:
    """One data set: counts (9, bins) of coefficients by kind of network, the divergence of robust from normal with
    its interval and what chance gives, with every network once; and the divergence by pairs, if it has pairs."""

    counts: Mapping[str, np.ndarray]
    kl: float
    interval: Interval
    by_chance: float
    kl_by_pair: float


def part(study: Study) -> Part:
    """A figure for each data set, and a table of their divergences beside the paper's."""
    basis = study.basis
    found = {name: distribution(study, name) for name in study.datasets} if basis else {}
    found = {name: one for name, one in found.items() if one.counts}
    stamp = study.stamp(counting="every network once")
    return Part(
        name="fig3",
        title=TITLE,
        caption=_caption(found),
        figures={
            f"fig3-{file_name(name)}": stamped(draw(dataset_name(name), one.counts, basis), stamp)
            for name, one in found.items()
        },
        numbers={"fig3": _numbers(found, basis), "fig3-divergence": _divergences(found)} if found else {},
        tables=(_table(found),) if found else (),
        notes=tuple(_notes(study, found)),
    )


def distribution(study: Study, dataset: str | None) -> Distribution:
    """The numbers of one data set."""
    collection = study.collection(dataset, pairs=False)
    counts = study.histograms(collection.models).sum(axis=1)
    sides = {
        "normal": counts[~collection.robust].sum(axis=0),
        "robust": counts[collection.robust].sum(axis=0),
        "untrained": study.histograms(tuple(study.untrained(dataset))).sum(axis=(0, 1)),
    }
    spread = study.overall.get(dataset)
    return Distribution(
        {kind: side for kind, side in sides.items() if side.any()},
        float(spread.values[0]) if spread else nan,
        spread.intervals[0] if spread else Interval(nan, nan),
        float(spread.by_chance[0]) if spread else nan,
        _by_pair(study, study.collection(dataset, pairs=True)),
    )


@styled
def draw(dataset: str, counts: Mapping[str, np.ndarray], basis: PCA) -> Figure:
    """Shares of filters by coefficient, one small panel for each axis with the divergence along it."""
    edges = np.linspace(*basis.coefficient_range(), next(iter(counts.values())).shape[1] + 1)
    by_axis = _by_axis(counts, basis)
    figure = new_figure(COLUMN, 3.3)
    panels = figure.subplots(3, 3, sharex=True)
    for axis, axes in enumerate(panels.flat):
        for kind, side in reversed(counts.items()):  # untrained ones behind
            share = 100 * side[axis] / side[axis].sum()
            axes.stairs(share, edges, color=colour(kind, list(counts)), linewidth=0.9)
        axes.set_title(f"$v_{axis + 1}$  {percent(basis.explained_variance_ratio[axis])}", pad=2, fontsize=6.5)
        if isfinite(by_axis[axis]):
            text = f"KL {by_axis[axis]:.2f}"
            axes.text(0.99, 0.97, text, transform=axes.transAxes, ha="right", va="top", fontsize=SMALL)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    used = np.flatnonzero(sum(side.sum(axis=0) for side in counts.values()))
    panels[0, 0].set_xlim(edges[used[0]], edges[used[-1] + 1])
    panels[-1, 1].set_xlabel("coefficient of the scaled filter along the axis")
    panels[1, 0].set_ylabel("share of filters")
    figure.legend(handles=kind_handles(counts), loc="outside upper center", ncols=len(counts), title=plain(dataset))
    return figure


def _by_axis(counts: Mapping[str, np.ndarray], basis: PCA) -> np.ndarray:
    """(9,) divergence of robust from normal along each axis; NaN where a side is missing."""
    if not {"robust", "normal"} <= counts.keys():
        return np.full(9, nan)
    return symmetric_kl_by_axis(counts["robust"], counts["normal"], basis.coefficient_range())


def _by_pair(study: Study, collection: Collection) -> float:
    if not collection.by_pair:
        return nan
    counts = study.histograms(collection.models).sum(axis=1, keepdims=True)
    return float(divergences(counts, collection.times[None], collection.robust, study.basis)[0, 0])


def _numbers(found: Mapping[str | None, Distribution], basis: PCA) -> pl.DataFrame:
    return pl.concat(
        [
            _long(name, kind, side, by_axis, basis)
            for name, one in found.items()
            for by_axis in [_by_axis(one.counts, basis)]
            for kind, side in one.counts.items()
        ]
    )


def _long(dataset: str | None, kind: str, counts: np.ndarray, by_axis: np.ndarray, basis: PCA) -> pl.DataFrame:
    """One row for each axis and bin."""
    bins = counts.shape[1]
    edges = np.linspace(*basis.coefficient_range(), bins + 1)
    return pl.DataFrame(
        {
            "dataset": pl.Series([dataset] * counts.size, dtype=pl.String),
            "kind": kind,
            "axis": np.repeat(np.arange(1, 10), bins),
            "ratio": np.repeat(basis.explained_variance_ratio, bins),
            "bin": np.tile(np.arange(bins), 9),
            "coefficient_from": np.tile(edges[:-1], 9),
            "coefficient_to": np.tile(edges[1:], 9),
            "n": counts.astype(np.int64).ravel(),
            "share": (counts / counts.sum(axis=1, keepdims=True)).ravel(),
            "axis_kl": np.repeat(by_axis, bins),
        }
    ).fill_nan(None)


def _divergences(found: Mapping[str | None, Distribution]) -> pl.DataFrame:
    rows = [
        {
            "dataset": name,
            "kl": one.kl,
            "low": one.interval.low,
            "high": one.interval.high,
            "by_chance": one.by_chance,
            "paper": published.divergence(pairs=False).get(name),
            "kl_by_pair": one.kl_by_pair,
            "paper_by_pair": published.divergence(pairs=True).get(name),
        }
        for name, one in found.items()
    ]
    return pl.DataFrame(rows, infer_schema_length=None).fill_nan(None)


def _table(found: Mapping[str | None, Distribution]) -> Table:
    head = ("data set", "KL (nats)", "95 % interval", "by chance", "paper", "KL by pairs", "paper by pairs")
    rows = tuple(
        (
            dataset_name(row["dataset"]),
            number(row["kl"]),
            _interval(row["low"], row["high"]),
            *(number(row[name]) for name in ("by_chance", "paper", "kl_by_pair", "paper_by_pair")),
        )
        for row in _divergences(found).to_dicts()
    )
    return Table(head=head, rows=rows)


def _interval(low: float | None, high: float | None) -> str:
    return MISSING if low is None else f"{number(low)} to {number(high)}"


def _caption(found: Mapping[str | None, Distribution]) -> str:
    apart = {dataset_name(name): one for name, one in found.items() if isfinite(one.kl)}
    if not found:
        return "There are no filters to show. See the notes."
    if not apart:
        return "No data set has both robust and normal networks. Distributions stand by themselves; see the notes."
    values = listed(f"{number(one.kl)} on {name}" for name, one in apart.items())
    chances = [f"{number(one.by_chance)} on {name}" for name, one in apart.items() if isfinite(one.by_chance)]
    chance = (
        f"Labels dealt out by chance would give {listed(chances)}."
        if chances
        else "There are too few networks to say what chance would give."
    )
    return f"Over all nine axes, weighted by variance, robust filters diverge from normal ones by KL {values}. {chance}"


def _notes(study: Study, found: Mapping[str | None, Distribution]) -> Iterator[str]:
    if study.basis is None:
        yield "no common basis: fewer than two filters that differ in robust and normal networks"
    for name, one in found.items():
        missing = [kind for kind in KINDS if kind not in one.counts]
        if missing:
            yield f"{dataset_name(name)}: {counted(0, listed(missing, 'and no') + ' network')}"
        if isfinite(one.kl) and (too_few := study.collection(name, pairs=False).too_few):
            yield f"{dataset_name(name)}: {too_few}"

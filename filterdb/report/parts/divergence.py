"""Figure 1: how far robust filters are from normal ones, by depth."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, nan

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from filterdb.report import effects, published
from filterdb.report.charts import FAINT, PAPER, depth_axis, stamped
from filterdb.report.collection import Collection
from filterdb.report.part import Part
from filterdb.report.pictures import POSITIONS
from filterdb.report.study import DEPTHS, FIRST_LAYER, Study
from filterdb.report.style import COLOURS, COLUMN, new_figure, plain, styled
from filterdb.report.words import counted, dataset_name, depth_name, listed, number

TITLE = "Figure 1: divergence of robust from normal filters by depth"


@dataclass(frozen=True)
class Point:
    """The divergence at one depth: its value, its interval, the median when labels are dealt out by chance, and
    the paper's; NaN for none."""

    kl: float
    low: float = nan
    high: float = nan
    by_chance: float = nan
    paper: float = nan
    n_robust: int = 0
    n_normal: int = 0


def part(study: Study) -> Part:
    """The figure by data set, with intervals over networks and what chance would give."""
    found = {collection.dataset: points(study, collection) for collection in study.collections()}
    shown = {dataset_name(name): at for name, at in found.items() if any(isfinite(point.kl) for point in at)}
    return Part(
        name="fig1",
        title=TITLE,
        caption=_caption(shown),
        figures={"fig1": stamped(draw(shown), study.stamp())} if shown else {},
        numbers={"fig1": _numbers(study, found)},
        notes=tuple(_notes(study, found)),
    )


def points(study: Study, collection: Collection) -> list[Point]:
    """The eleven points of one data set."""
    filters = study.histograms(collection.models)[:, :, 0].sum(axis=2) * collection.times[:, None]
    robust, normal = (
        filters[side].sum(axis=0).astype(int).tolist() for side in (collection.robust, ~collection.robust)
    )
    spread = study.by_depth.get(collection.dataset)
    if spread is None:
        return [Point(nan, n_robust=robust[depth], n_normal=normal[depth]) for depth in DEPTHS]
    paper = published.divergence_by_depth()
    return [
        Point(value, interval.low, interval.high, chance, paper.get((collection.dataset, depth), nan), *counts)
        for depth, value, interval, chance, *counts in zip(
            DEPTHS, spread.values.tolist(), spread.intervals, spread.by_chance.tolist(), robust, normal, strict=False
        )
    ]


@styled
def draw(by_dataset: Mapping[str, Sequence[Point]]) -> Figure:
    """One panel for each data set, on one logarithmic scale; × where either side has no filters."""
    figure = new_figure(COLUMN, 0.7 + 1.15 * len(by_dataset))
    panels = figure.subplots(len(by_dataset), sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (dataset, found) in zip(panels, by_dataset.items(), strict=True):
        _draw_points(axes, found)
        axes.set_title(plain(dataset), loc="left", pad=2)
        axes.set_ylabel("KL (nats)")
    depth_axis(panels[-1])
    handles = _legend([point for found in by_dataset.values() for point in found])
    figure.legend(handles=handles, loc="outside upper center", ncols=min(3, len(handles)), columnspacing=1.2)
    return figure


def _draw_points(axes: Axes, found: Sequence[Point]) -> None:
    places, values = np.array(POSITIONS), np.array([point.kl for point in found])
    axes.vlines(places, *np.array([(point.low, point.high) for point in found]).T, color=COLOURS["all"], linewidth=1)
    for piece in (slice(0, 1), slice(1, None)):
        axes.plot(places[piece], values[piece], marker="o", color=COLOURS["all"], linewidth=0.8)
    axes.hlines([point.by_chance for point in found], places - 0.3, places + 0.3, color=FAINT, linewidth=1.4)
    axes.plot(places, [point.paper for point in found], **PAPER)
    if (values > 0).any():
        axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y")
    for place in places[~np.isfinite(values)]:
        axes.plot(place, 0.05, "x", color=FAINT, transform=axes.get_xaxis_transform())


def _legend(found: Sequence[Point]) -> list[Line2D]:
    signs = [
        (True, Line2D([], [], marker="o", color=COLOURS["all"], linewidth=0.8, label="robust vs normal")),
        (
            _any(found, "low"),
            Line2D([], [], marker="|", markersize=8, color=COLOURS["all"], linestyle="none", label="95 % interval"),
        ),
        (_any(found, "by_chance"), Line2D([], [], color=FAINT, linewidth=1.4, label="by chance")),
        (_any(found, "paper"), Line2D([], [], **PAPER, label="paper")),
        (
            not all(isfinite(point.kl) for point in found),
            Line2D([], [], marker="x", color=FAINT, linestyle="none", label="no filters"),
        ),
    ]
    return [handle for is_used, handle in signs if is_used]


def _any(found: Sequence[Point], name: str) -> bool:
    return any(isfinite(getattr(point, name)) for point in found)


def _numbers(study: Study, found: Mapping[str | None, Sequence[Point]]) -> pl.DataFrame:
    rows = [
        {"dataset": dataset, "depth_decile": depth, **asdict(point), "by_pair": study.collection(dataset).by_pair}
        for dataset, at in found.items()
        for depth, point in zip(DEPTHS, at, strict=True)
    ]
    return pl.DataFrame(rows, infer_schema_length=None).fill_nan(None)


def _caption(shown: Mapping[str, Sequence[Point]]) -> str:
    if not shown:
        return "Nothing to compare: no data set has both robust and normal networks of known depths. See the notes."
    largest = "; ".join(f"on {dataset} in {_largest(found)}" for dataset, found in shown.items())
    return f"Robust filters differ most from normal ones {largest}. {_course(shown)}"


def _largest(found: Sequence[Point]) -> str:
    depth = max((d for d in DEPTHS if isfinite(found[d].kl)), key=lambda d: found[d].kl)
    by_chance = found[depth].by_chance
    chance = f", where chance gives {number(by_chance)}" if isfinite(by_chance) else ""
    return f"{depth_name(depth)} (KL {number(found[depth].kl)}{chance})"


def _course(shown: Mapping[str, Sequence[Point]]) -> str:
    trends = []
    for dataset, found in shown.items():
        row = np.array([[point.kl for point in found[FIRST_LAYER + 1 :]]])
        correlation = effects.trend(row)[0]
        if isfinite(correlation):
            trends.append(f"{correlation:+.2f} on {dataset}".replace("-", "−"))
    if not trends:
        return "Too few deciles hold filters of both to speak of a trend with depth."
    return f"The rank correlation of the divergence with depth, over the deciles, is {listed(trends)}."


def _notes(study: Study, found: Mapping[str | None, Sequence[Point]]) -> Iterator[str]:
    for dataset, at in found.items():
        collection, name = study.collection(dataset), dataset_name(dataset)
        if not collection.n_robust or not collection.n_normal:
            robust, normal = (counted(n, "network") for n in (collection.n_robust, collection.n_normal))
            yield f"{name}: {robust} trained to be robust and {normal} trained normally, so nothing to compare"
            continue
        yield from _notes_of(study, collection, at)


def _notes_of(study: Study, collection: Collection, at: Sequence[Point]) -> Iterator[str]:
    name = dataset_name(collection.dataset)
    if study.choice.pairs and not collection.by_pair:
        yield f"{name}: the lake has no pairs of it, so every network counts once"
    if collection.too_few:
        yield f"{name}: {collection.too_few}"
    empty = [depth for depth in DEPTHS if not isfinite(at[depth].kl)]
    if len(empty) == len(DEPTHS):
        yield f"{name}: the depths of its layers are not known; figure 3 compares all of them together"
    elif FIRST_LAYER in empty:
        yield f"{name}: no first layer that is 3×3 on both sides"
    if 0 < len(deciles := [depth for depth in empty if depth != FIRST_LAYER]) < len(DEPTHS) - 1:
        yield f"{name}: decile {listed(map(str, deciles))} without filters on one side or both"

"""The figures: filters as pictures, spectra, bases, divergence and metrics by depth.

Each function takes plain numbers, returns a `matplotlib.figure.Figure` (see `style.save`), and shows what
is missing as missing. Filters are drawn as vector squares, which no viewer blurs.
"""

from collections.abc import Iterable, Mapping
from math import ceil, sqrt
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from filterdb.errors import UsageError
from filterdb.report.style import (
    COLUMN,
    DIVERGING,
    STYLE,
    colour,
    hide_axes,
    marker,
    new_figure,
    styled,
)

LEGEND_ROOM = 1.6
"""How high a panel is beside the bars below its legend."""
GAP = 0.5
"""Space between two filters of a mosaic, in weights."""
DECILES = range(11)
POSITIONS = (0, *(decile + 0.6 for decile in range(1, 11)))
"""Where the first layer and the deciles 1 … 10 stand: the first layer apart."""
METRICS = {
    "sparsity": "sparsity",
    "variance_entropy": "variance entropy",
    "orthogonality": "orthogonality",
}

Row = Mapping[str, Any]


@styled
def filter_mosaic(weights_by_label: Mapping[str, np.ndarray], limit: int = 64) -> Figure:
    """The filters of one layer of several networks (twins) side by side.

    weights: (out_channels, in_channels, 3, 3), all finite. With three input channels each output channel
    is one RGB picture, else each single filter is drawn from blue (negative) over white (0) to red. Colours
    are relative to the largest absolute weight of the layer. At most the first `limit` are shown.
    """
    _require(weights_by_label, "filter_mosaic")
    tiles = {label: _tiles(label, weights) for label, weights in weights_by_label.items()}
    columns = ceil(sqrt(max(min(len(t), limit) for t in tiles.values())))
    rows = max(ceil(min(len(t), limit) / columns) for t in tiles.values())
    panel = COLUMN / max(2, len(tiles))
    single = all(pictures.ndim == 3 for pictures in tiles.values())
    figure = new_figure(COLUMN, panel * rows / columns + (0.55 if single else 0.35))
    panels = figure.subplots(1, len(tiles), squeeze=False)[0]
    for axes, (label, pictures) in zip(panels, tiles.items(), strict=True):
        _draw_mosaic(axes, pictures[:limit], columns)
        _hold_filters(axes, columns * (3 + GAP) - GAP, rows * (3 + GAP) - GAP)
        shown = f"first {limit} of {len(pictures)}" if len(pictures) > limit else f"{len(pictures)}"
        axes.set_title(f"{label} ({shown})", color=colour(label, list(tiles)))
        if pictures.ndim == 4:
            axes.set_xlabel("input channels as RGB, grey: 0", fontsize=STYLE["legend.fontsize"])
    if single:
        _weight_scale(figure, list(panels))
    return figure


@styled
def spectra(ratios_by_label: Mapping[str, np.ndarray]) -> Figure:
    """Share of the variance that each principal component explains, by group of filters.

    ratios: (9,), descending, summing to 1; NaN where a group holds too few filters.
    """
    _require(ratios_by_label, "spectra")
    labels = list(ratios_by_label)
    figure = new_figure(COLUMN, 1.9)
    axes = figure.subplots()
    width = 0.8 / len(labels)
    for index, label in enumerate(labels):
        ratios = 100 * np.asarray(ratios_by_label[label], dtype=float)
        left = np.arange(1, 10) - 0.4 + width * (index + 0.5)
        name = f"{label} (first: {ratios[0]:.1f} %)" if np.isfinite(ratios[0]) else f"{label} (too few filters)"
        axes.bar(left, np.nan_to_num(ratios), 0.92 * width, color=colour(label, labels), label=name)
    axes.set(xlabel="principal component", ylabel="explained variance (%)", xticks=range(1, 10))
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")
    axes.set_ylim(top=max(axes.get_ylim()[1], LEGEND_ROOM * max(_right_half(ratios_by_label.values()), default=0)))
    axes.legend(loc="upper right")
    return figure


def _right_half(ratios: Iterable[np.ndarray]) -> list[float]:
    """The known ones of the last five of nine, in percent."""
    return [100 * ratio for of_label in ratios for ratio in of_label[4:] if np.isfinite(ratio)]


@styled
def basis(bases_by_label: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """The nine principal components as filters, one row for each group, with their explained variance.

    Each base is (components (9, 9), one filter a row; explained variance ratios (9,)). Colours run from
    blue (negative) over white (0) to red, relative to the largest absolute entry of the component.
    """
    _require(bases_by_label, "basis")
    labels = list(bases_by_label)
    figure = new_figure(COLUMN, 0.15 + 0.47 * len(labels))
    axes = figure.subplots()
    for row, (label, (components, ratios)) in enumerate(bases_by_label.items()):
        for number, component in enumerate(np.asarray(components, dtype=float)):
            left, top = 4 * number, 5.5 * row
            _draw_filter(axes, left, top, component.reshape(3, 3) / (np.abs(component).max() or 1))
            share = f"{100 * ratios[number]:.1f} %"
            axes.text(left + 1.5, top + 3.3, share, ha="center", va="top", fontsize=6)
        if len(labels) > 1:
            shade = colour(label, labels)
            axes.text(-0.6, top + 1.5, label, ha="right", va="center", rotation=90, color=shade)
    for number in range(9):
        axes.text(4 * number + 1.5, -0.4, f"$v_{{{number + 1}}}$", ha="center")
    _hold_filters(axes, 4 * 9 - 1, 5.5 * len(labels) - 2.5)
    return figure


@styled
def divergence_by_depth(rows: Iterable[Row]) -> Figure:
    """Symmetric KL divergence of two splits by depth: the first layer apart, then the ten deciles.

    rows: mappings with `depth_decile` (0: first layer, 1 … 10), `kl`, and `dataset` if there are several;
    a decile without a row, or whose kl is None or NaN, is marked with ×.
    """
    groups = _by(rows, "dataset")
    _require(groups, "divergence_by_depth")
    figure = new_figure(COLUMN, 1.9)
    axes = figure.subplots()
    width = 0.8 / len(groups)
    for index, (dataset, members) in enumerate(groups.items()):
        values = _by_decile(members, "kl")
        places = np.array(POSITIONS) - 0.4 + width * (index + 0.5)
        shade = colour(dataset, list(groups))
        axes.bar(places, np.nan_to_num(values), 0.92 * width, color=shade, label=dataset or None)
        for place in places[np.isnan(values)]:
            axes.plot(place, 0, "x", color=shade, clip_on=False)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("KL divergence")
    _depth_axis(axes)
    if any(groups):
        figure.legend(loc="outside upper center", ncols=len(groups))
    return figure


@styled
def metric_by_depth(rows: Iterable[Row], metrics: Iterable[str] = tuple(METRICS)) -> Figure:
    """Metrics by depth, one panel each: every network a dot, the mean of each group a line.

    rows: one mapping per network and depth decile with `label` (normal, robust, …), `depth_decile` and
    the metrics; None and NaN are left out.
    """
    groups, metrics = _by(rows, "label"), list(metrics)
    _require(groups, "metric_by_depth")
    figure = new_figure(COLUMN, 0.45 + 1.15 * len(metrics))
    panels = figure.subplots(len(metrics), sharex=True, squeeze=False)[:, 0]
    for axes, metric in zip(panels, metrics, strict=True):
        for index, (label, members) in enumerate(groups.items()):
            shift = 0.16 * (index - (len(groups) - 1) / 2)
            _draw_metric(axes, members, metric, label, colour(label, list(groups)), shift)
        axes.set_ylabel(METRICS.get(metric, metric))
        _depth_axis(axes)
        axes.label_outer()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(groups))
    return figure


def _require(given: Mapping, figure: str) -> None:
    if not given:
        raise UsageError(f"{figure} has nothing to draw; give it at least one group")


def _tiles(label: str, weights: np.ndarray) -> np.ndarray:
    """Pictures in [−1, 1] (n, 3, 3), or in [0, 1] (n, 3, 3, 3) with the colours last."""
    weights = np.asarray(weights, dtype=float)
    if weights.ndim != 4 or weights.shape[2:] != (3, 3) or not weights.size:
        raise UsageError(f"filters of {label} must be (out_channels, in_channels, 3, 3); got {weights.shape}")
    relative = weights / (np.abs(weights).max() or 1)
    if weights.shape[1] == 3:
        return (relative.transpose(0, 2, 3, 1) + 1) / 2
    return relative.reshape(-1, 3, 3)


def _draw_mosaic(axes: Axes, pictures: np.ndarray, columns: int) -> None:
    """Pictures row by row, the first at the top left."""
    for index, picture in enumerate(pictures):
        _draw_filter(axes, (3 + GAP) * (index % columns), (3 + GAP) * (index // columns), picture)


def _draw_filter(axes: Axes, left: float, top: float, picture: np.ndarray) -> None:
    """One filter as nine unit squares and an outline; picture: (3, 3) in [−1, 1] or (3, 3, 3) in [0, 1]."""
    x, y = left + np.arange(4), top + np.arange(4)
    axes.pcolormesh(x, y, picture, cmap=DIVERGING, vmin=-1, vmax=1, edgecolor="face", linewidth=0.1)
    axes.plot(x[[0, 3, 3, 0, 0]], y[[0, 0, 3, 3, 0]], color="#999999", linewidth=0.4)


def _hold_filters(axes: Axes, width: float, height: float) -> None:
    """Square weights, counted from the top left, and nothing around them."""
    axes.set(xlim=(-0.1, width + 0.1), ylim=(height + 0.1, -0.1), aspect="equal")
    hide_axes(axes)


def _weight_scale(figure: Figure, panels: list[Axes]) -> None:
    scale = ScalarMappable(Normalize(-1, 1), DIVERGING)
    bar = figure.colorbar(scale, ax=panels, location="bottom", fraction=0.04, aspect=40, pad=0.03)
    bar.set_ticks([-1, 0, 1])
    bar.outline.set_linewidth(0.4)
    bar.set_label("weight relative to the largest of the layer", labelpad=1)


def _draw_metric(axes: Axes, members: list[Row], metric: str, label: str, shade: str, shift: float) -> None:
    values = [(row["depth_decile"], row[metric]) for row in members if _is_number(row[metric])]
    deciles = sorted({decile for decile, _ in values})
    means = [np.mean([value for at, value in values if at == decile]) for decile in deciles]
    dots = [POSITIONS[decile] + shift for decile, _ in values]
    axes.plot(dots, [value for _, value in values], ".", color=shade, alpha=0.45, markeredgewidth=0)
    split = deciles.index(0) + 1 if 0 in deciles else 0
    for part, name in ((slice(split), None), (slice(split, None), label)):
        places = [POSITIONS[decile] + shift for decile in deciles[part]]
        axes.plot(places, means[part], marker=marker(label), color=shade, label=name)


def _depth_axis(axes: Axes) -> None:
    """The first layer apart from the deciles."""
    axes.set_xticks(POSITIONS, ["first\nlayer", *map(str, DECILES[1:])])
    axes.set_xlim(POSITIONS[0] - 0.6, POSITIONS[-1] + 0.6)
    axes.axvline(0.8, color="#BBBBBB", linewidth=0.6, linestyle=(0, (2, 2)))
    axes.set_xlabel("depth decile", labelpad=-6)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")


def _by(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    """Rows by the value of `key` ('' where they have none), in order of appearance."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.get(key) or "", []).append(row)
    return groups


def _by_decile(rows: list[Row], key: str) -> np.ndarray:
    """Values of `key` by decile (11,), NaN where there is none."""
    values = np.full(len(DECILES), np.nan)
    for row in rows:
        if _is_number(row[key]):
            values[row["depth_decile"]] = row[key]
    return values


def _is_number(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))

"""Figure 6, second half: what the first convolution makes of an image, clean and attacked."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from filterdb.report.style import COLUMN, DIVERGING, hide_axes, new_figure, plain, styled
from filterdb.report.words import listed, percent

if TYPE_CHECKING:
    from filterdb.training.activations import Responses

CHANNELS = 6
STAMP = "maps on one scale, blue < 0 < red · image change relative to its largest"
ROWS = ("clean", "attacked", "difference")


@styled
def draw(by_network: "Mapping[str, Responses]", image: int = 0) -> Figure:
    """One image and the maps of the channels that change most, most first: a block of three rows for each network.

    Maps of a network share one scale from blue over white (0) to red; the change of the image is relative to
    its largest, grey where there is none.
    """
    figure = new_figure(COLUMN, 1.9 * len(by_network))
    heights = [0.3, 1, 1, 1] * len(by_network)
    panels = figure.subplots(len(heights), CHANNELS + 1, squeeze=False, height_ratios=heights)
    for block, (name, responses) in enumerate(by_network.items()):
        titles, *rows = panels[4 * block : 4 * block + 4]
        titles[0].text(0, 0, plain(name), va="bottom", fontsize=7, in_layout=False)
        for axes in titles:
            hide_axes(axes)
            axes.patch.set_visible(False)  # the name goes on across all of them
        _draw_network(rows, responses, image)
    return figure


def numbers(by_network: "Mapping[str, Responses]") -> pl.DataFrame:
    """One row for each network and channel: mean absolute change over mean absolute value, over all images."""
    return pl.concat(
        [
            pl.DataFrame(
                {
                    "network": [name] * len(responses.relative_change),
                    "channel": np.arange(len(responses.relative_change)),
                    "relative_change": responses.relative_change,
                }
            ).fill_nan(None)
            for name, responses in by_network.items()
        ]
    )


def sentence(by_network: "Mapping[str, Responses]") -> str:
    """How much the attack changes the maps, and what the networks answer."""
    changes = [f"{percent(_median_change(one))} ({name})" for name, one in by_network.items()]
    turned = [f"{int((one.classes != one.attacked_classes).sum())} ({name})" for name, one in by_network.items()]
    count = len(next(iter(by_network.values())).classes)
    largest = max(np.abs(one.attacked_images - one.images).max() for one in by_network.values())
    return (
        f"Attacked with a network's own gradients (no pixel by more than {largest:.2g}), images change its"
        f" first-layer maps by {listed(changes)} of their mean size, in the median over channels; of {count:,} answers,"
        f" {listed(turned)} turn."
    )


def _median_change(responses: "Responses") -> float:
    known = [value for value in responses.relative_change if isfinite(value)]
    return float(np.median(known)) if known else np.nan


def _draw_network(panels: Sequence[np.ndarray], responses: "Responses", image: int) -> None:
    maps = (responses.maps[image], responses.attacked_maps[image])
    order = np.abs(maps[1] - maps[0]).mean(axis=(1, 2)).argsort()[::-1][:CHANNELS]
    limit = np.abs(maps[0][order]).max() or 1
    clean, attacked = (_picture(images[image]) for images in (responses.images, responses.attacked_images))
    change = attacked - clean
    change = 0.5 + 0.5 * change / (np.abs(change).max() or 1)
    for row, label, picture, values in zip(
        panels, ROWS, (clean, attacked, change), (*maps, maps[1] - maps[0]), strict=True
    ):
        row[0].imshow(picture, cmap="gray", vmin=0, vmax=1)
        row[0].set_ylabel(label, fontsize=6)
        for axes, channel in zip(row[1:], order, strict=False):
            axes.imshow(values[channel], cmap=DIVERGING, vmin=-limit, vmax=limit)
        for axes in row:
            _frame(axes)
    for axes, channel in zip(panels[0][1:], order, strict=False):
        axes.set_title(f"map {channel}", pad=2, fontsize=6)
    panels[0][0].set_title("image", pad=2, fontsize=6)


def _picture(image: np.ndarray) -> np.ndarray:
    """(h, w) for one channel, else (h, w, 3)."""
    return image[0] if len(image) == 1 else image[:3].transpose(1, 2, 0)


def _frame(axes: Axes) -> None:
    hide_axes(axes)
    if axes.images:
        axes.spines[:].set(visible=True, linewidth=0.4, color="#999999")

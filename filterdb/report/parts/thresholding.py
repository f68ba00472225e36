"""Figure 6: which filterbanks of the first layers act as weighted sums of the input channels."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from filterdb.report.charts import kind_handles, stamped
from filterdb.report.part import Part
from filterdb.report.parts import activations
from filterdb.report.study import KINDS, Study
from filterdb.report.style import COLUMN, colour, new_figure, plain, styled
from filterdb.report.words import dataset_name, listed, percent

if TYPE_CHECKING:
    from filterdb.training.activations import Responses

TITLE = "Figure 6: first-layer filterbanks that threshold"
THRESHOLD = 0.9
"""The share of a bank's energy in its centre weights from which it counts as a weighted sum of its inputs."""

Shares = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""By kind of network: of each live bank, the share of energy in the centre and that of its rank-1 part."""


def part(study: Study, responses: "Mapping[str, Responses] | None" = None) -> Part:
    """How banks are distributed by both shares, and how many act as weighted sums.

    centre_share: the sum of the squared centre weights over that of all weights of the bank; a bank with all
    of it there is a 1×1 convolution, so that with a bias and a ReLU it can threshold a mixture of the channels.
    rank1_share: the largest squared singular value of the bank as a matrix (input channels, 9) over the sum of
    all; a bank with all of it there is one spatial filter of one mixture of the channels.
    responses: of networks by name, to show what their first layers make of attacked images.
    """
    frame = study.frame("paper/fig6_thresholding", threshold=THRESHOLD)
    found = {dataset: frame.filter(pl.col("dataset").eq_missing(dataset)) for dataset in study.datasets}
    shown = {dataset_name(name): shares(rows) for name, rows in found.items() if not rows.is_empty()}
    figures = {"fig6": draw(shown)} if shown else {}
    numbers = {"fig6": frame}
    if responses:
        figures["fig6-activations"] = activations.draw(responses)
        numbers["fig6-activations"] = activations.numbers(responses)
    stamps = {"fig6": study.stamp(counting="every network once"), "fig6-activations": activations.STAMP}
    return Part(
        name="fig6",
        title=TITLE,
        caption=" ".join([_caption(found), *([activations.sentence(responses)] if responses else [])]),
        figures={name: stamped(figure, stamps[name]) for name, figure in figures.items()},
        numbers=numbers,
        notes=tuple(_notes(found, has_responses=bool(responses))),
    )


def shares(rows: pl.DataFrame) -> Shares:
    """The live banks of one data set."""
    alive = rows.filter(~pl.col("dead"))
    return {
        kind: tuple(of_kind[column].to_numpy() for column in ("centre_share", "rank1_share"))
        for kind in KINDS
        if not (of_kind := alive.filter(pl.col("kind") == kind)).is_empty()
    }


@styled
def draw(by_dataset: Mapping[str, Shares], threshold: float = THRESHOLD) -> Figure:
    """For each data set, how many banks reach which share; steeper to the right means more of them."""
    figure = new_figure(COLUMN, 0.6 + 1.2 * len(by_dataset))
    panels = figure.subplots(len(by_dataset), 2, sharex=True, sharey=True, squeeze=False)
    kinds = [kind for kind in KINDS if any(kind in one for one in by_dataset.values())]
    for row, (dataset, one) in zip(panels, by_dataset.items(), strict=True):
        for kind, of_kind in one.items():
            for axes, values in zip(row, of_kind, strict=True):
                _draw_exceedance(axes, values, colour(kind, kinds))
        for axes in row:
            axes.grid()
        row[0].axvline(threshold, color="#666666", linewidth=0.7, linestyle=(0, (2, 2)))
        row[0].set_ylabel("share of banks above")
        row[0].set_title(plain(dataset), loc="left", pad=3)
    panels[0, 0].set(xlim=(0, 1), ylim=(0, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    panels[-1, 0].set_xlabel("share of energy in the centre")
    panels[-1, 1].set_xlabel("share of energy of rank one")
    figure.legend(handles=kind_handles(kinds), loc="outside upper center", ncols=len(kinds))
    return figure


def _draw_exceedance(axes: Axes, values: np.ndarray, shade: str) -> None:
    """The share of values that are at least x, against x."""
    ordered = np.sort(values)
    above = np.arange(len(ordered), -1, -1) / len(ordered)
    axes.stairs(above, [0, *ordered, max(1, ordered[-1])], baseline=None, color=shade, linewidth=1.2)


def weighted_sums(rows: pl.DataFrame) -> pl.DataFrame:
    """Of each network the share of its live banks that act as weighted sums."""
    alive = rows.filter(~pl.col("dead"))
    return alive.group_by("dataset", "kind", "model", maintain_order=True).agg(share=pl.col("weighted_sum").mean())


def _caption(found: Mapping[str | None, pl.DataFrame]) -> str:
    sums = [f"{listed(of_kinds)} on {name}" for name, of_kinds in _sums(found) if of_kinds]
    if not sums:
        return "No network of this lake has a 3×3 first layer whose channels are known. See the notes."
    return (
        f"A filterbank acts as a weighted sum of its input channels when at least {percent(THRESHOLD, 0)} of its energy"
        f" lies in the centre weights. In the mean over networks, so do {'; '.join(sums)}."
    )


def _sums(found: Mapping[str | None, pl.DataFrame]) -> Iterator[tuple[str, list[str]]]:
    for name, rows in found.items():
        yield dataset_name(name), [f"{percent(share)} of {kind} banks" for kind, share in _means(rows).items()]


def _means(rows: pl.DataFrame) -> dict[str, float]:
    by_kind = weighted_sums(rows).group_by("kind").agg(pl.col("share").mean())
    means = dict(by_kind.rows())
    return {kind: means[kind] for kind in KINDS if kind in means}


def _notes(found: Mapping[str | None, pl.DataFrame], *, has_responses: bool) -> Iterator[str]:
    if not has_responses:
        yield "activations need a network that runs, and images: --checkpoint, --architecture, --images"
    for dataset, rows in found.items():
        name = dataset_name(dataset)
        if rows.is_empty():
            yield f"{name}: no network begins with a 3×3 convolution whose channels are known"
        elif (rows["in_channels"] == 1).all():
            yield f"{name}: images have one channel, so every bank is one filter and of rank one"
        if dead := rows["dead"].sum():
            yield f"{name}: {dead:,} of {len(rows):,} banks are sparse throughout and left out"

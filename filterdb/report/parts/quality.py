"""Figure 7: sparsity, variance entropy and orthogonality by depth."""

from collections.abc import Iterator, Mapping
from math import isfinite

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.cbook import boxplot_stats
from matplotlib.figure import Figure

from filterdb.query.names import Definition
from filterdb.report import published
from filterdb.report.charts import PAPER, depth_axis, kind_handles, say, stamped
from filterdb.report.effects import mean_difference
from filterdb.report.part import Part
from filterdb.report.pictures import METRICS, POSITIONS
from filterdb.report.study import DEPTHS, KINDS, Study
from filterdb.report.style import COLUMN, colour, new_figure, plain, styled
from filterdb.report.words import dataset_name, file_name, listed, number

TITLE = "Figure 7: quality of the filters by depth"
Boxes = Mapping[str, Mapping[str, Mapping[int, np.ndarray]]]
"""Values of networks by metric, kind of network and depth decile."""
PaperMeans = Mapping[tuple[str, str, int], float]
"""By metric, kind of network and depth decile."""


def part(study: Study) -> Part:
    """Boxes over pairs, or over networks where a data set has no pairs."""
    frame = study.frame("paper/fig7_quality")
    found = {dataset: boxes(frame.filter(pl.col("dataset").eq_missing(dataset))) for dataset in study.datasets}
    shown = {dataset_name(name): one for name, one in found.items() if _has_depths(one)}
    paper = _paper_means(shown)
    limits = {metric: _limits(shown, paper, metric) for metric in METRICS}
    return Part(
        name="fig7",
        title=TITLE,
        caption=_caption(study, frame, is_drawn=bool(shown)),
        figures={
            f"fig7-{file_name(dataset)}": stamped(draw(dataset, one, paper.get(dataset, {}), limits), study.stamp())
            for dataset, one in shown.items()
        },
        numbers={"fig7": frame},
        notes=(*_notes(study, found), *cautions(study)),
    )


def boxes(frame: pl.DataFrame) -> Boxes:
    """Values of a data set, each as often as its network counts; only those that are known."""
    found: dict[str, dict[str, dict[int, list[float]]]] = {metric: {} for metric in METRICS}
    for row in frame.sort("depth_decile").to_dicts():
        for metric in METRICS:
            if row["depth_decile"] is not None and row[metric] is not None and row["times"]:
                by_decile = found[metric].setdefault(row["kind"], {})
                by_decile.setdefault(row["depth_decile"], []).extend([row[metric]] * row["times"])
    return found


@styled
def draw(dataset: str, one: Boxes, paper: PaperMeans, limits: Mapping[str, tuple[float, float]]) -> Figure:
    """The boxes of a data set, a row for each metric, in the same limits for all data sets.

    Boxes span the quartiles about a line at the median, whiskers reach 1.5 times as far at most; the paper's
    means are marked beside them.
    """
    figure = new_figure(COLUMN, 0.55 + 1.15 * len(METRICS))
    panels = figure.subplots(len(METRICS), sharex=True)
    kinds = [kind for kind in KINDS if any(kind in by_kind for by_kind in one.values())]
    for axes, (metric, name) in zip(panels, METRICS.items(), strict=True):
        _draw_kinds(axes, one[metric], kinds)
        _draw_paper(axes, {key[1:]: value for key, value in paper.items() if key[0] == metric}, kinds)
        axes.set(ylabel=name, ylim=limits[metric])
    depth_axis(panels[-1])
    handles = kind_handles(kinds, paper=bool(paper))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), title=plain(dataset))
    return figure


def _draw_kinds(axes: Axes, by_kind: Mapping[str, Mapping[int, np.ndarray]], kinds: list[str]) -> None:
    for kind, by_decile in by_kind.items():
        _draw_boxes(axes, by_decile, colour(kind, kinds), _shift(kind, kinds), 0.62 / len(kinds))
    if not any(by_kind.values()):
        say(axes, "not known")
    axes.grid(axis="y")


def _shift(kind: str, kinds: list[str]) -> float:
    return 0.8 / len(kinds) * (kinds.index(kind) - (len(kinds) - 1) / 2)


def _draw_boxes(axes: Axes, by_decile: Mapping[int, np.ndarray], shade: str, shift: float, width: float) -> None:
    places = np.array([POSITIONS[decile] for decile in by_decile]) + shift
    stats = boxplot_stats(list(by_decile.values()))
    low, lower, middle, upper, high = (
        np.array([box[name] for box in stats]) for name in ("whislo", "q1", "med", "q3", "whishi")
    )
    axes.bar(places, upper - lower, width, bottom=lower, color=shade, alpha=0.4)
    axes.vlines(np.tile(places, 2), [*low, *upper], [*lower, *high], color=shade, linewidth=0.6)
    axes.hlines(middle, places - width / 2, places + width / 2, color=shade, linewidth=1.3)
    outside = [(place, value) for place, box in zip(places, stats, strict=True) for value in box["fliers"]]
    axes.plot(*zip(*outside, strict=True) if outside else ([], []), ".", color=shade, markersize=2, markeredgewidth=0)


def _draw_paper(axes: Axes, means: Mapping[tuple[str, int], float], kinds: list[str]) -> None:
    for kind in kinds:
        at = {POSITIONS[decile] + _shift(kind, kinds): value for (of, decile), value in means.items() if of == kind}
        style = PAPER | {"markersize": 2.2, "markeredgecolor": colour(kind, kinds), "markerfacecolor": "white"}
        axes.plot(list(at), list(at.values()), **style)


def _paper_means(shown: Mapping[str, Boxes]) -> dict[str, dict[tuple[str, str, int], float]]:
    """By data set, those of the paper to stand beside boxes of the same kind."""
    means: dict[str, dict[tuple[str, str, int], float]] = {}
    for (metric, dataset, robust, decile), value in published.metrics_by_depth().items():
        kind = "robust" if robust else "normal"
        if kind in shown.get(dataset, {}).get(metric, {}):
            means.setdefault(dataset, {})[metric, kind, decile] = value
    return means


def _limits(shown: Mapping[str, Boxes], paper: Mapping[str, PaperMeans], metric: str) -> tuple[float, float]:
    """Of all values of a metric, with a little room."""
    values = [
        *(
            value
            for one in shown.values()
            for by_decile in one[metric].values()
            for v in by_decile.values()
            for value in v
        ),
        *(value for means in paper.values() for key, value in means.items() if key[0] == metric),
    ]
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.05 * (high - low) or 0.05
    return low - room, high + room


def _has_depths(one: Boxes) -> bool:
    return any(by_decile for by_kind in one.values() for by_decile in by_kind.values())


def matrix(frame: pl.DataFrame, models: tuple[str, ...], metric: str) -> np.ndarray:
    """(n, 12) the metric of each network by depth decile, the last column where depth is unknown; NaN for none."""
    values = np.full((len(models), len(DEPTHS) + 1), np.nan)
    position = {model: number for number, model in enumerate(models)}
    for model, decile, value in frame["model", "depth_decile", metric].rows():
        if model in position and value is not None:
            values[position[model], len(DEPTHS) if decile is None else decile] = value
    return values


def _caption(study: Study, frame: pl.DataFrame, *, is_drawn: bool) -> str:
    differences = []
    for collection in study.collections():
        of_metrics = []
        for metric, name in METRICS.items():
            values = matrix(frame, collection.models, metric)
            difference = mean_difference(values, collection.times[None], collection.robust)[0]
            if isfinite(difference):
                of_metrics.append(f"{name} {_by(difference)}")
        if of_metrics:
            differences.append(f"on {dataset_name(collection.dataset)} {listed(of_metrics)}")
    entropy = "as they are" if study.choice.definition is Definition.PAPER else "scaled to a largest weight of 1"
    boxes = "Boxes span the quartiles over networks, lines are medians and whiskers reach at most 1.5 boxes further"
    of_entropy = f"variance entropy is that of the filters {entropy}."
    first = f"{boxes}; {of_entropy}" if is_drawn else of_entropy.capitalize()
    if not differences:
        return f"{first} There are no two kinds of trained networks to compare."
    return f"{first} Robust minus normal, in the mean over depths: {'; '.join(differences)}."


def _by(difference: float) -> str:
    return "the same" if not difference else f"{number(abs(difference))} {'higher' if difference > 0 else 'lower'}"


def cautions(study: Study) -> Iterator[str]:
    """Where values of this lake must not be compared with the paper's just like that."""
    trained = study.networks.filter(pl.col("kind") != "untrained")
    if study.choice.definition is Definition.PAPER and {*published.DATASETS} & {*trained["dataset"]}:
        yield "the paper's variance entropies are those of scaled filters, which --definition published gives here too"
    for (dataset,), networks in trained.group_by("dataset", maintain_order=True):
        if networks["orthogonality"].is_null().all():
            yield (
                f"{dataset_name(dataset)}: its layers are perhaps not whole, so orthogonality is not known; sparsity,"
                " entropy, variance and divergence are those of just the filters that the lake holds"
            )


def _notes(study: Study, found: Mapping[str | None, Boxes]) -> Iterator[str]:
    for dataset, one in found.items():
        name, collection = dataset_name(dataset), study.collection(dataset)
        if not _has_depths(one):
            yield f"{name}: the depths of its layers are not known; differences are those of all layers"
        missing = [kind for kind, n in (("robust", collection.n_robust), ("normal", collection.n_normal)) if not n]
        if missing:
            yield f"{name}: no {listed(missing, 'and no')} networks"
        if _has_depths(one) and not any(0 in by_decile for by_decile in one["sparsity"].values()):
            yield f"{name}: no network begins with a 3×3 convolution"

"""Figures 4 and 5: the filters of the first and of the deepest layer of one network and its twin."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from filterdb.report import pictures
from filterdb.report.charts import stamped
from filterdb.report.part import Part
from filterdb.report.study import Study
from filterdb.report.words import counted, dataset_name, file_name, listed, percent

WEIGHTS = [f"w{place}" for place in range(9)]
LIMIT = 64
QUERIES = {"fig4": "paper/fig4_first_layer", "fig5": "paper/fig5_last_layer"}
TITLES = {"fig4": "Figure 4: filters of the first layer", "fig5": "Figure 5: filters of the deepest layer"}
LAYERS = {"fig4": "first", "fig5": "deepest"}


def first_layer(study: Study) -> Part:
    """Figure 4: RGB pictures where there are three input channels."""
    return _part(study, "fig4")


def last_layer(study: Study) -> Part:
    """Figure 5."""
    return _part(study, "fig5")


def _part(study: Study, name: str) -> Part:
    named = [dataset for dataset in study.datasets if dataset is not None] or study.datasets
    frames = {dataset: study.frame(QUERIES[name], dataset=dataset) for dataset in named}
    shown = {dataset_name(dataset): frame for dataset, frame in frames.items() if not frame.is_empty()}
    return Part(
        name=name,
        title=TITLES[name],
        caption=_caption(name, shown),
        figures={f"{name}-{file_name(dataset)}": _draw(study, dataset, frame) for dataset, frame in shown.items()},
        numbers={f"{name}-{file_name(dataset)}": frame for dataset, frame in shown.items()},
        notes=(*_notes(name, frames), *_unknown_depths(study, name, shown)),
    )


def _draw(study: Study, dataset: str, frame: pl.DataFrame) -> Figure:
    stamp = f"{dataset} · {_network(frame)} · {study.weights} weights · lake version {study.database.version}"
    return stamped(pictures.filter_mosaic(layers(frame), LIMIT), stamp)


def layers(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """Weights (out_channels, in_channels, 3, 3) by kind of network; single filters where channels are unknown."""
    return {kind: _weights(rows) for (kind,), rows in frame.group_by("kind", maintain_order=True)}


def _weights(rows: pl.DataFrame) -> np.ndarray:
    filters = rows.select(WEIGHTS).to_numpy().reshape(-1, 3, 3)
    inputs = rows["in_channel"].n_unique()
    is_whole = rows["out_channel"].null_count() == 0 and len(filters) == inputs * rows["out_channel"].n_unique()
    return filters.reshape(-1, inputs if is_whole else 1, 3, 3)


def _caption(name: str, shown: dict[str, pl.DataFrame]) -> str:
    if not shown:
        return f"No network of this lake has a {LAYERS[name]} layer to show. See the notes."
    named = listed(f"{_network(frame)} ({dataset})" for dataset, frame in shown.items())
    centres = "; ".join(_centre(dataset, frame) for dataset, frame in shown.items())
    return (
        f"At most {LIMIT} filters of the {LAYERS[name]} layer of {named}. Of their energy, the centre weights hold"
        f" {centres}."
    )


def _network(frame: pl.DataFrame) -> str:
    """The network that is shown, the robust one if there is a pair."""
    names = dict(frame["kind", "model"].rows())
    chosen = names.get("robust") or names["normal"]
    return chosen.rsplit("/", 1)[-1] + (" and its twin" if len(names) == 2 else "")


def _centre(dataset: str, frame: pl.DataFrame) -> str:
    shares = (f"{percent(centre_share(weights), 0)} ({kind})" for kind, weights in layers(frame).items())
    return f"{listed(shares)} on {dataset}"


def centre_share(weights: np.ndarray) -> float:
    """The part of the energy of filters (…, 3, 3) that lies in their centre weights; NaN if all are zero."""
    squares = weights.astype(float) ** 2
    return float(squares[..., 1, 1].sum() / squares.sum()) if squares.any() else np.nan


def _notes(name: str, frames: dict[str | None, pl.DataFrame]) -> Iterator[str]:
    for dataset, frame in frames.items():
        kinds = set(frame["kind"])
        if not kinds and name == "fig4":
            yield f"{dataset_name(dataset)}: the network's first convolution is not 3×3"
        elif not kinds:
            yield f"{dataset_name(dataset)}: {counted(0, 'trained network')}"
        elif len(kinds) == 1:
            yield f"{dataset_name(dataset)}: no twin of this network in the lake"


def _unknown_depths(study: Study, name: str, shown: dict[str, pl.DataFrame]) -> Iterator[str]:
    known = set(study.frame("paper/fig7_quality").drop_nulls("depth_decile")["model"])
    for dataset, frame in shown.items():
        if set(frame["model"]) - known:
            place = {"fig4": "first", "fig5": "last"}[name]
            yield f"{dataset}: the depths of its layers are not known; shown is the {place} in the order of the lake"

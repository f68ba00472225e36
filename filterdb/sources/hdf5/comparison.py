"""What the published file states of its layers, compared with what a lake says of them after import."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py

from filterdb.sources.hdf5.container import group, opened
from filterdb.sources.hdf5.frames import read_frame
from filterdb.sources.hdf5.metadata import number, stored_networks
from filterdb.sources.hdf5.unpack import unpacked

DERIVED = {
    "n_sparse": ("meta_sparsity", "layer_sparse_filters"),
    "sparsity": ("meta_sparsity", "layer_sparse_share"),
    "max_abs": ("meta_sparsity", "layer_norm"),
    "variance_entropy_scaled": ("meta_pca", "entropy"),
    "orthogonality": ("meta_ortho", "ortho"),
}
"""Columns of our table `layers`, and the derived table and column of the file that means the same."""

COMPARED = ("model", "layer", "n_filters", *DERIVED)
"""Columns of our table `layers` that a comparison needs."""

LayerKey = tuple[str, int]
"""A network's id, and a layer's place in it."""


@dataclass(frozen=True)
class Comparison:
    """One quantity as the file states it and as a lake has it.

    `layers`: those that the file states it of. `compared`: those of them that were given. `stated` and `ours`:
    its sums over the compared ones. `largest_difference`: the most that a layer differs by; infinite where one
    side has a value and the other none.
    """

    quantity: str
    layers: int
    compared: int
    stated: float
    ours: float
    largest_difference: float


def check(path: str | Path, layers: Iterable[Mapping[str, object]]) -> list[Comparison]:
    """The file at `path` against `layers`: rows of a lake's table `layers`, of all networks in the file or some.

    Compared are `n_filters`, always first, and, where the file has the derived tables, `n_sparse`, `sparsity`,
    `max_abs`, `variance_entropy_scaled` (the file's entropy is that of scaled filters) and `orthogonality`; the
    rows need the columns COMPARED. Reads tables, no filters.
    """
    ours = {(row["model"], row["layer"]): row for row in layers}
    with opened(unpacked(path)) as file:
        stated = list(_stated(file))
    return [_compare(quantity, values, ours) for quantity, values in stated]


def _compare(
    quantity: str, stated: Mapping[LayerKey, object], ours: Mapping[LayerKey, Mapping[str, object]]
) -> Comparison:
    values = [(number(stated[key]), number(ours[key][quantity])) for key in stated if key in ours]
    return Comparison(
        quantity=quantity,
        layers=len(stated),
        compared=len(values),
        stated=math.fsum(theirs or 0.0 for theirs, _ in values),
        ours=math.fsum(our or 0.0 for _, our in values),
        largest_difference=max((_difference(theirs, our) for theirs, our in values), default=0.0),
    )


def _difference(stated: float | None, ours: float | None) -> float:
    if stated is None or ours is None:
        return 0.0 if stated is ours else math.inf
    return abs(stated - ours)


def _stated(file: h5py.File) -> Iterator[tuple[str, dict[LayerKey, object]]]:
    """Per quantity that the file has: its value for every layer."""
    places: dict[tuple[int, int], LayerKey] = {}
    counts: dict[LayerKey, object] = {}
    for network in stored_networks(file):
        for position, layer in enumerate(network.layers):
            key = (network.facts.model, position)
            places[network.model_id, layer.layer_id] = key
            counts[key] = layer.n_filters
    yield "n_filters", counts
    for quantity, (table, column) in DERIVED.items():
        if table in file:
            columns = read_frame(group(file, table), {"model_id", "layer_id", column}.__contains__)
            rows = zip(columns["model_id"], columns["layer_id"], columns[column], strict=True)
            yield quantity, {places[model_id, layer_id]: value for model_id, layer_id, value in rows}

"""What the file says of its networks and their layers: `/meta`, row by row."""

import math
import re
from collections import Counter
from dataclasses import dataclass
from itertools import groupby

import h5py

from filterdb.errors import SourceError
from filterdb.extraction.depth import depth_decile, relative_depth
from filterdb.network import Facts
from filterdb.sources.hdf5.container import dataset, group
from filterdb.sources.hdf5.frames import read_frame

INDEX = ("model_id", "conv_depth", "conv_depth_norm", "layer_id")
LAYER_COLUMNS = ("model", "filter_ids", "in_channels", "out_channels")
FACT_COLUMNS = ("Network", "Backbone", "Training-Dataset", "Robust", "Clean Accuracy", "Robust Accuracy", "Paper")
KERNEL_COLUMN = re.compile(r"\((\d+), (\d+)\) filters")
FILTER_IDS = re.compile(r"(\d+):(\d+)")

Row = dict[str, object]


@dataclass(frozen=True)
class StoredLayer:
    """One row of `/meta`: a 3×3 layer, whose filters lie from row `first` of `/filters` on."""

    layer_id: int
    first: int
    n_filters: int
    in_channels: int
    out_channels: int
    groups: int | None
    conv_depth: int
    depth: float
    depth_decile: int


@dataclass(frozen=True)
class StoredNetwork:
    """One network of the file, its layers by depth.

    `network` is its name regardless of training: a robust network shares it with the normal twin trained for it.
    `other_kernels` are those of its convolutions that count in depth but whose weights the file does not hold.
    """

    model_id: int
    facts: Facts
    network: str | None
    layers: tuple[StoredLayer, ...]
    other_kernels: tuple[str, ...]


def filters(file: h5py.File) -> h5py.Dataset:
    """`/filters`: (N, 3, 3) or (N, 9), floats of any width."""
    stored = dataset(file, "filters")
    if stored.shape[1:] not in ((3, 3), (9,)) or stored.dtype.kind != "f":
        raise SourceError(f"/filters is {stored.dtype} {stored.shape}, not floats of shape (N, 3, 3) or (N, 9)")
    return stored


def stored_networks(file: h5py.File) -> list[StoredNetwork]:
    """The networks in `/meta`, in the order of their ids: a few MB for a hundred of them."""
    rows = sorted(_rows(file), key=lambda row: (row["model_id"], row["conv_depth"], row["layer_id"]))
    n_stored = len(filters(file))
    grouped = [list(rows) for _, rows in groupby(rows, key=lambda row: row["model_id"])]
    uses = Counter(text(rows[0]["model"]) for rows in grouped)
    return [_network(rows, n_stored, is_unique=uses[text(rows[0]["model"])] == 1) for rows in grouped]


def text(value: object) -> str | None:
    """`value` as a text; None where a column of texts has NaN, None or False for nothing."""
    return None if is_missing(value) or value is False else str(value)


def number(value: object) -> float | None:
    return None if is_missing(value) else float(value)


def is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _rows(file: h5py.File) -> list[Row]:
    known = frozenset((*INDEX, *LAYER_COLUMNS, *FACT_COLUMNS))
    columns = read_frame(group(file, "meta"), lambda name: name in known or KERNEL_COLUMN.fullmatch(name) is not None)
    missing = [name for name in (*INDEX, *LAYER_COLUMNS) if name not in columns]
    if missing:
        raise SourceError(f"/meta has no column {', '.join(missing)}")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if not rows:
        raise SourceError("/meta has no rows; there is nothing to ingest")
    return rows


def _network(rows: list[Row], n_stored: int, is_unique: bool) -> StoredNetwork:
    first, levels = rows[0], _levels(rows)
    return StoredNetwork(
        model_id=int(first["model_id"]),
        facts=_facts(first, is_unique),
        network=text(first.get("Network")),
        layers=tuple(_layer(row, levels, n_stored) for row in rows),
        other_kernels=tuple(_other_kernels(first)),
    )


def _facts(row: Row, is_unique: bool) -> Facts:
    """Facts of a network, the same in all its rows.

    The id is `paper/<dataset>/<model>`, without the dataset where that is unknown; where two networks
    of the file have one name, their model ids tell them apart.
    """
    name, dataset_name = text(row["model"]), text(row.get("Training-Dataset"))
    if name is None:
        raise SourceError(f"/meta: network {row['model_id']} has no name in the column model")
    name = name if is_unique else f"{name}#{row['model_id']}"
    return Facts(
        model="/".join(filter(None, ("paper", dataset_name, name))),
        source="hdf5",
        name=name,
        dataset=dataset_name,
        robust=_flag(row.get("Robust")),
        architecture=text(row.get("Backbone")),
        clean_accuracy=_percentage(row, "Clean Accuracy"),
        robust_accuracy=_percentage(row, "Robust Accuracy"),
        paper=text(row.get("Paper")),
        weights="bn_folded",
    )


def _flag(value: object) -> bool | None:
    """True, False, or None for nothing; bool() of NaN would be True."""
    if is_missing(value):
        return None
    if value not in (True, False):
        raise SourceError(f"/meta: Robust is {value!r}, neither true nor false")
    return bool(value)


def _percentage(row: Row, column: str) -> float | None:
    value = number(row.get(column))
    if value is not None and not 0 <= value <= 100:
        raise SourceError(f"/meta: {column} is {value}, not a percentage")
    return value


def _levels(rows: list[Row]) -> int:
    """How many distinct depths a network's convolutions of all kernels have.

    The last may be of a kernel that is not stored, so their number follows from the depth and the relative depth
    (which may be rounded) of the deepest layer that is; the others must agree.
    """
    depths = [(row["conv_depth"], row["conv_depth_norm"]) for row in rows if row["conv_depth"] != 0]
    deepest, relative = max(depths, default=(0, 0.0))
    last = round(deepest / relative) if relative else 0
    if last < deepest or not all(0 < depth == round(relative * last) for depth, relative in depths):
        raise SourceError(
            f"/meta: conv_depth and conv_depth_norm of network {rows[0]['model_id']} contradict each other"
        )
    return 1 + last


def _layer(row: Row, levels: int, n_stored: int) -> StoredLayer:
    first, n_filters = _span(row, n_stored)
    in_channels, out_channels = int(row["in_channels"]), int(row["out_channels"])
    groups = in_channels * out_channels // n_filters
    if groups < 1 or groups * n_filters != in_channels * out_channels or in_channels % groups:
        raise SourceError(f"/meta: {n_filters} filters cannot form {in_channels} × {out_channels} channels")
    conv_depth = int(row["conv_depth"])
    return StoredLayer(
        layer_id=int(row["layer_id"]),
        first=first,
        n_filters=n_filters,
        in_channels=in_channels // groups,
        out_channels=out_channels,
        groups=groups if groups > 1 else None,
        conv_depth=conv_depth,
        depth=relative_depth(conv_depth, levels),
        depth_decile=depth_decile(conv_depth, levels),
    )


def _span(row: Row, n_stored: int) -> tuple[int, int]:
    """Where a layer's filters begin, and how many there are: `filter_ids` names the first and the last."""
    match = FILTER_IDS.fullmatch(str(row["filter_ids"]))
    first, last = map(int, match.groups()) if match else (0, -1)
    if not first <= last < n_stored:
        raise SourceError(f"/meta: filter_ids {row['filter_ids']!r} is no range first:last within {n_stored:,} filters")
    return first, last - first + 1


def _other_kernels(row: Row) -> list[str]:
    kernels = []
    for column, count in row.items():
        match = KERNEL_COLUMN.fullmatch(column)
        if match and match.groups() != ("3", "3") and (number(count) or 0) > 0:
            kernels.append("x".join(match.groups()))
    return kernels

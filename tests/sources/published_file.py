"""Files in the layout of the paper's published dataset, made up for tests."""

import pickle
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

INDEX = ("model_id", "conv_depth", "conv_depth_norm", "layer_id")
FACTS = ("Network", "Backbone", "Training-Dataset", "Robust", "Clean Accuracy", "Robust Accuracy", "Paper")


@dataclass
class Row:
    """A layer of a made-up file, two filters in size unless told otherwise."""

    model_id: int = 0
    layer_id: int = 0
    conv_depth: int = 0
    conv_depth_norm: float = 0.0
    in_channels: int = 1
    out_channels: int = 2
    n_filters: int = 2
    model: object = "net"
    facts: dict[str, object] = field(default_factory=dict)


def write_file(path: Path, rows: list[Row], filters: np.ndarray | None = None, **filter_options: object) -> np.ndarray:
    """Writes `rows` and their filters, one layer after the other; returns the filters."""
    if filters is None:
        filters = np.random.default_rng(0).standard_normal((sum(row.n_filters for row in rows), 3, 3))
    with h5py.File(path, "w") as file:
        file.create_dataset("filters", data=filters, **filter_options)
        write_meta(file, rows)
    return filters


def write_meta(file: h5py.File, rows: list[Row]) -> None:
    ends = np.cumsum([row.n_filters for row in rows])
    texts = {"model": [row.model for row in rows]}
    texts["filter_ids"] = [f"{end - row.n_filters}:{end - 1}" for end, row in zip(ends, rows, strict=True)]
    texts |= {name: [row.facts.get(name, np.nan) for row in rows] for name in FACTS}
    numbers = {name: [getattr(row, name) for row in rows] for name in ("in_channels", "out_channels")}
    numbers["(1, 1) filters"] = [row.facts.get("(1, 1) filters", np.nan) for row in rows]
    write_frame(file, "meta", rows, numbers, texts)


def write_frame(
    file: h5py.File, name: str, rows: list[Row], numbers: dict[str, list], texts: dict[str, list] | None = None
) -> None:
    """A table as pandas writes it to an HDFStore in fixed format: blocks of equal type, transposed."""
    table = file.create_group(name)
    table.attrs["encoding"] = np.bytes_("UTF-8")
    for level, key in enumerate(INDEX):
        values, places = np.unique([getattr(row, key) for row in rows], return_inverse=True)
        table.create_dataset(f"axis1_level{level}", data=values).attrs["name"] = np.bytes_(key)
        table[f"axis1_label{level}"] = places.astype(np.int16)
    blocks = [numbers] if texts is None else [numbers, texts]
    table.attrs["nblocks"], table.attrs["axis1_nlevels"] = len(blocks), len(INDEX)
    for block, columns in enumerate(blocks):
        table[f"block{block}_items"] = np.array([column.encode() for column in columns])
        values = np.array(list(columns.values()), dtype=object if block else float).T
        stored = (
            write_objects(table, f"block{block}_values", values)
            if block
            else table.create_dataset(f"block{block}_values", data=values)
        )
        stored.attrs["transposed"] = np.uint8(1)


def write_objects(table: h5py.Group, name: str, values: object) -> h5py.Dataset:
    """What PyTables makes of an array of objects: one row of bytes, a pickle."""
    stored = table.create_dataset(name, (1,), h5py.vlen_dtype(np.uint8))
    stored[0] = np.frombuffer(values if isinstance(values, bytes) else pickle.dumps(values), dtype=np.uint8)
    return stored


def network_rows(
    model_id: int, model: str, depths: Iterable[int] = (0, 1), last: int = 1, **facts: object
) -> list[Row]:
    """The rows of one network with layers of these depths, `last` being the deepest of all its convolutions."""
    return [
        Row(model_id, layer_id, depth, depth / last if last else 0.0, model=model, facts=facts)
        for layer_id, depth in enumerate(depths)
    ]

"""Networks as rows: the Arrow tables that the writer puts into Parquet."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime

import numpy as np
import pyarrow as pa

from filterdb import __version__
from filterdb.analysis import LayerSummary, Moments
from filterdb.lake import schema
from filterdb.network import Facts, Layer, Network

ROW_GROUP_ROWS = 262_144
SMALL_ROW_GROUP_ROWS = 65_536
TRANSPOSED_ROWS = 8_192
CONSTANTS = ("dataset", "model")


def filters_schema() -> pa.Schema:
    """The schema of `filters` as written: what is constant in a file as a dictionary of one value."""
    declared = schema.table("filters").arrow
    for name in CONSTANTS:
        index = declared.get_field_index(name)
        constant = pa.dictionary(pa.int8(), pa.string())
        declared = declared.set(index, declared.field(index).with_type(constant))
    return declared


def filter_tables(
    facts: Facts, index: int, layer: Layer, filters: np.ndarray, summary: LayerSummary
) -> Iterator[pa.Table]:
    """The rows of one layer, in tables of at most ROW_GROUP_ROWS."""
    for start in range(0, len(filters), ROW_GROUP_ROWS):
        yield _filter_table(facts, index, layer, filters, summary, slice(start, start + ROW_GROUP_ROWS))


def row_groups(tables: Iterable[tuple[int | None, pa.Table]]) -> Iterator[pa.Table]:
    """Tables of (decile, rows) put together into row groups.

    A row group holds whole layers or a part of one, and a new decile begins a new one unless the
    last is small; so a layer or a decile can be read with little beside it.
    """
    pending: list[pa.Table] = []
    rows, last_decile = 0, None
    for decile, table in tables:
        full = rows + table.num_rows > ROW_GROUP_ROWS
        if pending and (full or (decile != last_decile and rows >= SMALL_ROW_GROUP_ROWS)):
            yield pa.concat_tables(pending)
            pending, rows = [], 0
        pending.append(table)
        rows, last_decile = rows + table.num_rows, decile
    if pending:
        yield pa.concat_tables(pending)


def layer_row(
    model: str, ingest_id: str, index: int, first_row: int, layer: Layer, summary: LayerSummary
) -> dict[str, object]:
    """The row of `layers` for one layer."""
    return {
        "ingest_id": ingest_id,
        "model": model,
        "layer": index,
        "first_row": first_row,
        **{name: getattr(layer, name) for name in LAYER_FACTS},
        "n_filters": summary.n_filters,
        "max_abs": summary.max_abs,
        "n_sparse": summary.n_sparse,
        "sparsity": null_if_nan(summary.sparsity),
        "variance_entropy": null_if_nan(summary.variance_entropy),
        "variance_entropy_scaled": null_if_nan(summary.variance_entropy_scaled),
        "orthogonality": null_if_nan(summary.orthogonality),
        **_moment_columns("raw", summary.raw_moments),
        **_moment_columns("scaled", summary.scaled_moments),
    }


LAYER_FACTS = (
    "name",
    "in_channels",
    "out_channels",
    "groups",
    "stride",
    "dilation",
    "conv_depth",
    "depth",
    "depth_decile",
)


def model_row(network: Network, ingest_id: str, weights_sha256: str, ingested_at: datetime) -> dict[str, object]:
    """The row of `models` for one network."""
    return {
        **asdict(network.facts),
        "ingest_id": ingest_id,
        "weights_sha256": weights_sha256,
        "n_layers": len(network.layers),
        "n_filters": network.n_filters,
        "ingested_at": ingested_at,
        "filterdb_version": __version__,
    }


def skip_rows(network: Network, ingest_id: str) -> list[dict[str, object]]:
    """The rows of `skips` for one network."""
    return [{"ingest_id": ingest_id, "model": network.facts.model, **asdict(skip)} for skip in network.skips]


def null_if_nan(value: float) -> float | None:
    """`value`, or None where it is not defined."""
    return None if np.isnan(value) else float(value)


def _filter_table(
    facts: Facts, index: int, layer: Layer, filters: np.ndarray, summary: LayerSummary, part: slice
) -> pa.Table:
    chunk = filters[part]
    out_channel, in_channel = _channels(layer, part, len(chunk))
    columns = {
        "dataset": _text(facts.dataset, len(chunk)),
        "robust": pa.repeat(pa.scalar(facts.robust, pa.bool_()), len(chunk)),
        "model": _text(facts.model, len(chunk)),
        "layer": _repeat(index, len(chunk), pa.int32()),
        "conv_depth": _repeat(layer.conv_depth, len(chunk), pa.int32()),
        "depth_decile": _repeat(layer.depth_decile, len(chunk), pa.int8()),
        "out_channel": out_channel,
        "in_channel": in_channel,
        "sparse": summary.sparse[part],
        "max_abs": summary.filter_max_abs[part],
        **{f"w{i}": weights for i, weights in enumerate(_by_weight(chunk))},
    }
    return pa.Table.from_pydict(columns, schema=filters_schema())


def _by_weight(chunk: np.ndarray) -> np.ndarray:
    """Filters (n, 9) as columns (9, n); by blocks, which stay in the cache."""
    columns = np.empty(chunk.shape[::-1], chunk.dtype)
    for start in range(0, len(chunk), TRANSPOSED_ROWS):
        block = slice(start, start + TRANSPOSED_ROWS)
        columns[:, block] = chunk[block].T
    return columns


def _channels(layer: Layer, part: slice, rows: int) -> tuple[pa.Array, pa.Array]:
    if layer.channels is not None:
        out_channel, in_channel = (channel[part] for channel in layer.channels)
    elif layer.in_channels is not None:
        number = np.arange(part.start, part.start + rows, dtype=np.int32)
        out_channel = number // np.int32(layer.in_channels)
        in_channel = number - out_channel * np.int32(layer.in_channels)
    else:
        return pa.nulls(rows, pa.int32()), pa.nulls(rows, pa.int32())
    return pa.array(out_channel, pa.int32()), pa.array(in_channel, pa.int32())


def _text(value: str | None, rows: int) -> pa.DictionaryArray:
    index = None if value is None else 0
    return pa.DictionaryArray.from_arrays(_repeat(index, rows, pa.int8()), pa.array([value or ""], pa.string()))


def _repeat(value: int | None, rows: int, kind: pa.DataType) -> pa.Array:
    return pa.nulls(rows, kind) if value is None else pa.array(np.full(rows, value, kind.to_pandas_dtype()))


def _moment_columns(prefix: str, moments: Moments) -> dict[str, float]:
    names = [f"{prefix}_{name}" for name in schema.MOMENT_NAMES]
    return dict(zip(names, moments.to_vector().tolist(), strict=True))

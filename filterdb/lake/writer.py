"""Bringing networks into a lake: one file of filters and a few rows each, visible all at once or not at all."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from filterdb.analysis import LayerSummary, summarize_layer
from filterdb.errors import FilterdbError, SourceError, UsageError
from filterdb.lake import rows, schema
from filterdb.lake.commits import DataFile
from filterdb.lake.files import new_parquet, write_parquet
from filterdb.lake.lake import Commit, Lake
from filterdb.lake.names import filters_path
from filterdb.network import Layer, Network
from filterdb.parallel import ordered_map

Progress = Callable[[int], None]


class Outcome(StrEnum):
    """What became of a network."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    REPLACED = "replaced"


class AlreadyThere(FilterdbError):
    """Another writer committed the same network first."""


def write_network(
    lake: Lake,
    network: Network,
    *,
    replace: bool = False,
    threads: int = 2,
    progress: Progress = lambda rows: None,
) -> Outcome:
    """Bring `network` into `lake`; `progress` is called with numbers of filters as they are written.

    A network whose id and weights are already there is left as it is. Other weights under the same
    id are refused unless `replace`. Killed at any moment, nothing is visible before the last step.
    """
    if not network.layers:
        raise SourceError(f"{network.facts.model}: nothing to ingest, the network has no 3×3 convolution")
    lake.filters.refresh()
    present = lake.find(network.facts.model)
    if present is not None and not replace:
        return _unchanged(lake, present, network)
    ingest_id = uuid4().hex
    file, layer_rows, sha256 = _write_filters(lake.root / "filters", network, ingest_id, threads, progress)
    model_row = rows.model_row(network, ingest_id, sha256, datetime.now(UTC).replace(tzinfo=None))
    try:
        _append(lake, "layers", layer_rows, ingest_id)
        _append(lake, "skips", rows.skip_rows(network, ingest_id), ingest_id)
        _append(lake, "models", [model_row], ingest_id)
    except BaseException:
        (lake.directory / "filters" / file.path).unlink(missing_ok=True)
        raise
    try:
        _commit(lake, file, network, ingest_id, present)
    except AlreadyThere:
        (lake.directory / "filters" / file.path).unlink(missing_ok=True)
        return write_network(lake, network, replace=replace, threads=threads, progress=progress)
    return Outcome.WRITTEN if present is None else Outcome.REPLACED


def write_pairs(lake: Lake, pairs: Sequence[dict[str, object]]) -> None:
    """Record which normal network is the counterpart of which robust one (table `pairs`); known pairs stay."""
    files = lake.files("pairs")
    lake.bring(files)
    known = pa.concat_tables(map(pq.read_table, files)).to_pylist() if files else []
    _append(lake, "pairs", [pair for pair in pairs if pair not in known], uuid4().hex)


def write_failures(lake: Lake, failures: Sequence[tuple[str, str]]) -> None:
    """Record networks, by id, that could not be brought in, and why; a row shows until its network is there."""
    records = [{"ingest_id": None, "model": m, "layer": None, "kernel": None, "reason": r} for m, r in failures]
    _append(lake, "skips", records, uuid4().hex)


def weights_sha256(network: Network) -> str:
    """SHA-256 over the SHA-256 of each layer's float32 filters, in order."""
    digests = (hashlib.sha256(_read(network, layer)).digest() for layer in network.layers)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _unchanged(lake: Lake, present: Commit, network: Network) -> Outcome:
    if lake.weights_sha256(present) != weights_sha256(network):
        raise UsageError(
            f"{network.facts.model} is in the lake with other weights: choose another --name, or --replace it"
        )
    return Outcome.UNCHANGED


def _commit(lake: Lake, file: DataFile, network: Network, ingest_id: str, present: Commit | None) -> None:
    model = network.facts.model

    def still_as_before() -> None:
        if lake.find(model) != present:
            raise AlreadyThere(model)

    replaced = [] if present is None else [present.file.relative_to(lake.filters.directory.resolve()).as_posix()]
    note = {"model": model, "ingest_id": ingest_id}
    lake.filters.commit(schema.table("filters").arrow, [file], remove=replaced, note=note, check=still_as_before)


def _append(lake: Lake, name: str, records: list[dict[str, object]], ingest_id: str) -> None:
    if not records:
        return
    table = pa.Table.from_pylist(records, schema=schema.table(name).arrow)
    file = write_parquet(lake.root / name, f"part-{ingest_id}.parquet", [table], table.schema)
    lake.log(name).commit(table.schema, [file], note={"ingest_id": ingest_id})


def _write_filters(
    root: Path, network: Network, ingest_id: str, threads: int, progress: Progress
) -> tuple[DataFile, list[dict[str, object]], str]:
    facts = network.facts
    path = filters_path(facts.dataset, facts.robust, facts.model, ingest_id)
    digest = hashlib.sha256()
    layer_rows: list[dict[str, object]] = []

    def tables() -> Iterator[tuple[int | None, pa.Table]]:
        first_row = 0
        for index, (layer, filters, summary, sha256) in enumerate(_summarized(network, threads)):
            digest.update(sha256)
            layer_rows.append(rows.layer_row(facts.model, ingest_id, index, first_row, layer, summary))
            first_row += len(filters)
            for table in rows.filter_tables(facts, index, layer, filters, summary):
                yield layer.depth_decile, table

    with new_parquet(root, path, rows.filters_schema()) as (sink, finished):
        for table in rows.row_groups(tables()):
            sink.write(table)
            progress(table.num_rows)
    return finished[0], layer_rows, digest.hexdigest()


def _summarized(network: Network, threads: int) -> Iterator[tuple[Layer, np.ndarray, LayerSummary, bytes]]:
    """Layers with their filters, summaries and SHA-256, in order, computed `threads` ahead, each on one thread."""

    def work(layer: Layer) -> tuple[Layer, np.ndarray, LayerSummary, bytes]:
        filters = _read(network, layer)
        summary = summarize_layer(filters, layer.out_channels, layer.groups or 1)
        return layer, filters, summary, hashlib.sha256(filters).digest()

    with threadpool_limits(1, "blas"):
        yield from ordered_map(work, network.layers, threads)


def _read(network: Network, layer: Layer) -> np.ndarray:
    filters = np.ascontiguousarray(layer.read(), dtype=np.float32)
    if filters.shape != (layer.n_filters, 9):
        raise SourceError(
            f"{network.facts.model}, layer {layer.name}: read() gave {filters.shape}, not ({layer.n_filters}, 9)"
        )
    return filters

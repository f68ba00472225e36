"""Target 5: from tensors in memory to committed Parquet, beside np.save and fsync of the same tensors."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench import make_paper_lake
from bench.measure import Finding, Setting, alone, in_turn, millions, ratio
from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_network
from filterdb.network import Network

WRN_34_10, WRN_70_16 = 5_097_008, 29_560_880
WIDE = 2048
GOAL = 1.3


def measure(setting: Setting) -> Iterator[Finding]:
    for n_filters in (WRN_34_10, WRN_70_16) if setting.is_paper else (WRN_34_10,):
        network = make_paper_lake.in_memory(_of_size(n_filters))
        yield from _speed(network, setting)
    yield _memory(setting)


def _of_size(n_filters: int) -> Network:
    """The first network of the paper with exactly so many filters."""
    model = next(model for model in make_paper_lake.paper_plan() if model["n_filters"] == n_filters)
    return make_paper_lake.network_of(model)


def _speed(network: Network, setting: Setting) -> Iterator[Finding]:
    bare = replace(network, layers=tuple(replace(layer, out_channels=None) for layer in network.layers))
    n, size = network.n_filters, f"{network.n_filters / 1e6:.1f} M in {len(network.layers)} layers"
    root = setting.folder / "ingested.lake"
    lake = Lake.create(root)
    whole, without, saved = in_turn(
        setting.runs,
        lambda: write_network(lake, network, replace=True, threads=2),
        lambda: write_network(lake, bare, replace=True, threads=2),
        lambda: _save(network, setting.folder / "saved.npy"),
    )
    shutil.rmtree(root)
    other = f"np.save + fsync: {millions(n, saved)}"
    times = ratio(whole, saved)
    yield Finding(
        5, f"ingestion, {size}", millions(n, whole), other, f"{times:.2f} × its time", "≤ 1.3 ×", times <= GOAL
    )
    yield Finding(
        5, "the same without orthogonality", millions(n, without), other, f"{ratio(without, saved):.2f} × its time"
    )


def _save(network: Network, path: Path) -> None:
    with path.open("wb") as file:
        for layer in network.layers:
            np.save(file, layer.read())
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def _memory(setting: Setting) -> Finding:
    """Of a network of three wide layers that lies in mapped files: what its ingestion holds beside them, at most."""
    found = alone("ingest_mapped", setting.folder, WIDE).result
    times = found["held"] / found["largest_layer"]
    figure = f"{found['held'] / 1e6:.0f} MB, a layer has {found['largest_layer'] / 1e6:.0f} MB"
    return Finding(5, "memory of ingestion, files mapped", figure, "", f"{times:.2f} layers", "≤ 2 layers", times <= 2)

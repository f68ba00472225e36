"""The networks of the published file, one after the other; filters are read layer by layer."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from filterdb.network import Layer, Network, Skip
from filterdb.sources.hdf5.container import opened
from filterdb.sources.hdf5.metadata import StoredLayer, StoredNetwork, filters, stored_networks
from filterdb.sources.hdf5.unpack import Progress, unpacked


def networks(path: str | Path, *, progress: Progress = lambda size: None) -> Iterator[Network]:
    """The networks of the file at `path` (`.h5`, or `.h5.xz`, which is unpacked first: see `unpacked`).

    Facts come from the columns of `/meta`, and what it leaves empty is unknown. Its filters are ONNX weights,
    BatchNorm multiplied in, hence `weights` is "bn_folded"; the file holds no others, so ids do not say so.
    Layers are ordered by depth, then by `layer_id`; they have no names. Kernels other than 3×3 count in depth,
    are not in the file, and become skips. Memory: a few MB, and one layer while it is read.
    Raises SourceError for a file that is damaged or of another layout.
    """
    path = unpacked(path, progress)
    with opened(path) as file:
        stored = stored_networks(file)
    for network in stored:
        yield _network(path, network)


def _network(path: Path, stored: StoredNetwork) -> Network:
    return Network(
        facts=stored.facts,
        layers=tuple(_layer(path, layer) for layer in stored.layers),
        skips=tuple(Skip(None, kernel, f"kernel {kernel}") for kernel in stored.other_kernels),
    )


def _layer(path: Path, stored: StoredLayer) -> Layer:
    return Layer(
        name=None,
        n_filters=stored.n_filters,
        read=partial(_read, path, stored.first, stored.n_filters),
        in_channels=stored.in_channels,
        out_channels=stored.out_channels,
        groups=stored.groups,
        conv_depth=stored.conv_depth,
        depth=stored.depth,
        depth_decile=stored.depth_decile,
    )


def _read(path: Path, first: int, n_filters: int) -> np.ndarray:
    """(n_filters, 9) float32; HDF5 converts while it reads, so nothing wider is held."""
    with opened(path) as file:
        stored = filters(file)
        layer = np.empty((n_filters, *stored.shape[1:]), dtype=np.float32)
        stored.read_direct(layer, np.s_[first : first + n_filters])
    return layer.reshape(n_filters, 9)

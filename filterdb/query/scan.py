"""Passes over whole layers: DuckDB says where their rows lie, a compiled kernel does the arithmetic.

One row group per thread at a time; memory does not grow with the number of filters.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from filterdb.analysis import PCA, Moments, kernels
from filterdb.parallel import ordered_map

WEIGHTS = [f"w{i}" for i in range(9)]
Result = TypeVar("Result")
Group = tuple


@dataclass(frozen=True)
class Place:
    """The rows of one layer in one file, and the group they count for."""

    group: Group
    file: str
    first_row: int
    n_rows: int


@dataclass(frozen=True)
class Block:
    """Rows of one row group: nine columns of weights, the largest magnitude of each filter, the sparse ones."""

    columns: list[np.ndarray]
    maxima: np.ndarray
    sparse: np.ndarray

    def part(self, start: int, stop: int) -> "Block":
        return Block([column[start:stop] for column in self.columns], self.maxima[start:stop], self.sparse[start:stop])


def moments(places: Iterable[Place], threads: int, *, scaled: bool = True) -> dict[Group, Moments]:
    """Second moments of the non-sparse filters of each group."""

    def work(block: Block) -> Moments:
        return kernels.column_moments(block.columns, maxima=block.maxima, sparse=block.sparse, scaled=scaled)

    return _reduce(places, threads, work, Moments.merge)


def histograms(
    places: Iterable[Place], basis: PCA, value_range: tuple[float, float], bins: int, threads: int
) -> dict[Group, np.ndarray]:
    """Histograms (9, bins) of the coefficients of the non-sparse filters of each group."""

    def work(block: Block) -> np.ndarray:
        return kernels.column_histogram(
            block.columns, basis, value_range, bins, maxima=block.maxima, sparse=block.sparse
        )

    return _reduce(places, threads, work, np.add)


@dataclass(frozen=True)
class _Job:
    """One row group to read, and which of its rows count for which group."""

    file: str
    metadata: pq.FileMetaData
    row_group: int
    parts: list[tuple[Group, int, int]]

    def read(self) -> Block:
        file = pq.ParquetFile(self.file, metadata=self.metadata, memory_map=True)
        table = file.read_row_group(self.row_group, columns=[*WEIGHTS, "max_abs", "sparse"], use_threads=False)
        arrays = [pa.concat_arrays(column.chunks).to_numpy(zero_copy_only=False) for column in table.columns]
        return Block(arrays[:9], arrays[9], arrays[10])


def _reduce(
    places: Iterable[Place],
    threads: int,
    work: Callable[[Block], Result],
    merge: Callable[[Result, Result], Result],
) -> dict[Group, Result]:
    def task(job: _Job) -> list[tuple[Group, Result]]:
        block = job.read()
        return [(group, work(block.part(start, stop))) for group, start, stop in job.parts]

    results: dict[Group, Result] = {}
    for partial in ordered_map(task, _jobs(places), threads):
        for group, result in partial:
            results[group] = merge(results[group], result) if group in results else result
    return results


def _jobs(places: Iterable[Place]) -> Iterator[_Job]:
    for file, in_file in groupby(sorted(places, key=attrgetter("file", "first_row")), attrgetter("file")):
        metadata = pq.read_metadata(file, memory_map=True)
        layers = list(in_file)
        stop = 0
        for row_group in range(metadata.num_row_groups):
            start, stop = stop, stop + metadata.row_group(row_group).num_rows
            parts = _joined(_overlaps(layers, start, stop))
            if parts:
                yield _Job(file, metadata, row_group, parts)


def _overlaps(layers: list[Place], start: int, stop: int) -> Iterator[tuple[Group, int, int]]:
    for layer in layers:
        first, last = max(layer.first_row, start), min(layer.first_row + layer.n_rows, stop)
        if first < last:
            yield layer.group, first - start, last - start


def _joined(parts: Iterable[tuple[Group, int, int]]) -> list[tuple[Group, int, int]]:
    """Neighbouring parts of the same group as one."""
    joined: list[tuple[Group, int, int]] = []
    for group, start, stop in parts:
        if joined and joined[-1][0] == group and joined[-1][2] == start:
            joined[-1] = (group, joined[-1][1], stop)
        else:
            joined.append((group, start, stop))
    return joined

"""Passes over filters: DuckDB says which rows, a compiled kernel does the arithmetic on Arrow's buffers.

One row group per thread at a time; memory does not grow with the number of filters.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
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
FEW = 1 / 4
"""The share of rows up to which it is quicker to take those that count than to leave the others out."""
Kept = Callable[[str, int], np.ndarray]
"""From a file and its number of rows, which of these count: (rows,) bool."""


@dataclass(frozen=True)
class Place:
    """The rows of one layer in one file, and the group they count for; all rows, or those that `kept` names."""

    group: Group
    file: str
    first_row: int
    n_rows: int
    kept: Kept | None = None


@dataclass(frozen=True)
class Block:
    """Filters: nine columns of weights, the largest magnitude of each, those to leave out."""

    columns: list[np.ndarray]
    maxima: np.ndarray
    left_out: np.ndarray

    def taken(self, rows: slice | np.ndarray) -> "Block":
        return Block([column[rows] for column in self.columns], self.maxima[rows], self.left_out[rows])


def moments(places: Sequence[Place], threads: int, *, scaled: bool = True) -> dict[Group, Moments]:
    """Second moments of the non-sparse filters of each group."""

    def work(block: Block) -> Moments:
        return kernels.column_moments(block.columns, maxima=block.maxima, sparse=block.left_out, scaled=scaled)

    return _reduce(places, threads, work, Moments.merge)


def histograms(
    places: Sequence[Place], basis: PCA, value_range: tuple[float, float], bins: int, threads: int
) -> dict[Group, np.ndarray]:
    """Histograms (9, bins) of the coefficients of the non-sparse filters of each group."""

    def work(block: Block) -> np.ndarray:
        return kernels.column_histogram(
            block.columns, basis, value_range, bins, maxima=block.maxima, sparse=block.left_out
        )

    return _reduce(places, threads, work, np.add)


@dataclass(frozen=True)
class _Part:
    """Neighbouring rows of one row group that count for one group; all, or those that `kept` (rows,) marks."""

    group: Group
    start: int
    stop: int
    kept: np.ndarray | None

    def of(self, block: Block) -> Block:
        if self.kept is not None and np.count_nonzero(self.kept) < FEW * len(self.kept):
            return block.taken(self.start + np.flatnonzero(self.kept))
        rows = block.taken(slice(self.start, self.stop))
        return rows if self.kept is None else replace(rows, left_out=rows.left_out | ~self.kept)


@dataclass(frozen=True)
class _Job:
    """One row group to read, and its parts that count."""

    file: str
    metadata: pq.FileMetaData
    row_group: int
    parts: list[_Part]

    def read(self) -> Block:
        file = pq.ParquetFile(self.file, metadata=self.metadata, memory_map=True)
        table = file.read_row_group(self.row_group, columns=[*WEIGHTS, "max_abs", "sparse"], use_threads=False)
        arrays = [_array(column) for column in table.columns]
        return Block(arrays[:9], arrays[9], arrays[10])


def _array(column: pa.ChunkedArray) -> np.ndarray:
    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return whole.to_numpy(zero_copy_only=False)


def _reduce(
    places: Sequence[Place],
    threads: int,
    work: Callable[[Block], Result],
    merge: Callable[[Result, Result], Result],
) -> dict[Group, Result]:
    def task(job: _Job) -> list[tuple[Group, Result]]:
        block = job.read()
        return [(part.group, work(part.of(block))) for part in job.parts]

    kernels.expect(sum(place.n_rows for place in places))
    results: dict[Group, Result] = {}
    for partial in ordered_map(task, _jobs(places), threads):
        for group, result in partial:
            results[group] = merge(results[group], result) if group in results else result
    return results


def _jobs(places: Iterable[Place]) -> Iterator[_Job]:
    for file, in_file in groupby(sorted(places, key=attrgetter("file", "first_row")), attrgetter("file")):
        metadata = pq.read_metadata(file, memory_map=True)
        runs = list(_runs(in_file))
        marks = {kept: kept(file, metadata.num_rows) for kept in {run.kept for run in runs} if kept}
        stop = 0
        for row_group in range(metadata.num_row_groups):
            start, stop = stop, stop + metadata.row_group(row_group).num_rows
            parts = [part for run in runs if (part := _part(run, start, stop, marks.get(run.kept)))]
            if parts:
                yield _Job(file, metadata, row_group, parts)


def _runs(places: Iterable[Place]) -> Iterator[Place]:
    """Places of one file, in order of their rows; neighbours that count alike as one."""
    last: dict[tuple[Group, Kept | None], Place] = {}
    for place in places:
        key = (place.group, place.kept)
        run = last.get(key)
        if run and run.first_row + run.n_rows == place.first_row:
            last[key] = replace(run, n_rows=run.n_rows + place.n_rows)
        else:
            yield from [run] if run else []
            last[key] = place
    yield from last.values()


def _part(run: Place, start: int, stop: int, marks: np.ndarray | None) -> _Part | None:
    """What a row group of the rows from `start` to `stop` holds of a run, if anything."""
    first, last = max(run.first_row, start), min(run.first_row + run.n_rows, stop)
    kept = None if marks is None else marks[first:last]
    if first >= last or (kept is not None and not kept.any()):
        return None
    return _Part(run.group, first - start, last - start, kept)

"""Parquet files of a lake: their names, their settings, and how they come to be whole or not at all."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from filterdb.lake.commits import DataFile

FLOATS = frozenset({"max_abs", *(f"w{i}" for i in range(9))})
RUNS = frozenset({"in_channel"})


class ParquetSink:
    """A Parquet file being written; each `write` of a table becomes one row group."""

    def __init__(self, stream: "HashingFile", schema: pa.Schema) -> None:
        names = schema.names
        self._writer = pq.ParquetWriter(
            stream,
            schema,
            use_dictionary=[n for n in names if n not in FLOATS | RUNS],
            column_encoding={n: "DELTA_BINARY_PACKED" if n in RUNS else "PLAIN" for n in names if n in FLOATS | RUNS},
            compression={n: "NONE" if n in FLOATS else "ZSTD" for n in names},
            write_page_index=True,
            write_statistics=True,
            store_schema=False,
        )
        self.rows = 0

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self.rows += table.num_rows

    def close(self) -> None:
        self._writer.close()


class HashingFile:
    """A binary file that computes the SHA-256 of what is written to it."""

    closed = False

    def __init__(self, file) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data) -> int:
        self._hash.update(data)
        self._file.write(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


@contextmanager
def new_parquet(root: Path, path: str, schema: pa.Schema) -> Iterator[tuple[ParquetSink, list[DataFile]]]:
    """Write `root/path` through a temporary file: fsynced and renamed at the end, removed on any failure.

    Yields the sink and a list that holds the finished DataFile once the block has ended.
    """
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    finished: list[DataFile] = []
    try:
        with temporary.open("wb") as file:
            stream = HashingFile(file)
            with closing(ParquetSink(pa.PythonFile(stream, "w"), schema)) as sink:
                yield sink, finished
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target)
        _sync_directory(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finished.append(DataFile(path, stream.size, sink.rows, stream.hexdigest()))


def write_parquet(root: Path, path: str, tables: Iterable[pa.Table], schema: pa.Schema) -> DataFile:
    """Write `tables`, one row group each, as the file `root/path`."""
    with new_parquet(root, path, schema) as (sink, finished):
        for table in tables:
            sink.write(table)
    return finished[0]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

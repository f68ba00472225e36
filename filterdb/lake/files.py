"""Parquet files of a lake: their names, their settings, and how they come to be whole or not at all."""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from filterdb.errors import IntegrityError
from filterdb.lake.commits import DataFile

FLOATS = frozenset({"max_abs", *(f"w{i}" for i in range(9))})
PAGE_ROWS = 1 << 18
ENCODED_ROWS = 1 << 16
SYNC_BYTES = 1 << 26
MAX_UNWRITTEN = 16


class ParquetSink:
    """A Parquet file being written; each `write` of a table becomes one row group.

    Only text has a dictionary: weights would grow by half with one, and numbers that repeat take no
    more space and less time where zstd sees the repetition.
    """

    def __init__(self, stream: "HashingFile", schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(
            pa.PythonFile(stream, "w"),
            schema,
            use_dictionary=[field.name for field in schema if not pa.types.is_primitive(field.type)],
            compression={name: "NONE" if name in FLOATS else "ZSTD" for name in schema.names},
            max_rows_per_page=PAGE_ROWS,
            write_batch_size=ENCODED_ROWS,
            write_page_index=True,
            write_statistics=True,
            store_schema=False,
        )
        self._metadata = schema.metadata or {}
        self.rows = 0

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self.rows += table.num_rows

    def close(self) -> None:
        self._writer.add_key_value_metadata(self._metadata)
        self._writer.close()


class HashingFile:
    """A file that a thread of its own writes, hashes (SHA-256) and brings to the disk.

    It is synced every SYNC_BYTES, so that little is left for the last sync. At most MAX_UNWRITTEN pieces
    wait for the thread; what goes wrong there is raised by a later `write` or by `finish`.
    """

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self.size = 0
        self._file = file
        self._hash = hashlib.sha256()
        self._synced = 0
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._unwritten: deque[Future[None]] = deque()

    def write(self, data: bytes) -> int:
        self._unwritten.append(self._thread.submit(self._put, data))
        self._wait(MAX_UNWRITTEN)
        return len(data)

    def flush(self) -> None:
        self._wait(0)

    def finish(self) -> str:
        """Bring the rest to the disk; the SHA-256 of everything written."""
        self._wait(0)
        self._sync()
        return self._hash.hexdigest()

    def _wait(self, left: int) -> None:
        while len(self._unwritten) > left:
            self._unwritten.popleft().result()

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)
        self.size += len(data)
        if self.size - self._synced > SYNC_BYTES:
            self._sync()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced = self.size

    def __enter__(self) -> "HashingFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.shutdown(cancel_futures=True)


@contextmanager
def new_parquet(root: Path, path: str, schema: pa.Schema) -> Iterator[tuple[ParquetSink, list[DataFile]]]:
    """Write `root/path` through a temporary file: fsynced and renamed at the end, removed on any failure.

    Yields the sink and a list that holds the finished DataFile once the block has ended. IntegrityError where a link
    below `root` leads elsewhere.
    """
    target = root / path
    _refuse_links(root, target.parent)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    finished: list[DataFile] = []
    try:
        with temporary.open("wb") as file, HashingFile(file) as stream:
            with closing(ParquetSink(stream, schema)) as sink:
                yield sink, finished
            sha256 = stream.finish()
        temporary.rename(target)
        _sync_directory(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finished.append(DataFile(path, stream.size, sink.rows, sha256))


def write_parquet(root: Path, path: str, tables: Iterable[pa.Table], schema: pa.Schema) -> DataFile:
    """Write `tables`, one row group each, as the file `root/path`."""
    with new_parquet(root, path, schema) as (sink, finished):
        for table in tables:
            sink.write(table)
    return finished[0]


def _refuse_links(root: Path, folder: Path) -> None:
    while folder != root:
        if folder.is_symlink():
            raise IntegrityError(f"{folder} is a symbolic link, which a lake has none of: refused")
        folder = folder.parent


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

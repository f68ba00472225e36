"""Few files instead of many for the small tables: an ingestion adds one per network, a question opens all of them.

The rows stay the same and so does every answer, at every version. The old files stay until vacuum.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from filterdb.errors import FilterdbError
from filterdb.lake import schema
from filterdb.lake.files import write_parquet
from filterdb.lake.lake import Lake
from filterdb.lake.log import StoredFile

SMALL_TABLES = tuple(name for name in schema.TABLES if name != "filters")
TARGET = 64 * 2**20  # bytes of a compacted file, and so, a few times over, of memory
MANY = 8  # files, from which on an ingestion compacts by itself
ORDER = ("model", "ingest_id", "layer")


class Overtaken(FilterdbError):
    """Another process compacted the same files first."""


def compact(lake: Lake, *, at_least: int = 2) -> dict[str, tuple[int, int]]:
    """Merge the files of small tables that have `at_least` so many; files before and after, by table.

    Rows that others append meanwhile are kept, and so are those of networks that only older versions
    show. Raises IntegrityError rather than carry damage on. Cost: reading and writing the small tables.
    """
    done = {}
    for name in SMALL_TABLES:
        lake.log(name).refresh()
        before = len(lake.log(name).files())
        if before >= at_least:
            for group in _groups(lake.log(name).stored()):
                _merge(lake, name, group)
        done[name] = (before, len(lake.log(name).files()))
    return done


def _groups(files: Sequence[StoredFile]) -> Iterator[list[Path]]:
    """Files to be merged with each other: small ones, together up to TARGET."""
    group: list[Path] = []
    size = 0
    for file in sorted((file for file in files if file.size < TARGET), key=lambda file: file.size):
        if group and size + file.size > TARGET:
            yield group
            group, size = [], 0
        group.append(file.path)
        size += file.size
    if len(group) > 1:
        yield group


def _merge(lake: Lake, name: str, files: list[Path]) -> None:
    lake.bring(files)
    declared = schema.table(name).arrow
    rows = pa.concat_tables(pq.read_table(file, partitioning=None).cast(declared) for file in files)
    table = rows.sort_by([(column, "ascending") for column in ORDER if column in declared.names])
    log = lake.log(name)
    file = write_parquet(log.directory, f"part-{uuid4().hex}.parquet", [table], declared)

    def still_there() -> None:
        if not set(files) <= set(log.files()):
            raise Overtaken(f"{name} was compacted by another process")

    removed = [path.relative_to(log.directory).as_posix() for path in files]
    try:
        log.commit(declared, [file], remove=removed, note={"compacted": len(files)}, check=still_there)
    except Overtaken:
        (log.directory / file.path).unlink()

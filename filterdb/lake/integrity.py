"""Is a committed file what was committed? Its place and size, asked at every reading; its content, asked once."""

import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filterdb.errors import FilterdbError, IntegrityError
from filterdb.lake import schema
from filterdb.lake.commits import DataFile
from filterdb.lake.seen import Seen
from filterdb.parallel import ordered_map

if TYPE_CHECKING:
    import pyarrow as pa

MUCH = 1_000_000_000  # bytes, from which on reading them is worth a word

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Damage:
    """What is wrong with one file of a lake: its path in the lake, the network it is of, if of one, and the problem."""

    file: str
    model: str | None
    problem: str

    def __str__(self) -> str:
        network = "" if self.model is None else f" (network {self.model})"
        return f"{self.file}{network}: {self.problem}"


def error(damage: Damage) -> IntegrityError:
    """What a reader is told of `damage`."""
    return IntegrityError(f"{damage}; filterdb verify lists all damage, verify --repair drops what is damaged")


def wrong_appearance(path: Path, size: int, folders: set[Path]) -> str | None:
    """What is wrong with a file by the looks of it: missing, behind a link, or of another size.

    `folders` are known to be folders, not links, like those above them; those of `path` are added.
    """
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    if stat.S_ISLNK(status.st_mode) or not _is_folder(path.parent, folders):
        return "is or lies behind a symbolic link, which a lake has none of: refused"
    if not stat.S_ISREG(status.st_mode):
        return "is no plain file"
    return None if status.st_size == size else f"has {status.st_size:,} bytes, committed were {size:,}"


def wrong_content(path: Path, committed: DataFile, table: str) -> str | None:
    """What is wrong with what a file holds: its bytes, its rows, its columns."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as cause:
        return f"cannot be read: {cause.strerror}"
    if found != committed.sha256:
        return f"its content was altered: SHA-256 {found[:12]}…, committed was {committed.sha256[:12]}…"
    return _wrong_parquet(path, committed.rows, table)


def ensure(
    directory: Path,
    paths: Iterable[Path],
    committed: Callable[[], Mapping[str, DataFile]],
    damaged: Callable[[Path, str], FilterdbError],
) -> None:
    """Raise what `damaged` makes of a file among `paths`, of the table in `directory`, whose content was altered.

    Only files that are not known to be as committed are read; `committed` is called if there are any.
    """
    seen = Seen(directory)
    unknown = [path for path in sorted(paths) if not seen.holds(path, path.lstat())]
    if not unknown:
        return
    _announce(unknown)
    expected = committed()

    def check(path: Path) -> tuple[Path, str | None]:
        return path, wrong_content(path, expected[path.relative_to(directory).as_posix()], directory.name)

    for path, problem in ordered_map(check, unknown, os.cpu_count() or 1):
        if problem is not None:
            raise damaged(path, problem)
        seen.add([path])


def _is_folder(path: Path, known: set[Path]) -> bool:
    if path not in known:
        if not stat.S_ISDIR(path.lstat().st_mode) or not _is_folder(path.parent, known):
            return False
        known.add(path)
    return True


def _announce(paths: list[Path]) -> None:
    size = sum(path.lstat().st_size for path in paths)
    if size > MUCH:
        _log.warning("comparing %d files (%.1f GB) with their checksums, which is done once", len(paths), size / 1e9)


def _wrong_parquet(path: Path, rows: int, table: str) -> str | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path)
        found = metadata.schema.to_arrow_schema()
    except (OSError, pa.ArrowException) as cause:
        return f"is no Parquet file: {cause}"
    if metadata.num_rows != rows:
        return f"has {metadata.num_rows:,} rows, committed were {rows:,}"
    return next(_wrong_columns(found, schema.table(table).arrow), None)


def _wrong_columns(found: "pa.Schema", declared: "pa.Schema") -> Iterator[str]:
    for field in declared:
        index = found.get_field_index(field.name)
        if index < 0:
            yield f"has no column {field.name}"
        elif found.field(index).type != field.type:
            yield f"its column {field.name} is {found.field(index).type}, not {field.type}"

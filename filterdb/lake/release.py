"""A published tree, open for reading: the files that its manifest names, and no other."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from filterdb.errors import IntegrityError, LakeError
from filterdb.lake import schema
from filterdb.lake.lake import Commit
from filterdb.lake.names import MANIFEST

LAKE_VERSION = b"filterdb.lake_version"
FORMAT_VERSION = b"filterdb.format_version"
SMALL_TABLES = tuple(name for name in schema.TABLES if name != "filters")


@dataclass(frozen=True)
class Entry:
    """One file of a tree: its path in it, size, rows (of Parquet), checksums, and the network it is of, if of one."""

    path: str
    bytes: int
    rows: int | None
    sha256: str
    md5: str
    model: str | None
    filterdb_version: str


class Release:
    """The published tree in the directory `root`: what `filterdb publish dir` wrote, read only.

    It has one version, that of the lake it was made from.
    """

    is_complete = True
    """Whether every file is in `root` already."""

    def __init__(self, root: Path, version: int | None = None) -> None:
        self.root = root.resolve()
        self.version, self.entries = read_manifest(self.root / MANIFEST)
        if version not in (None, self.version):
            raise LakeError(f"{root} is a published tree of version {self.version}; there is no version {version}")
        for name in SMALL_TABLES:
            if str(self.root / table_path(name)) not in self.by_path:
                raise IntegrityError(f"{root / MANIFEST}: does not name {table_path(name)}")

    @cached_property
    def filters(self) -> list[Entry]:
        """The files of filters."""
        return [entry for entry in self.entries if entry.model is not None]

    def commits(self) -> list[Commit]:
        """The networks, in order of their paths; each is its own write."""
        return [Commit(entry.model, entry.model, self.root / entry.path) for entry in self.filters]

    def files(self, name: str) -> list[Path]:
        """The files of a table; a tree has no derived ones."""
        if name == "filters":
            return [self.root / entry.path for entry in self.filters]
        if name in schema.DERIVED:
            return []
        return [self.root / table_path(name)]

    def bring(self, files: Iterable[str | os.PathLike]) -> None:
        """Make sure that `files` can be read: IntegrityError if one is missing or not of the published size.

        Their content is the affair of `filterdb publish verify`.
        """
        for file in map(Path, files):
            problem = wrong_appearance(file, self.by_path[str(file)])
            if problem is not None:
                path = file.relative_to(self.root)
                raise IntegrityError(f"{path} {problem}; filterdb publish verify {self.root} lists all damage")

    @cached_property
    def by_path(self) -> dict[str, Entry]:
        """The entries by the paths of their files on this machine."""
        return {str(self.root / entry.path): entry for entry in self.entries}


def wrong_appearance(file: Path, entry: Entry) -> str | None:
    """What is wrong with the file of `entry` by the looks of it; links are followed, downloads often are such."""
    if not file.is_file():
        return "is missing"
    size = file.stat().st_size
    return None if size == entry.bytes else f"has {size:,} bytes, published were {entry.bytes:,}"


def table_path(name: str) -> str:
    """Where the small table `name` lies in a published tree."""
    return f"meta/{name}.parquet"


def is_published(root: Path) -> bool:
    """Whether a published tree lies in `root`."""
    return (root / MANIFEST).is_file()


def read_manifest(file: Path) -> tuple[int, list[Entry]]:
    """The lake version that a tree was made from, and its files.

    Raises IntegrityError for what is no manifest, or names files outside the tree; LakeError for a
    newer format.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
        metadata = table.schema.metadata or {}
        version, form = int(metadata[LAKE_VERSION]), int(metadata[FORMAT_VERSION])
        entries = [Entry(**row) for row in table.cast(schema.table("manifest").arrow).to_pylist()]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{file}: not the manifest of a published tree: {error}") from error
    if form > schema.FORMAT_VERSION:
        raise LakeError(
            f"{file} has format version {form}, newer than this filterdb reads "
            f"(up to {schema.FORMAT_VERSION}): update filterdb"
        )
    for entry in entries:
        _refuse_outside(file, entry.path)
    return version, entries


def _refuse_outside(file: Path, path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        raise IntegrityError(f"{file}: names {path!r}, which is outside the tree")

"""A published tree elsewhere: its files come into the cache when they are needed, and are checked before they count."""

import logging
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from filterdb.errors import UsageError
from filterdb.lake import hub, schema
from filterdb.lake.names import MANIFEST
from filterdb.lake.release import SMALL_TABLES, Entry, Release, table_path
from filterdb.sources.download import cache_directory, fetch

_log = logging.getLogger(__name__)


class Place(Protocol):
    """Where a tree lies."""

    def fetch(self, path: str, target: Path, checksum: str) -> None:
        """Bring the file `path` of the tree to `target`; SourceError if it cannot be had whole."""


@dataclass(frozen=True)
class Web:
    """A tree below an address."""

    address: str

    def fetch(self, path: str, target: Path, checksum: str) -> None:
        fetch(f"{self.address.rstrip('/')}/{quote(path)}", target, checksum=checksum)


class Mirror(Release):
    """The part of a tree elsewhere that has been asked for so far, in a folder of the cache."""

    is_complete = False

    def __init__(self, place: Place, version: int | None = None) -> None:
        self.place = place
        super().__init__(_begin(place), version)
        self.bring(self.root / table_path(name) for name in SMALL_TABLES)

    @cached_property
    def no_filters(self) -> Path:
        """A file like those of filters, without rows."""
        import pyarrow.parquet as pq

        file = self.root / "no-filters.parquet"
        if not file.exists():
            pq.write_table(schema.table("filters").arrow.empty_table(), file)
        return file

    def bring(self, files: Iterable[str | os.PathLike]) -> None:
        """Fetch those of `files` that are not here yet."""
        missing = [self.by_path[str(file)] for file in files if not Path(file).exists()]
        if any(entry.model is not None for entry in missing):
            _log.warning("fetching %s into %s", _amount(missing), self.root)
        for entry in missing:
            self.place.fetch(entry.path, self.root / entry.path, entry.sha256)


def open_mirror(address: str, version: int | None = None) -> Mirror:
    """The tree at `address`: https://…, hf://datasets/NAME/NAME[@REVISION] or hf:NAME/NAME."""
    return Mirror(hub.place(address) if address.startswith("hf:") else _web(address), version)


def _web(address: str) -> Web:
    try:
        parts = urlsplit(address)
        if parts.hostname and parts.port != 0:
            return Web(address)
        reason = "it names no server"
    except ValueError as error:
        reason = str(error)
    raise UsageError(f"{address!r} is no address: {reason}")


def _begin(place: Place) -> Path:
    """The folder of the cache for the tree at `place`, with its manifest: trees are told apart by that."""
    cache = cache_directory() / "trees"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        manifest = Path(temporary) / MANIFEST
        place.fetch(MANIFEST, manifest, "")
        root = cache / sha256(manifest.read_bytes()).hexdigest()[:32]
        root.mkdir(exist_ok=True)
        manifest.replace(root / MANIFEST)
    return root


def _amount(entries: list[Entry]) -> str:
    size = sum(entry.bytes for entry in entries)
    return f"{len(entries)} file{'s' * (len(entries) != 1)} ({size / 1e6:,.1f} MB)"

"""MANIFEST.parquet and SHA256SUMS: what a tree consists of, for machines and for sha256sum."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from filterdb import __version__
from filterdb.lake import schema
from filterdb.lake.names import MANIFEST
from filterdb.lake.release import FORMAT_VERSION, LAKE_VERSION, Entry
from filterdb.publish import parquet

SUMS = "SHA256SUMS"
CHUNK = 2**20


def files_below(root: Path) -> Iterator[str]:
    """The paths of all files below `root`, sorted."""
    return iter(sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()))


def entries(root: Path, paths: Iterable[str], models: Mapping[str, str]) -> list[Entry]:
    """The files `paths` below `root`; `models` gives the network of a path, if it has one."""
    return [_entry(root, path, models.get(path)) for path in paths]


def write(root: Path, found: list[Entry], lake_version: int) -> None:
    """Write the manifest and SHA256SUMS of the tree in `root`."""
    declared = schema.table("manifest").arrow.with_metadata(
        {FORMAT_VERSION: str(schema.FORMAT_VERSION), LAKE_VERSION: str(lake_version)}
    )
    table = pa.Table.from_pylist([asdict(entry) for entry in found], schema=declared)
    parquet.write(root / MANIFEST, [table], declared)
    sums = {entry.path: entry.sha256 for entry in found} | {MANIFEST: digests(root / MANIFEST)[0]}
    lines = (f"{sums[path]}  {path}\n" for path in sorted(sums))
    (root / SUMS).write_text("".join(lines), encoding="utf-8")


def digests(file: Path) -> tuple[str, str]:
    """SHA-256 and MD5 of a file, in hexadecimal, read once."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
    return sha256.hexdigest(), md5.hexdigest()


def _entry(root: Path, path: str, model: str | None) -> Entry:
    file = root / path
    rows = pq.read_metadata(file).num_rows if path.endswith(".parquet") else None
    return Entry(path, file.stat().st_size, rows, *digests(file), model, __version__)

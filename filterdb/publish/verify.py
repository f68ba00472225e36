"""Is a tree what was published? Every file against the manifest, every network against the hash of its weights."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from filterdb.errors import IntegrityError
from filterdb.lake.names import MANIFEST
from filterdb.lake.release import Entry, Release, table_path, wrong_appearance
from filterdb.parallel import ordered_map
from filterdb.publish.manifest import SUMS, digests, files_below

WEIGHTS = [f"w{i}" for i in range(9)]


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file of a tree."""

    path: str
    problem: str


@dataclass(frozen=True)
class Verification:
    """How much was looked at, and what is wrong."""

    n_files: int
    n_networks: int
    n_filters: int
    n_bytes: int
    problems: tuple[Problem, ...]


def verify(root: Path, threads: int | None = None) -> Verification:
    """Read the whole tree in `root` and compare: names, sizes, checksums, rows, weights.

    Raises IntegrityError if there is no readable manifest. Cost: two passes over the files.
    """
    release = Release(root)
    workers = threads or os.cpu_count() or 1
    found = dict(zip(release.entries, ordered_map(_wrong_file(root), release.entries, workers), strict=True))
    problems = [Problem(entry.path, problem) for entry, problem in found.items() if problem]
    problems += _unlisted(release)
    problems += _wrong_sums(release)
    if found.get(_models(release)) is None:
        sound = [entry for entry in release.filters if found[entry] is None]
        problems += _wrong_networks(release, sound, workers)
    return Verification(
        n_files=len(release.entries) + 1,
        n_networks=len(release.filters),
        n_filters=sum(entry.rows or 0 for entry in release.filters),
        n_bytes=sum(entry.bytes for entry in release.entries),
        problems=tuple(sorted(problems, key=lambda problem: problem.path)),
    )


def ensure_as_published(root: Path) -> None:
    """Raise IntegrityError if the tree in `root` is not what was published, or holds anything beside it."""
    listed = {entry.path for entry in Release(root).entries} | {MANIFEST, SUMS}
    strays = [Problem(path, "is not in the manifest") for path in files_below(root) if path not in listed]
    for problem in (*strays, *verify(root).problems):
        raise IntegrityError(f"{root}: {problem.path} {problem.problem}; publish the lake again")


def _wrong_file(root: Path):  # noqa: ANN202 (a function of an entry)
    def check(entry: Entry) -> str | None:
        file = root / entry.path
        problem = wrong_appearance(file, entry)
        if problem is not None:
            return problem
        if digests(file) != (entry.sha256, entry.md5):
            return "is not the file that the manifest names: its checksum differs"
        if entry.rows is not None and pq.read_metadata(file).num_rows != entry.rows:
            return f"has not the {entry.rows:,} rows of the manifest"
        return None

    return check


def _unlisted(release: Release) -> Iterator[Problem]:
    """Parquet files that readers of data/ and meta/ would take for part of the tree."""
    listed = {entry.path for entry in release.entries}
    for folder in ("data", "meta"):
        for file in sorted((release.root / folder).rglob("*.parquet")):
            path = file.relative_to(release.root).as_posix()
            if path not in listed:
                yield Problem(path, "is not in the manifest")


def _wrong_sums(release: Release) -> Iterator[Problem]:
    """SHA256SUMS must say of every file, the manifest too, what the manifest says."""
    expected = {entry.path: entry.sha256 for entry in release.entries}
    expected[MANIFEST] = digests(release.root / MANIFEST)[0]
    file = release.root / SUMS
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    if lines != [f"{expected[path]}  {path}" for path in sorted(expected)]:
        yield Problem(SUMS, "does not agree with the files" if lines else "is missing")


def _models(release: Release) -> Entry | None:
    return next((entry for entry in release.entries if entry.path == table_path("models")), None)


def _wrong_networks(release: Release, entries: list[Entry], threads: int) -> Iterator[Problem]:
    columns = ["model", "n_filters", "weights_sha256"]
    table = pq.read_table(release.root / table_path("models"), columns=columns)
    known = {row["model"]: row for row in table.to_pylist()}

    def check(entry: Entry) -> str | None:
        network = known.get(entry.model)
        if network is None:
            return f"holds {entry.model}, which is not in {table_path('models')}"
        if network["n_filters"] != entry.rows:
            return f"has {entry.rows:,} filters, {table_path('models')} says {network['n_filters']:,}"
        if content_hash(release.root / entry.path) != network["weights_sha256"]:
            return f"the weights are not those of {entry.model}"
        return None

    for entry, problem in zip(entries, ordered_map(check, entries, threads), strict=True):
        if problem:
            yield Problem(entry.path, problem)
    for model in sorted(known.keys() - {entry.model for entry in release.filters}):
        yield Problem(table_path("models"), f"names {model}, of which there are no filters")


def content_hash(file: Path) -> str:
    """What `weights_sha256` holds, from a file of filters: SHA-256 over the SHA-256 of each layer's weights."""
    digests = {}
    with pq.ParquetFile(file) as opened:
        for number in range(opened.num_row_groups):
            group = opened.read_row_group(number, columns=["layer", *WEIGHTS], use_threads=False)
            for layer, weights in _layers(group):
                digests.setdefault(layer, hashlib.sha256()).update(weights)
    return hashlib.sha256(b"".join(digest.digest() for digest in digests.values())).hexdigest()


def _layers(table: pa.Table) -> Iterator[tuple[int, np.ndarray]]:
    """Layer by layer, the weights as a C-contiguous (n, 9) float32 array."""
    layer, *columns = (column.to_numpy() for column in table.columns)
    weights = np.ascontiguousarray(np.column_stack(columns), np.float32)
    starts = np.flatnonzero(np.diff(layer, prepend=-1))
    for start, part in zip(starts, np.split(weights, starts[1:]), strict=True):
        yield int(layer[start]), part

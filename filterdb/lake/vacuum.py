"""Removing for good what no kept version needs: replaced and compacted files, and what cut-off writes left behind.

A version is kept while it is the newest, and for a time (the retention) after another took its place.
Files that no commit names may be those of a write under way; they are kept as long, and for a day at least.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from filterdb.lake import commits
from filterdb.lake.lake import Lake
from filterdb.lake.log import tables

RETENTION = timedelta(days=7)
LONGEST_WRITE = timedelta(days=1)


@dataclass(frozen=True)
class Superfluous:
    """A file that can go: where it is, its bytes, and why nothing needs it."""

    path: Path
    size: int
    reason: str


def superfluous(lake: Lake, retention: timedelta = RETENTION, now: float | None = None) -> list[Superfluous]:
    """The files that vacuum removes, as of `now` (seconds since 1970; default: the time).

    Raises IntegrityError if a commit cannot be read: then it is not known what is needed.
    """
    time_now = time.time() if now is None else now
    return [file for name in tables(lake.directory) for file in _in_table(lake.directory / name, time_now, retention)]


def _in_table(directory: Path, now: float, retention: timedelta) -> Iterator[Superfluous]:
    needed, former = _named(directory, now - retention.total_seconds())
    youngest = now - max(retention, LONGEST_WRITE).total_seconds()
    for path in _data_files(directory):
        relative, status = path.relative_to(directory).as_posix(), path.lstat()
        if relative in former - needed:
            yield Superfluous(path, status.st_size, "only versions need it that are no longer kept")
        elif relative not in needed and status.st_ctime < youngest:
            yield Superfluous(path, status.st_size, "no commit names it")


def _named(directory: Path, horizon: float) -> tuple[set[str], set[str]]:
    """Files that the newest version needs or one replaced after `horizon`, and files that any version replaced."""
    newest = commits.newest(directory)
    needed, former = set(commits.files_at(directory, newest)), set()
    for commit in commits.read_all(directory, newest):
        former.update(commit.removed)
        if commit.timestamp / 1000 >= horizon:
            needed.update(commit.removed)
    return needed, former


def _data_files(directory: Path) -> Iterator[Path]:
    """Everything in a table's directory that holds rows, or was to."""
    for path in sorted(directory.rglob("*")):
        in_log = path.relative_to(directory).parts[0].startswith("_")
        if not in_log and (".parquet" in path.name or path.suffix == ".tmp") and not path.is_dir():
            yield path

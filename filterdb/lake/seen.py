"""Files whose content was compared with its checksum: not read again for that while nobody has touched them.

Kept in the user's cache directory, one small text file per table. A file is the same as long as its
path, size, inode and times of change are; no program can set the latter of those.
"""

import hashlib
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from filterdb.resources import cache_directory

CLOCK_TICK = 20_000_000  # ns: changes closer to each other may bear the same time


class Seen:
    """The files of the table in `directory` that were found to be as committed."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._file = cache_directory() / "checked" / f"{hashlib.sha256(os.fsencode(directory)).hexdigest()[:32]}.txt"

    def holds(self, path: Path, status: os.stat_result) -> bool:
        """Whether the file at `path`, which is as `status` says, was checked and not touched since."""
        return self._line(path, status) in self._lines

    def add(self, paths: Iterable[Path]) -> None:
        """Remember files as checked, except those changed just now: the next change might not show."""
        settled = time.time_ns() - CLOCK_TICK
        with suppress(OSError):
            statuses = [(path, path.lstat()) for path in paths]
            lines = [self._line(path, status) for path, status in statuses if status.st_ctime_ns < settled]
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
            self._lines.update(lines)

    def forget(self) -> None:
        """Forget all files."""
        self._lines.clear()
        with suppress(OSError):
            self._file.unlink()

    @cached_property
    def _lines(self) -> set[str]:
        try:
            return set(self._file.read_text("utf-8").splitlines())
        except (OSError, ValueError):
            return set()

    def _line(self, path: Path, status: os.stat_result) -> str:
        times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
        return f"{status.st_size} {status.st_ino} {times} {os.path.relpath(path, self._directory)}"

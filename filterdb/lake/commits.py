"""Commits as they lie in a table's log, and what makes a lost or altered one noticeable.

Every commit notes the SHA-256 of its files, that of the commit before it (`previous`), and a digest of
all files that the table consists of after it (`state`). `_head.json` beside the log names the newest
commit, so that a log whose end is missing is not taken for a shorter one.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote
from uuid import uuid4

from filterdb.errors import IntegrityError

NOTE = "filterdb"
HEAD = "_head.json"


@dataclass(frozen=True)
class DataFile:
    """A Parquet file as a commit names it: path relative to the table, size in bytes, rows, SHA-256."""

    path: str
    size: int
    rows: int
    sha256: str


@dataclass(frozen=True)
class LogCommit:
    """One commit: its number, time (ms since 1970), files, what it noted, and the SHA-256 of its own bytes."""

    version: int
    timestamp: int
    added: tuple[DataFile, ...]
    removed: tuple[str, ...]
    note: Mapping[str, object]
    sha256: str

    @property
    def state(self) -> int:
        """The digest of the table after this commit."""
        return int(str(self.note.get("state", "0")), 16)


@dataclass(frozen=True)
class Head:
    """What `_head.json` says of the newest commit; version −1 before there is any."""

    version: int
    sha256: str

    def check(self, table: str) -> str:
        """By which the file is seen to be whole, and that of its table."""
        return hashlib.sha256(f"{table} {self.version} {self.sha256}".encode()).hexdigest()


def location(directory: Path, version: int) -> Path:
    """Where commit `version` of the table in `directory` lies."""
    return directory / "_delta_log" / f"{version:020}.json"


def newest(directory: Path) -> int:
    """The highest number among the commits that lie in the log; −1 if there is none."""
    names = (file.name for file in (directory / "_delta_log").iterdir())
    return max((int(name[:20]) for name in names if name[:20].isdigit() and name[20:] == ".json"), default=-1)


def read(directory: Path, version: int) -> LogCommit:
    """Commit `version`; IntegrityError names its file if that is missing or is no commit of filterdb."""
    file = location(directory, version)
    try:
        content = file.read_bytes()
        return _parse(version, content)
    except FileNotFoundError as error:
        raise IntegrityError(f"{name_of(file)} is missing: a commit was lost") from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{name_of(file)} is not a commit that filterdb wrote: {error}") from error


def read_all(directory: Path, version: int) -> Iterator[LogCommit]:
    """All commits up to `version`, oldest first."""
    return (read(directory, number) for number in range(version + 1))


def files_at(directory: Path, version: int) -> dict[str, DataFile]:
    """The files that the table consists of after commit `version`, by path, with their checksums."""
    files: dict[str, DataFile] = {}
    for commit in read_all(directory, version):
        for path in commit.removed:
            files.pop(path, None)
        files |= {file.path: file for file in commit.added}
    return files


def digest(files: Iterable[tuple[str, int, int]]) -> int:
    """A digest of a set of files (path, size, rows): those of its parts, put together by exclusive or."""
    total = 0
    for file in files:
        total ^= int.from_bytes(hashlib.sha256(repr(file).encode()).digest())
    return total


def relative_path(encoded: str) -> str:
    """The path of a file below its table, from the log's spelling; IntegrityError if it leads elsewhere."""
    path = unquote(encoded)
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or ":" in parts[0] or "\0" in path:
        raise IntegrityError(f"the log names {path[:200]!r}, which does not lie in the lake: refused")
    return path


def read_head(directory: Path) -> Head | None:
    """The newest commit by `_head.json`; None if there is no such file."""
    file = directory / HEAD
    try:
        content = json.loads(file.read_bytes())
        head = Head(int(content["version"]), str(content["sha256"]))
        if content["check"] != head.check(directory.name):
            raise ValueError("it contradicts itself")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise IntegrityError(f"{name_of(file)} is damaged: {error}") from error
    return head


def write_head(directory: Path, version: int) -> None:
    """Let `_head.json` name commit `version`, unless it names a later one; both are on disk afterwards."""
    known = read_head(directory)
    if known is not None and known.version > version:
        return
    sha256 = ""
    if version >= 0:
        with location(directory, version).open("rb") as commit:
            sha256 = hashlib.file_digest(commit, "sha256").hexdigest()
            os.fsync(commit.fileno())
    temporary = directory / f".{HEAD}.{uuid4().hex}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        check = Head(version, sha256).check(directory.name)
        json.dump({"version": version, "sha256": sha256, "check": check}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / HEAD)


def name_of(file: Path) -> str:
    """A file of a log as it is known within its lake: filters/_delta_log/….json, filters/_head.json."""
    table = file.parents[1] if file.parent.name == "_delta_log" else file.parent
    return file.relative_to(table.parent).as_posix()


def _parse(version: int, content: bytes) -> LogCommit:
    actions = [json.loads(line) for line in content.splitlines() if line.strip()]
    infos = [action["commitInfo"] for action in actions if "commitInfo" in action]
    if len(infos) != 1:
        raise ValueError("it has no information on itself")
    note = json.loads(infos[0][NOTE]) if version else {"version": 0}
    if note["version"] != version:
        raise ValueError(f"it is commit {note['version']}")
    return LogCommit(
        version=version,
        timestamp=int(infos[0]["timestamp"]),
        added=tuple(_data_file(action["add"], note) for action in actions if "add" in action),
        removed=tuple(relative_path(action["remove"]["path"]) for action in actions if "remove" in action),
        note=note,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _data_file(add: dict, note: dict) -> DataFile:
    path = relative_path(add["path"])
    return DataFile(path, int(add["size"]), int(json.loads(add["stats"])["numRecords"]), note["sha256"][path])

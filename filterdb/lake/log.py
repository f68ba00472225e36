"""The commit log of one table: a Delta log over Parquet files that we write ourselves.

What the log does not name does not exist. Commits are atomic; a commit that meets a newer one is
checked again and retried, so that any number of writers may share a lake.
"""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import uniform
from typing import TYPE_CHECKING

from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from filterdb.errors import IntegrityError, LakeError
from filterdb.lake import commits
from filterdb.lake.commits import DataFile
from filterdb.lake.schema import DERIVED, TABLES
from filterdb.lake.seen import Seen

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT_PROPERTY = "filterdb.formatVersion"
CONFIGURATION = {"delta.enableExpiredLogCleanup": "false"}
COMMIT_ATTEMPTS = 100
COLOUR = re.compile(r"\x1b\[\d*m")
STACK = re.compile(r"\d+: |at ")


@dataclass(frozen=True)
class StoredFile:
    """A committed file: where it is, its size in bytes and its rows by the log."""

    path: Path
    size: int
    rows: int


class TableLog:
    """The log of the table that lies in `directory`."""

    def __init__(self, directory: Path, version: int | None = None) -> None:
        _refuse_links(directory)
        self.directory = directory.resolve()
        head = commits.read_head(self.directory)  # before the log, which others may add to in between
        self._delta = _load(self.directory, version)
        self._stored: tuple[int, list[StoredFile]] | None = None
        if head is None:
            raise IntegrityError(f"{directory.name}/{commits.HEAD} is missing: run filterdb verify")
        if version is None and self.version < head.version:
            raise IntegrityError(
                f"the log of {directory.name} ends at commit {self.version}, but commit {head.version} was made: "
                "run filterdb verify"
            )

    @classmethod
    def create(cls, directory: Path, schema: "pa.Schema", format_version: int) -> "TableLog":
        """The log in `directory`, made if there is none; safe when several processes do it at once."""
        _refuse_links(directory)
        if not exists(directory):
            configuration = {**CONFIGURATION, FORMAT_PROPERTY: str(format_version)}
            try:
                directory.mkdir(parents=True, exist_ok=True)
                refuse_lost_log(directory)
                commits.write_head(directory, -1)
                DeltaTable.create(
                    directory,
                    schema.remove_metadata(),
                    mode="error",
                    configuration=configuration,
                    commit_properties=CommitProperties(max_commit_retries=0),
                    raise_if_key_not_exists=False,
                )
            except (DeltaError, OSError) as error:
                if not exists(directory):
                    raise LakeError(f"cannot create the table {directory}: {brief(error)}") from error
            commits.write_head(directory, 0)
        return cls(directory)

    @property
    def version(self) -> int:
        """The number of the newest commit that this object has seen."""
        return self._delta.version()

    @property
    def format_version(self) -> int:
        """The format version that the table was created with."""
        found = self._delta.metadata().configuration.get(FORMAT_PROPERTY, "")
        if not found.isdecimal():
            raise LakeError(f"{self.directory} is no table of filterdb: its format version is {found!r}")
        return int(found)

    def files(self) -> list[Path]:
        """The committed files, in order of their paths."""
        return [file.path for file in self.stored()]

    def stored(self) -> list[StoredFile]:
        """The committed files with their sizes and rows, in order of their paths.

        IntegrityError if they are not those that the newest commit seen says the table consists of.
        """
        if self._stored is None or self._stored[0] != self.version:
            self._stored = self.version, self._read_stored()
        return self._stored[1]

    def committed(self) -> dict[str, DataFile]:
        """The committed files with their checksums, by path in the table. Cost: one small file per commit."""
        return commits.files_at(self.directory, self.version)

    def refresh(self) -> None:
        """See what others have committed."""
        self._delta.update_incremental()

    def history(self) -> list[dict]:
        """All commits, newest first, with what `commit` recorded in them."""
        return self._delta.history()

    def commit(
        self,
        schema: "pa.Schema",
        add: Sequence[DataFile],
        *,
        remove: Sequence[str] = (),
        note: Mapping[str, object] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Make `add` visible and `remove` invisible in one step.

        `check` looks at what this object has seen, and may raise to give up. Where others have committed
        since, the attempt fails, what they did is seen, and `check` decides again.
        """
        for attempt in range(COMMIT_ATTEMPTS):
            check()
            record = {commits.NOTE: json.dumps(self._note(add, remove) | dict(note or {}))}
            try:
                self._delta.create_write_transaction(
                    [*map(_remove_action, remove), *map(_add_action, add)],
                    "append",
                    schema.remove_metadata(),
                    partition_by=[],
                    commit_properties=CommitProperties(custom_metadata=record, max_commit_retries=0),
                )
                self.refresh()
                return self._settle(add)
            except CommitFailedError:
                time.sleep(uniform(0, 0.01 * min(attempt + 1, 20)))
                self.refresh()
            except (DeltaError, OSError) as error:
                raise LakeError(f"cannot commit to {self.directory}: {brief(error)}") from error
        raise LakeError(
            f"{self.directory}: no commit after {COMMIT_ATTEMPTS} attempts; are others still writing? run again"
        )

    def _read_stored(self) -> list[StoredFile]:
        added = self._delta.get_add_actions()
        columns = (added.column(name).to_pylist() for name in ("path", "size_bytes", "num_records"))
        files = [(commits.relative_path(path), size, rows) for path, size, rows in zip(*columns, strict=True)]
        if commits.digest(files) != commits.read(self.directory, self.version).state:
            raise IntegrityError(
                f"the log of {self.directory.name} was altered: its files are not those of commit {self.version}; "
                "filterdb verify says where"
            )
        return [StoredFile(self.directory / path, size, rows) for path, size, rows in sorted(files)]

    def _note(self, add: Sequence[DataFile], remove: Sequence[str]) -> dict[str, object]:
        """What the next commit notes: checksums of its files and of the commit before, digest of the whole table."""
        before = commits.read(self.directory, self.version)
        known = {file.path: file for file in self.stored()} if remove else {}
        gone = [known[self.directory / path] for path in remove]
        changed = [(f.path, f.size, f.rows) for f in add]
        changed += [(f.path.relative_to(self.directory).as_posix(), f.size, f.rows) for f in gone]
        return {
            "version": self.version + 1,
            "sha256": {f.path: f.sha256 for f in add},
            "previous": before.sha256,
            "state": f"{before.state ^ commits.digest(changed):x}",
        }

    def _settle(self, added: Sequence[DataFile]) -> None:
        commits.write_head(self.directory, self.version)
        Seen(self.directory).add([self.directory / file.path for file in added])


def tables(root: Path) -> tuple[str, ...]:
    """The tables of the lake in `root`: those that it must have, and the derived ones that it has."""
    return (*TABLES, *(name for name in DERIVED if exists(root / name)))


def exists(directory: Path) -> bool:
    """Whether a table lies in `directory`."""
    return (directory / "_delta_log").is_dir() and commits.newest(directory) >= 0


def brief(error: Exception) -> str:
    """What the Delta library says was wrong and why, in one line, without colours and without its stack."""
    lines = (line.strip(" ↳>-") for line in COLOUR.sub("", str(error)).splitlines())
    return ": ".join(line for line in lines if line and not STACK.match(line))[:400] or type(error).__name__


def refuse_lost_log(directory: Path) -> None:
    """IntegrityError where a log was, by what `_head.json` says, and is no more."""
    head = commits.read_head(directory)
    if head is not None and head.version >= 0 and not exists(directory):  # in this order: others may be creating it
        raise IntegrityError(f"the log of {directory.name} is gone: run filterdb verify")


def _refuse_links(directory: Path) -> None:
    for folder in (directory, directory / "_delta_log"):
        if folder.is_symlink():
            raise IntegrityError(f"{folder} is a symbolic link, which a lake has none of: refused")


def _load(directory: Path, version: int | None) -> DeltaTable:
    if not exists(directory):
        refuse_lost_log(directory)
        raise LakeError(f"no table in {directory}")
    newest = commits.newest(directory)
    if version is not None and not 0 <= version <= newest:
        raise LakeError(f"{directory.parent} has no version {version}; choose one from 0 to {newest}")
    try:
        return DeltaTable(directory, version=version)
    except (DeltaError, OSError) as error:
        message = f"the commit log of {directory.name} cannot be read ({brief(error)}): run filterdb verify"
        raise IntegrityError(message) from error


def _add_action(file: DataFile) -> AddAction:
    return AddAction(
        path=file.path,
        size=file.size,
        partition_values={},
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=json.dumps({"numRecords": file.rows}),
    )


def _remove_action(path: str) -> RemoveAction:
    return RemoveAction(path, data_change=True, deletion_timestamp=int(time.time() * 1000), size=None)

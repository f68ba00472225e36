"""The commit log of one table: a Delta log over Parquet files that we write ourselves.

What the log does not name does not exist. Commits are atomic; a commit that meets a newer one is
checked again and retried, so that any number of writers may share a lake.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import uniform
from typing import TYPE_CHECKING

from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from filterdb.errors import LakeError

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT_PROPERTY = "filterdb.formatVersion"
CONFIGURATION = {"delta.enableExpiredLogCleanup": "false"}
COMMIT_ATTEMPTS = 100


@dataclass(frozen=True)
class DataFile:
    """A Parquet file as a commit names it: path relative to the table, size in bytes, rows, SHA-256."""

    path: str
    size: int
    rows: int
    sha256: str


class TableLog:
    """The log of the table that lies in `directory`."""

    def __init__(self, directory: Path, version: int | None = None) -> None:
        self.directory = directory
        self._delta = _load(directory, version)

    @classmethod
    def create(cls, directory: Path, schema: "pa.Schema", format_version: int) -> "TableLog":
        """The log in `directory`, made if there is none; safe when several processes do it at once."""
        if not exists(directory):
            configuration = {**CONFIGURATION, FORMAT_PROPERTY: str(format_version)}
            try:
                DeltaTable.create(
                    directory,
                    schema.remove_metadata(),
                    mode="error",
                    configuration=configuration,
                    raise_if_key_not_exists=False,
                )
            except (DeltaError, OSError) as error:
                if not exists(directory):
                    raise LakeError(f"cannot create the table {directory}: {error}") from error
        return cls(directory)

    @property
    def version(self) -> int:
        """The number of the newest commit that this object has seen."""
        return self._delta.version()

    @property
    def format_version(self) -> int:
        """The format version that the table was created with."""
        return int(self._delta.metadata().configuration.get(FORMAT_PROPERTY, "0"))

    def files(self) -> list[Path]:
        """The committed files, in order of their paths."""
        return sorted(Path(uri.removeprefix("file://")) for uri in self._delta.file_uris())

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
        record = {"filterdb": json.dumps({"sha256": {f.path: f.sha256 for f in add}, **(note or {})})}
        for attempt in range(COMMIT_ATTEMPTS):
            check()
            try:
                self._delta.create_write_transaction(
                    [*map(_remove_action, remove), *map(_add_action, add)],
                    "append",
                    schema.remove_metadata(),
                    partition_by=[],
                    commit_properties=CommitProperties(custom_metadata=record, max_commit_retries=0),
                )
                return self.refresh()
            except CommitFailedError:
                time.sleep(uniform(0, 0.01 * min(attempt + 1, 20)))
                self.refresh()
            except (DeltaError, OSError) as error:
                raise LakeError(f"cannot commit to {self.directory}: {error}") from error
        raise LakeError(
            f"{self.directory}: no commit after {COMMIT_ATTEMPTS} attempts; are others still writing? run again"
        )


def exists(directory: Path) -> bool:
    """Whether a table lies in `directory`."""
    return (directory / "_delta_log").is_dir() and DeltaTable.is_deltatable(str(directory))


def _load(directory: Path, version: int | None) -> DeltaTable:
    try:
        return DeltaTable(directory, version=version)
    except TableNotFoundError as error:
        raise LakeError(f"no table in {directory}") from error
    except DeltaError as error:
        raise LakeError(f"{directory}: the commit log cannot be read: {error}") from error


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

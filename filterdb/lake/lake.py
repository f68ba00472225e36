"""A lake: a directory with five tables, of which the log of `filters` says which networks exist."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

from filterdb.errors import IntegrityError, LakeError
from filterdb.lake import integrity, log, schema
from filterdb.lake.integrity import Damage
from filterdb.lake.log import StoredFile, TableLog
from filterdb.lake.names import MANIFEST, ingest_id_of, model_of


@dataclass(frozen=True)
class Commit:
    """One visible network: its id, the write that brought it in, its file of filters."""

    model: str
    ingest_id: str
    file: Path


class Lake:
    """The lake in the directory `root`, as of commit `version` (default: the newest)."""

    is_complete = True
    """Whether every file is in `root` already; see `filterdb.lake.release`."""

    def __init__(self, root: Path, version: int | None = None) -> None:
        self.root = root
        self.directory = root.resolve()
        if (root / MANIFEST).exists():
            raise LakeError(f"{root} is a published tree, which is read only; filterdb publish verify checks it")
        if not log.exists(root / "filters"):
            if (root / "filters").is_dir():
                log.refuse_lost_log(root / "filters")
            raise LakeError(f"no lake in {root}: ingest something first, or name another with --lake")
        self._version = version
        self._logs: dict[str, TableLog] = {}
        self._refuse_newer_format()

    @classmethod
    def create(cls, root: Path) -> "Lake":
        """The lake in `root`, made if there is none. `filters` comes last: with it the lake exists."""
        if (root / MANIFEST).exists():
            raise LakeError(f"{root} is a published tree, which is read only: name another lake with --lake")
        for name in schema.TABLES:
            TableLog.create(root / name, schema.table(name).arrow, schema.FORMAT_VERSION)
        return cls(root)

    @cached_property
    def filters(self) -> TableLog:
        """The log that decides what exists."""
        return TableLog(self.root / "filters", self._version)

    def log(self, name: str) -> TableLog:
        """The log of a table; that of a small one is not bound to a version, it holds rows of all."""
        if name == "filters":
            return self.filters
        if name not in self._logs:
            self._logs[name] = TableLog(self.root / name)
        return self._logs[name]

    @property
    def version(self) -> int:
        """Number of the commit that this lake is seen at."""
        return self.filters.version

    def commits(self) -> list[Commit]:
        """The visible networks, in order of their paths."""
        return [_commit(file) for file in self.filters.files()]

    def files(self, name: str) -> list[Path]:
        """The files of a table; IntegrityError if one is not there, or not of the size that was committed."""
        if name in schema.DERIVED and not log.exists(self.root / name):
            return []
        files = self.log(name).stored()
        self._refuse_by_appearance(files)
        return [file.path for file in files]

    def bring(self, files: Iterable[str | os.PathLike]) -> None:
        """Make sure that `files` can be read: IntegrityError if one of them is not what was committed.

        A file is read for that once, and again only after somebody has touched it.
        """
        for name, paths in groupby(sorted(map(Path, files)), self._table_of):
            log = self.log(name)
            wanted = set(paths)
            self._refuse_by_appearance(file for file in log.stored() if file.path in wanted)
            integrity.ensure(log.directory, wanted, log.committed, self._damaged)

    def find(self, model: str) -> Commit | None:
        """The visible network `model`, if there is one."""
        return next((commit for commit in self.commits() if commit.model == model), None)

    def weights_sha256(self, commit: Commit) -> str:
        """The checksum of a visible network's weights."""
        import pyarrow.dataset as ds

        self.log("models").refresh()
        files = self.log("models").files()
        own = [file for file in files if commit.ingest_id in file.name] or files
        self.bring(own)
        rows = ds.dataset([str(file) for file in own]).to_table(
            columns=["weights_sha256"], filter=ds.field("ingest_id") == commit.ingest_id
        )
        return rows["weights_sha256"][0].as_py()

    def _table_of(self, path: Path) -> str:
        return path.relative_to(self.directory).parts[0]

    def _refuse_by_appearance(self, files: Iterable[StoredFile]) -> None:
        folders = {self.directory}
        for file in files:
            problem = integrity.wrong_appearance(file.path, file.size, folders)
            if problem is not None:
                raise self._damaged(file.path, problem)

    def _damaged(self, path: Path, problem: str) -> LakeError | IntegrityError:
        if self._version is not None and self._was_vacuumed(path):
            return LakeError(
                f"version {self._version} of {self.root} cannot be read any more: files of it were removed by "
                "filterdb vacuum; take a newer one"
            )
        relative = path.relative_to(self.directory).as_posix()
        return integrity.error(Damage(relative, self._network_of(path), problem))

    def _network_of(self, path: Path) -> str | None:
        """The network that a file belongs to, if it belongs to one alone."""
        if self._table_of(path) == "filters":
            return model_of(path)
        return next((commit.model for commit in self.commits() if commit.ingest_id in path.name), None)

    def _was_vacuumed(self, path: Path) -> bool:
        return not path.exists() and path not in TableLog(self.root / self._table_of(path)).files()

    def _refuse_newer_format(self) -> None:
        found = self.filters.format_version
        if found > schema.FORMAT_VERSION:
            raise LakeError(
                f"{self.root} has format version {found}, newer than this filterdb reads "
                f"(up to {schema.FORMAT_VERSION}): update filterdb"
            )


def _commit(file: Path) -> Commit:
    return Commit(model_of(file), ingest_id_of(file), file)

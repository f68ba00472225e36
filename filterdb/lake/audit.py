"""The log of one table, read by ourselves and doubted: which commits are whole, which files they leave."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filterdb.errors import FilterdbError, IntegrityError
from filterdb.lake import commits
from filterdb.lake.commits import DataFile, Head, LogCommit
from filterdb.lake.integrity import Damage
from filterdb.lake.log import TableLog


@dataclass
class Audit:
    """What a log says: `current` files by path, `former` ones of older versions, and what is wrong with it."""

    directory: Path
    head: Head | None = None
    commits: dict[int, LogCommit] = field(default_factory=dict)
    current: dict[str, DataFile] = field(default_factory=dict)
    former: dict[str, DataFile] = field(default_factory=dict)
    damage: list[Damage] = field(default_factory=list)

    @property
    def version(self) -> int:
        """The number of the newest commit that can be read."""
        return max(self.commits, default=-1)

    @property
    def lost_end(self) -> list[Path]:
        """Where the commits after that lie or should lie."""
        head = -1 if self.head is None else self.head.version
        last = max(head, commits.newest(self.directory))
        return [commits.location(self.directory, version) for version in range(self.version + 1, last + 1)]

    def blame(self, file: Path, problem: str) -> None:
        """Note that `file`, of the log, is damaged."""
        self.damage.append(Damage(commits.name_of(file), None, problem))

    def blame_commit(self, version: int, problem: str) -> None:
        """Note that the commit `version` is damaged."""
        self.blame(commits.location(self.directory, version), problem)

    def is_blamed(self, version: int) -> bool:
        """Whether the commit `version` is known to be damaged."""
        name = commits.name_of(commits.location(self.directory, version))
        return any(damage.file == name for damage in self.damage)


def audit(directory: Path) -> Audit:
    """Read every commit of the table in `directory`, and find those that are lost or altered."""
    found = Audit(directory)
    _read_head(found)  # before the commits, to which others may add in between
    if not (directory / "_delta_log").is_dir():
        found.blame(directory / "_delta_log", "is missing")
        return found
    _read_commits(found)
    _compare_bytes(found)
    _follow(found)
    if not found.damage:
        _compare_with_delta(found)
    return found


def checkpoints(directory: Path) -> Iterator[Path]:
    """The checkpoints of a log: summaries of its commits, made by the Delta library; they can be done without."""
    yield from (directory / "_delta_log").glob("*.checkpoint*.parquet")
    yield from (directory / "_delta_log").glob("_last_checkpoint")


def _read_commits(found: Audit) -> None:
    for version in range(commits.newest(found.directory) + 1):
        try:
            found.commits[version] = commits.read(found.directory, version)
        except IntegrityError as error:
            file = commits.location(found.directory, version)
            found.blame(file, str(error).removeprefix(f"{commits.name_of(file)} "))


def _read_head(found: Audit) -> None:
    file = found.directory / commits.HEAD
    try:
        found.head = commits.read_head(found.directory)
    except IntegrityError as error:
        found.blame(file, str(error).removeprefix(f"{commits.name_of(file)} "))
    else:
        if found.head is None:
            found.blame(file, "is missing")


def _compare_bytes(found: Audit) -> None:
    """The head knows the bytes of the last commit, and each commit, if it can be believed, those of the one before."""
    head = found.head or Head(-1, "")
    for version in range(found.version + 1, head.version + 1):
        if not found.is_blamed(version):
            found.blame_commit(version, "is missing: a commit was lost")
    for version, commit in sorted(found.commits.items(), reverse=True):
        known = None
        if head.version == version:
            known = head.sha256
        elif version + 1 in found.commits and not found.is_blamed(version + 1):
            known = found.commits[version + 1].note["previous"]
        if known is not None and known != commit.sha256:
            found.blame_commit(version, "was altered: its bytes are not those that were committed")


def _follow(found: Audit) -> None:
    """Apply the commits in turn; each notes a digest of the table that it makes of the one before."""
    for version, commit in sorted(found.commits.items()):
        gone = [found.current.pop(path) for path in commit.removed if path in found.current]
        found.former |= {file.path: file for file in gone}
        found.current |= {file.path: file for file in commit.added}
        before = found.commits.get(version - 1)
        change = commits.digest((file.path, file.size, file.rows) for file in (*gone, *commit.added))
        believed = before is not None and not found.is_blamed(version - 1) and not found.is_blamed(version)
        if believed and commit.state != before.state ^ change:
            found.blame_commit(version, "does not follow from the commits before it")


def _compare_with_delta(found: Audit) -> None:
    """Where all commits are whole, only a checkpoint can make the Delta library see another table."""
    try:
        files = TableLog(found.directory, found.version).files()
    except FilterdbError as error:
        found.blame(_checkpoint(found), f"a checkpoint is damaged: {error}")
    else:
        if {file.relative_to(found.directory).as_posix() for file in files} != found.current.keys():
            found.blame(_checkpoint(found), "a checkpoint is damaged: it names other files than the commits")


def _checkpoint(found: Audit) -> Path:
    return max(checkpoints(found.directory), default=found.directory / "_delta_log")

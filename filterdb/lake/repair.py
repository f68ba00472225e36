"""Dropping what is damaged, and only that, so that the same ingestion brings it back.

Damaged files are not deleted but set aside as `….damaged`, which nothing reads and vacuum removes.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from filterdb.errors import IntegrityError
from filterdb.lake import commits, schema
from filterdb.lake.audit import Audit, checkpoints
from filterdb.lake.commits import DataFile
from filterdb.lake.integrity import wrong_appearance, wrong_content
from filterdb.lake.log import TableLog
from filterdb.lake.verify import Findings, network_of, verify

Say = Callable[[str], None]
REBUILT = "_rebuilt"
ASIDE = ".damaged"


def repair(root: Path, findings: Findings, say: Say) -> None:
    """Make the lake `root`, of which `findings` tell, whole again; `say` is told of each step before it is taken.

    Logs come first, then rows that an earlier file still has, then networks, then files of rows.
    """
    directory = root.resolve()
    damaged_logs = [name for name, table in findings.audits.items() if table.damage]
    for name in damaged_logs:
        _mend_log(directory / name, findings.audits[name], say)
    if damaged_logs:
        findings = verify(root)
    if _restore_rows(directory, findings, say):
        findings = verify(root)
    _drop_networks(directory, findings, say)
    _drop_rows(directory, findings, say)
    for damage in findings.damage:
        if damage.file.endswith(".parquet"):
            _set_aside(directory / damage.file)


def _mend_log(directory: Path, found: Audit, say: Say) -> None:
    blamed = {directory.parent / damage.file for damage in found.damage}
    if not (directory / "_delta_log").is_dir() and (directory / REBUILT / "_delta_log").is_dir():
        say(f"{directory.name}/_delta_log: the new one, begun before, takes its place")
        _finish_rebuilding(directory)
    elif not found.commits and (found.head is None or found.head.version > 0):
        raise IntegrityError(
            f"{directory.name}/_delta_log is gone, and with it what is known of its files: restore it from a copy, "
            "or ingest into a new lake"
        )
    elif found.commits and blamed <= {directory / commits.HEAD, *found.lost_end}:
        say(f"{directory.name}: commit {found.version} is the newest from now on; what later ones brought is lost")
        for file in found.lost_end:
            _set_aside(file)
        _write_head_anew(directory, found.version)
    elif blamed <= set(checkpoints(directory)):
        say(f"{directory.name}/_delta_log: checkpoints are removed, the commits say the same")
        for file in checkpoints(directory):
            file.unlink()
    else:
        _rebuild(directory, found, say)


def _rebuild(directory: Path, found: Audit, say: Say) -> None:
    """A new log, which names the files that are proven whole; the old one is set aside, and with it older versions."""
    whole = [file for file in found.current.values() if _is_whole(directory, file)]
    say(
        f"{directory.name}/_delta_log: set aside; a new one names the {len(whole)} files that are whole; "
        "older versions of the lake cannot be read any more"
    )
    fresh = directory / REBUILT
    shutil.rmtree(fresh, ignore_errors=True)
    declared = schema.table(directory.name).arrow
    new = TableLog.create(fresh, declared, schema.FORMAT_VERSION)
    new.commit(declared, whole, note={"rebuilt": True})
    old = directory / f"_delta_log{ASIDE}"
    shutil.rmtree(old, ignore_errors=True)
    if (directory / "_delta_log").is_dir():
        (directory / "_delta_log").rename(old)
    _finish_rebuilding(directory)


def _finish_rebuilding(directory: Path) -> None:
    fresh = directory / REBUILT
    (fresh / "_delta_log").rename(directory / "_delta_log")
    _write_head_anew(directory, commits.newest(directory))
    shutil.rmtree(fresh)


def _write_head_anew(directory: Path, version: int) -> None:
    (directory / commits.HEAD).unlink(missing_ok=True)
    commits.write_head(directory, version)


def _restore_rows(directory: Path, findings: Findings, say: Say) -> bool:
    """Where a damaged file was made by compaction of files that are still there, take those again."""
    restored = False
    for name, path in _broken_rows(findings):
        table = findings.audits[name]
        sources = [table.former.get(source) for source in _compacted(table, path)]
        if sources and all(file is not None and _is_whole(directory / name, file) for file in sources):
            say(f"{name}/{path}: dropped, its rows are still in the {len(sources)} files it was made from")
            TableLog(directory / name).commit(schema.table(name).arrow, sources, remove=[path], note={"repair": True})
            restored = True
    return restored


def _drop_networks(directory: Path, findings: Findings, say: Say) -> None:
    audits = findings.audits
    broken = {damage.file.removeprefix("filters/"): damage.model for damage in findings.damage}
    lost = {network_of(audits, name, path) for name, path in _broken_rows(findings)}
    paths = [
        path for path in audits["filters"].current if path in broken or network_of(audits, "filters", path) in lost
    ]
    for path in paths:
        say(f"network {network_of(audits, 'filters', path)}: dropped, ingest it again")
    if paths:
        filters = TableLog(directory / "filters")
        filters.commit(schema.table("filters").arrow, [], remove=paths, note={"repair": True})


def _drop_rows(directory: Path, findings: Findings, say: Say) -> None:
    for name, path in _broken_rows(findings):
        rows = findings.audits[name].current[path].rows
        say(f"{name}/{path}: dropped with its {rows} rows; ingesting again brings back what networks still need")
        TableLog(directory / name).commit(schema.table(name).arrow, [], remove=[path], note={"repair": True})


def _set_aside(path: Path) -> None:
    if os.path.lexists(path):
        path.rename(path.with_name(path.name + ASIDE))


def _broken_rows(findings: Findings) -> Iterator[tuple[str, str]]:
    """Table and path of every damaged file of a small table that counts."""
    for damage in findings.damage:
        name, _, path = damage.file.partition("/")
        if name != "filters" and path in findings.audits[name].current:
            yield name, path


def _compacted(table: Audit, path: str) -> list[str]:
    """The files that compaction made the file `path` from."""
    made = (commit for commit in table.commits.values() if any(file.path == path for file in commit.added))
    return next((list(commit.removed) for commit in made if "compacted" in commit.note), [])


def _is_whole(directory: Path, file: DataFile) -> bool:
    path = directory / file.path
    problem = wrong_appearance(path, file.size, {directory}) or wrong_content(path, file, directory.name)
    return problem is None

"""Commands that tend a lake: verify, compact, vacuum; and doctor, which looks at the installation."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterdb.cli.options import FileOption, FormatOption, LakeOption, lake_directory, output
from filterdb.cli.output import Format, Output
from filterdb.errors import IntegrityError
from filterdb.publish.names import Profile

if TYPE_CHECKING:
    from filterdb.lake.verify import Findings


def verify(
    context: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="Drop what is damaged, and only that; ingesting again brings it back.")
    ] = False,
    lake: LakeOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> int:
    """Compare every file of the lake with what was committed; exit code 4 if anything is damaged."""
    from filterdb.lake.repair import repair as mend

    root = lake_directory(context, lake)
    findings = _verified(root)
    _show(findings, output(format, file))
    if repair and findings.damage:
        mend(root, findings, _note)
        findings = _verified(root)
        _note(_summary(findings))
    return IntegrityError.exit_code if findings.damage else 0


def compact(
    context: typer.Context, lake: LakeOption = None, format: FormatOption = Format.TABLE, file: FileOption = None
) -> None:
    """Merge the many files of the small tables into few; every answer stays the same, at every version."""
    from filterdb.lake.compact import compact
    from filterdb.lake.lake import Lake

    done = compact(Lake(lake_directory(context, lake)))
    output(format, file).records(
        [{"table": name, "files_before": before, "files_after": after} for name, (before, after) in done.items()]
    )


def vacuum(
    context: typer.Context,
    keep_days: Annotated[
        float, typer.Option(min=0, max=36_500, help="Keep what was part of the lake within so many days.")
    ] = 7,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed; remove nothing.")] = False,
    lake: LakeOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> None:
    """Remove files that no kept version needs: replaced or compacted ones, and what cut-off writes left behind."""
    from filterdb.lake.lake import Lake
    from filterdb.lake.vacuum import superfluous

    handle = Lake(lake_directory(context, lake))
    found = superfluous(handle, timedelta(days=keep_days))
    for each in [] if dry_run else found:
        each.path.unlink(missing_ok=True)
    records = [
        {"file": each.path.relative_to(handle.directory).as_posix(), "bytes": each.size, "reason": each.reason}
        for each in found
    ]
    _records(records, output(format, file))
    _note(f"{_count(len(found), 'file')}, {sum(each.size for each in found) / 1e6:,.1f} MB")


def doctor(
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE|DIR", help="Look at Parquet files instead: are they fit for readers?")
    ] = None,
    profile: Annotated[Profile, typer.Option("--for", help="Readers of whole files, or of pieces.")] = Profile.ANALYSIS,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> int:
    """Is this installation sound? Versions, extras, compiled loops, a trial lake; exit code 1 if something is wrong."""
    if parquet is not None:
        return _doctor_of_parquet(parquet, profile, output(format, file))
    from filterdb.doctor import Status, examine

    checks = list(examine())
    output(format, file).records(
        [{"subject": check.subject, "status": check.status.value, "found": check.found} for check in checks]
    )
    return int(any(check.status is Status.WRONG for check in checks))


def _doctor_of_parquet(path: Path, profile: Profile, out: Output) -> int:
    from filterdb.publish.parquet import examine

    found = examine(path)
    out.records([each.record(profile) for each in found])
    return int(any(each.problems(profile) for each in found))


def _verified(root: Path) -> "Findings":
    from filterdb.cli.progress import Reporter
    from filterdb.lake.verify import verify

    with Reporter() as reporter:

        def advance(done: int, total: int) -> None:
            reporter.begin("verifying", total)
            reporter.reach(done)

        return verify(root, advance)


def _show(findings: "Findings", out: Output) -> None:
    _records([{"file": d.file, "network": d.model, "problem": d.problem} for d in findings.damage], out)
    _note(_summary(findings))
    if findings.leftovers:
        size = sum(path.lstat().st_size for path in findings.leftovers) / 1e6
        files = _count(len(findings.leftovers), "file")
        _note(f"{files} ({size:,.1f} MB) of no commit, left by writes that were cut off: vacuum removes them in time")


def _summary(findings: "Findings") -> str:
    size = sum(file.size for file in findings.files) / 1e6
    looked = f"{_count(findings.n_networks, 'network')}, {_count(len(findings.files), 'file')}, {size:,.1f} MB"
    if not findings.damage:
        return f"{looked}: all as committed"
    return f"{looked}: {_count(len(findings.damage), 'file')} damaged; --repair drops them, ingesting again restores"


def _records(records: list[dict], out: Output) -> None:
    """Write rows; of none, nothing where a person reads."""
    if records or out.format is not Format.TABLE:
        out.records(records)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _note(text: str) -> None:
    print(text, file=sys.stderr)

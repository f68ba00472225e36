"""Options that several commands share, and the lake that a command speaks of."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterdb.cli.interruption import interruptible
from filterdb.cli.output import Format, Output
from filterdb.errors import UsageError
from filterdb.query.names import Definition

if TYPE_CHECKING:
    from filterdb.query.database import Database

DEFAULT_LAKE = "filters.lake"
LARGEST = 2**63 - 1
"""The largest integer of torch."""
MOST_THREADS = 1024
"""DuckDB starts as many as it is told, at once: tens of thousands bring a machine to a halt."""

LakeOption = Annotated[
    str | None,
    typer.Option("--lake", metavar="DIR", help="The lake [env: FILTERDB_LAKE; default: ./filters.lake]."),
]
VersionOption = Annotated[
    int | None, typer.Option("--at-version", metavar="N", help="Look at the lake as of commit N (time travel).")
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to write the result.")]
FileOption = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to FILE, not stdout.")]
ByOption = Annotated[
    list[str] | None, typer.Option("--by", metavar="COLUMN", help="Group by COLUMN; repeat, or separate with commas.")
]
DefinitionOption = Annotated[
    Definition, typer.Option("--definition", help="As the paper's text defines it, or as its published numbers do.")
]
ExplainOption = Annotated[bool, typer.Option("--explain", help="Say how the answer is found (on stderr).")]
ShowSqlOption = Annotated[bool, typer.Option("--show-sql", help="Print the SQL instead of running it.")]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, max=MOST_THREADS, help="Threads [default: all cores].")
]
MemoryOption = Annotated[
    str | None, typer.Option("--memory-limit", metavar="SIZE", help="Memory that queries may use, e.g. 2GB.")
]


def lake_name(context: typer.Context, lake: str | None) -> str:
    """The lake named after the command, else before it, else by FILTERDB_LAKE, else ./filters.lake."""
    return lake or context.obj or DEFAULT_LAKE


def lake_directory(context: typer.Context, lake: str | None) -> Path:
    """The same, as the directory of a lake that may be written to; UsageError for an address."""
    from filterdb.lake.opening import ELSEWHERE

    name = lake_name(context, lake)
    if ELSEWHERE.match(name):
        raise UsageError(f"--lake {name}: what lies elsewhere is read only; name a directory")
    return Path(name)


@contextmanager
def open_database(
    context: typer.Context,
    lake: str | None,
    version: int | None,
    threads: int | None = None,
    memory_limit: str | None = None,
) -> "Iterator[Database]":
    """The lake that the options name, open for questions that Ctrl-C can end."""
    from filterdb.query.database import Database

    name = lake_name(context, lake)
    with Database(name, version, threads=threads, memory_limit=memory_limit) as database, interruptible(database):
        yield database


def output(format: Format, file: Path | None) -> Output:
    """Where the result goes. The ending of FILE chooses the format where --format does not."""
    if file is not None and format is Format.TABLE:
        endings = {f".{f.value}": f for f in Format} | {".ndjson": Format.JSONL}
        format = endings.get(file.suffix.lower(), format)
    return Output(format, file)


def column_names(by: list[str] | None) -> list[str]:
    """The columns of all --by options."""
    return [name.strip() for value in by or [] for name in value.split(",") if name.strip()]

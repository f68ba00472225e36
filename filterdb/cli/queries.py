"""Commands for the named queries: queries list, show, run."""

from typing import Annotated

import typer

from filterdb.cli.options import (
    FileOption,
    FormatOption,
    LakeOption,
    MemoryOption,
    ThreadsOption,
    VersionOption,
    open_database,
    output,
)
from filterdb.cli.output import Format
from filterdb.errors import UsageError

app = typer.Typer(help="Named queries: what there is, what they say, what they answer.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name that 'queries list' shows.")]


@app.command("list")
def list_queries(format: FormatOption = Format.TABLE, file: FileOption = None) -> None:
    """All named queries, with their parameters and what they answer."""
    from filterdb.query import catalogue

    records = [
        {
            "name": query.name,
            "parameters": ", ".join(f"{p.name} {p.sql_type} = {p.default}" for p in query.parameters),
            "description": query.description,
        }
        for query in catalogue.queries()
    ]
    output(format, file).records(records)


@app.command("show")
def show(name: NameArgument) -> None:
    """The text of one query."""
    from filterdb.query import catalogue

    print(catalogue.load(name).text, end="")


@app.command("run")
def run(
    context: typer.Context,
    name: NameArgument,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter's value; repeatable.")
    ] = None,
    lake: LakeOption = None,
    version: VersionOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
    threads: ThreadsOption = None,
    memory_limit: MemoryOption = None,
) -> None:
    """Ask one query of the lake."""
    from filterdb.query import catalogue

    query = catalogue.load(name)
    with open_database(context, lake, version, threads, memory_limit) as database:
        values = query.values(database.connection, dict(map(_assignment, param or [])))
        output(format, file).query(database, query.text, values)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--param {text!r}: write NAME=VALUE")
    return name.strip(), value

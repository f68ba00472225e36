"""Writes docs/reference.md from the code: commands and options, tables and columns, SQL functions, named queries.

Run `make docs` after changing any of them; a test compares.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import typer.main

from filterdb import resources
from filterdb.cli.app import app
from filterdb.lake import schema
from filterdb.query import catalogue
from filterdb.query.finishers import FINISHERS

TARGET = Path(__file__).with_name("reference.md")
SUMMARY_COLUMN = re.compile(r"(raw|scaled)_(n|s\d|c\d\d)")


def main() -> None:
    TARGET.write_text(reference(), encoding="utf-8")


def reference() -> str:
    """The whole page."""
    sections = (commands(), tables(), functions(), queries())
    return "# Reference\n\n" + "\n".join("\n".join(section) + "\n" for section in sections)


def commands() -> Iterator[str]:
    yield "## Commands"
    for name, command in leaves("filterdb", typer.main.get_command(app)):
        yield f"\n### `{name}`\n\n{inspect.cleandoc(command.help or '')}\n"
        yield "| argument or option | default | meaning |\n|---|---|---|"
        for parameter in command.params:
            if parameter.name != "help":
                yield f"| {spelling(parameter)} | {default(parameter)} | {cell(parameter.help)} |"


def leaves(name: str, command) -> Iterator[tuple]:
    """Every command that does something, with its full name."""
    children = getattr(command, "commands", None)
    if not children:
        yield name, command
        return
    for child, subcommand in children.items():
        yield from leaves(f"{name} {child}", subcommand)


def spelling(parameter) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    return ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))


def default(parameter) -> str:
    value = parameter.default
    return "" if value in (None, False) or parameter.required else f"`{getattr(value, 'value', value)}`"


def tables() -> Iterator[str]:
    yield "## Tables\n"
    yield "Columns that views hide are marked. `layers` also shows the columns of its network in `models`."
    for name in schema.ALL:
        table = schema.table(name)
        yield f"\n### `{name}`\n\n{table.meaning}\n\n| column | type | unit | meaning |\n|---|---|---|---|"
        for column in table.columns:
            if not SUMMARY_COLUMN.fullmatch(column.name):
                null = "" if column.nullable else ", not null"
                yield f"| `{column.name}` | {column.sql_type}{null} | {column.unit} | {cell(column.meaning)} |"
        if name == "layers":
            names = ", ".join(schema.MOMENT_NAMES)
            yield f"| `raw_moments`, `scaled_moments` | STRUCT of 55 DOUBLE | | second moments of the non-sparse filters, as they are and scaled to [-1, 1]: {names} |"  # noqa: E501


def functions() -> Iterator[str]:
    yield "## SQL functions\n\nMacros, pure SQL; they run in any DuckDB:\n\n| macro | meaning |\n|---|---|"
    for file in sorted((resources.directory("schema") / "macros").glob("*.sql")):
        for comment in re.findall(r"((?:^-- .*\n)+)CREATE OR REPLACE MACRO", file.read_text("utf-8"), re.M):
            text = " ".join(line.removeprefix("-- ") for line in comment.splitlines())
            signature, _, meaning = text.partition("): ")
            yield f"| `{signature})` | {cell(meaning)} |"
    yield "\nFunctions that numpy finishes, of moments; NULL where they are not defined:\n\n| function | gives | meaning |\n|---|---|---|"  # noqa: E501
    for finisher in FINISHERS:
        yield f"| `{finisher.name}(moments)` | {finisher.result} | {cell(finisher.meaning)} |"


def queries() -> Iterator[str]:
    yield "## Named queries\n\n| query | parameters | answers |\n|---|---|---|"
    for query in catalogue.queries():
        parameters = ", ".join(f"`{p.name} {p.sql_type} = {p.default}`" for p in query.parameters)
        yield f"| `{query.name}` | {parameters} | {cell(query.description)} |"


def cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


if __name__ == "__main__":
    main()

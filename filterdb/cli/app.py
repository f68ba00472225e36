"""The commands by name."""

from typing import Annotated

import typer

from filterdb import __version__
from filterdb.cli import ask, basis, compare, demo, ingest, publish, queries, report, tend, train

app = typer.Typer(
    name="filterdb",
    help="Every 3×3 filter of a model zoo as a database: ingest networks, ask in SQL, compare splits.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"filterdb {__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    lake: Annotated[
        str | None,
        typer.Option("--lake", envvar="FILTERDB_LAKE", metavar="DIR", help="The lake; default ./filters.lake."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = lake


app.command("demo")(demo.demo)
app.add_typer(ingest.app, name="ingest")
app.command("info")(ask.info)
app.command("sql")(ask.sql)
app.add_typer(queries.app, name="queries")
app.command("pca")(ask.pca)
app.command("metrics")(ask.metrics)
app.command("kl")(ask.kl)
app.add_typer(basis.app, name="basis")
app.command("verify")(tend.verify)
app.command("compact")(tend.compact)
app.command("vacuum")(tend.vacuum)
app.command("doctor")(tend.doctor)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.add_typer(train.app, name="train")
app.add_typer(publish.app, name="publish")
app.command("sql-kit")(publish.sql_kit)

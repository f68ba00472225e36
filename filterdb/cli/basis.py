"""Commands for registered bases: basis add, list."""

from typing import Annotated

import typer

from filterdb.cli.options import (
    FileOption,
    FormatOption,
    LakeOption,
    ThreadsOption,
    lake_directory,
    open_database,
    output,
)
from filterdb.cli.output import Format

app = typer.Typer(
    help="Bases with a name, on which histograms of all layers are kept, so that kl --basis NAME answers at once.",
    no_args_is_help=True,
)


@app.command("add")
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the basis is called from now on.")],
    split: Annotated[str, typer.Argument(metavar="SPLIT", help="The filters whose structure it is.")],
    lake: LakeOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Register the basis of a split; histograms of all layers are counted now, of later networks when they come."""
    from filterdb.query.registration import register

    register(lake_directory(context, lake), name, split, threads=threads)


@app.command("list")
def list_bases(
    context: typer.Context, lake: LakeOption = None, format: FormatOption = Format.TABLE, file: FileOption = None
) -> None:
    """The registered bases, and of how many networks histograms are kept on each."""
    with open_database(context, lake, None) as database:
        output(format, file).query(
            database,
            "SELECT name, split, n::BIGINT AS n_filters, count(DISTINCT model) AS n_models FROM bases "
            "LEFT JOIN histograms USING (basis) WHERE axis = 0 GROUP BY ALL ORDER BY name",
        )

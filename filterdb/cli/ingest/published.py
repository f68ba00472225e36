"""ingest hdf5: the paper's published dataset, and what it states of its layers beside what the lake then has."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from filterdb.cli.ingest.options import (
    DryRunOption,
    MemoryOption,
    ReplaceOption,
    WorkersOption,
    request,
)
from filterdb.cli.ingest.run import run
from filterdb.cli.options import FileOption, FormatOption, LakeOption
from filterdb.cli.output import Format
from filterdb.cli.progress import Reporter
from filterdb.errors import IntegrityError
from filterdb.network import Job


def hdf5(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="dataset.h5 or dataset.h5.xz as published")],
    replace: ReplaceOption = False,
    dry_run: DryRunOption = False,
    lake: LakeOption = None,
    workers: WorkersOption = None,
    memory_limit: MemoryOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> int:
    """All networks of the paper's published dataset, streamed from its HDF5 file.

    What the file states of its layers is then compared, on stderr, with what the lake has of them.
    """
    from filterdb.sources import hdf5

    reporter = Reporter()
    jobs = (
        Job(network.facts.model, lambda network=network: network)
        for network in hdf5.networks(path, progress=reporter.download)
    )
    asked = request(context, lake, format, file, dry_run, replace, workers, memory_limit)
    code = run(asked, jobs, reporter, hdf5.pairs(path))
    if not dry_run:
        _compare(path, asked.root)
    return code


def _compare(path: Path, root: Path) -> None:
    """A line for each quantity; IntegrityError where a layer has not the filters that the file states."""
    from filterdb.query.database import Database
    from filterdb.sources import hdf5

    with Database(root) as database:
        layers = database.sql("FROM layers").select(*hdf5.COMPARED)
        found = hdf5.check(path, (dict(zip(hdf5.COMPARED, row, strict=True)) for row in layers.fetchall()))
    print("what the file states of its layers, and the lake has:", file=sys.stderr)
    for one in found:
        print(
            f"  {one.quantity}: {one.compared:,} of {one.layers:,} layers; "
            f"sum {one.stated:,.6g}, here {one.ours:,.6g}; a layer differs by {one.largest_difference:.2g} at most",
            file=sys.stderr,
        )
    if found[0].largest_difference:
        raise IntegrityError(f"the lake has other numbers of filters than {path} states: see the table layers")

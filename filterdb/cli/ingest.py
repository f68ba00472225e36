"""Commands that bring networks in: ingest checkpoint, table, …"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from filterdb.cli.options import FileOption, FormatOption, LakeOption, ThreadsOption, lake_directory, output
from filterdb.cli.output import Format, Output
from filterdb.errors import UsageError
from filterdb.network import Facts, Job, Network

PART_FAILED = 3

app = typer.Typer(help="Bring networks into the lake; running a command again finishes what is left.")

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be ingested; write nothing.")]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Take the place of other weights under the same id.")]
FoldOption = Annotated[
    bool, typer.Option("--fold-batchnorm", help="Multiply each BatchNorm into the convolution before it.")
]
DatasetOption = Annotated[str | None, typer.Option("--dataset", help="Data set it was trained on, e.g. cifar10.")]
RobustOption = Annotated[
    bool | None, typer.Option("--robust/--normal", help="Trained to withstand adversarial examples, or not.")
]
NameOption = Annotated[str | None, typer.Option("--name", help="Its name; the id is local/NAME [default: FILE's].")]
ShapeOption = Annotated[
    str | None, typer.Option("--input-shape", metavar="C,H,W", help="Input of the forward pass, e.g. 3,32,32.")
]


@app.command("checkpoint")
def checkpoint(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help=".safetensors, .pt, .pth or .ckpt")],
    architecture: Annotated[str, typer.Option(metavar="NAME", help="timm:NAME or package.module:factory")],
    dataset: DatasetOption = None,
    robust: RobustOption = None,
    name: NameOption = None,
    clean_accuracy: Annotated[float | None, typer.Option(help="Percent, on clean test images.")] = None,
    robust_accuracy: Annotated[float | None, typer.Option(help="Percent, under attack.")] = None,
    epsilon: Annotated[float | None, typer.Option(help="Perturbation it withstands, inputs in [0, 1].")] = None,
    threat_model: Annotated[str | None, typer.Option(help="Linf, L2 or corruptions.")] = None,
    license: Annotated[str | None, typer.Option(help="SPDX id of the weights' licence.")] = None,
    input_shape: ShapeOption = None,
    fold_batchnorm: FoldOption = False,
    replace: ReplaceOption = False,
    dry_run: DryRunOption = False,
    lake: LakeOption = None,
    threads: ThreadsOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> int:
    """One network from a file of weights."""
    facts = Facts(
        model=f"local/{name or path.stem}",
        source="local",
        name=name or path.stem,
        architecture=architecture,
        dataset=dataset,
        robust=robust,
        clean_accuracy=_percent("--clean-accuracy", clean_accuracy),
        robust_accuracy=_percent("--robust-accuracy", robust_accuracy),
        epsilon=epsilon,
        threat_model=threat_model,
        license=license,
    )
    shape = _shape(input_shape)

    def load() -> Network:
        from filterdb.sources import checkpoint

        return checkpoint.network(path, architecture, facts, input_shape=shape, fold_batchnorm=fold_batchnorm)

    return run(
        context,
        lake,
        [Job(facts.in_form(fold_batchnorm=fold_batchnorm).model, load)],
        output(format, file),
        dry_run,
        replace,
        threads,
    )


@app.command("table")
def table(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help=".parquet or .csv with model, dataset, robust, w0 … w8")],
    replace: ReplaceOption = False,
    dry_run: DryRunOption = False,
    lake: LakeOption = None,
    threads: ThreadsOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> int:
    """Filters that already lie in a table, one row each."""
    from filterdb.sources import table

    ignored = table.ignored_columns(path)
    if ignored:
        print(f"columns that say nothing to filterdb are left out: {', '.join(ignored)}", file=sys.stderr)
    jobs = (Job(network.facts.model, lambda network=network: network) for network in table.networks(path))
    return run(context, lake, jobs, output(format, file), dry_run, replace, threads)


def run(
    context: typer.Context,
    lake: Path | None,
    jobs: Iterable[Job],
    out: Output,
    dry_run: bool,
    replace: bool,
    threads: int | None,
) -> int:
    """Plan or ingest `jobs`; print what became of each; return the exit code."""
    if dry_run:
        from filterdb.cli import plan

        return plan.show([job.load() for job in jobs], out)
    import os

    from filterdb.lake.ingestion import ingest

    with _progress() as progress:
        workers = threads or os.cpu_count() or 1
        root = lake_directory(context, lake)
        reports = list(ingest(root, jobs, replace=replace, threads=workers, progress=progress))
    failures = [report for report in reports if report.error is not None]
    if len(failures) == len(reports) == 1:
        raise failures[0].error
    columns = ("model", "outcome", "n_layers", "n_filters", "n_skips")
    out.records([{name: getattr(report, name) for name in columns} for report in reports])
    for report in failures:
        print(f"filterdb: {report.model}: {report.error}", file=sys.stderr)
    return PART_FAILED if failures else 0


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr for the network under way, in filters."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} filters")]
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading", total=None)

        def advance(model: str, done: int, total: int) -> None:
            bar.update(task, description=model, completed=done, total=total)

        yield advance


def _shape(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    try:
        channels, height, width = (int(number) for number in text.split(","))
    except ValueError as error:
        raise UsageError(f"--input-shape {text!r}: write channels,height,width, e.g. 3,32,32") from error
    if min(channels, height, width) < 1:
        raise UsageError(f"--input-shape {text!r}: every size must be at least 1")
    return channels, height, width


def _percent(option: str, value: float | None) -> float | None:
    if value is not None and not 0 <= value <= 100:
        raise UsageError(f"{option} {value}: percent, from 0 to 100")
    return value

"""Options that the ingest commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from filterdb import memory
from filterdb.cli.options import MOST_THREADS, lake_directory, output
from filterdb.cli.output import Format, Output
from filterdb.errors import UsageError

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be ingested; write nothing.")]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Take the place of other weights under the same id.")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, max=MOST_THREADS, help="Threads [default: all cores].")
]
MemoryOption = Annotated[
    str | None,
    typer.Option("--memory-limit", metavar="SIZE", help="Memory to keep to, e.g. 2GB; fewer threads for large layers."),
]
FoldOption = Annotated[
    bool, typer.Option("--fold-batchnorm", help="Multiply each BatchNorm into the convolution before it.")
]
DatasetOption = Annotated[str | None, typer.Option("--dataset", help="Data set it was trained on, e.g. cifar10.")]
RobustOption = Annotated[
    bool | None, typer.Option("--robust/--normal", help="Trained to withstand adversarial examples, or not.")
]
NameOption = Annotated[str | None, typer.Option("--name", help="Its name; the id is local/NAME [default: FILE's].")]
ArchitectureOption = Annotated[str | None, typer.Option("--architecture", metavar="NAME", help="Its architecture.")]
CleanAccuracyOption = Annotated[float | None, typer.Option("--clean-accuracy", help="Percent, on clean test images.")]
RobustAccuracyOption = Annotated[float | None, typer.Option("--robust-accuracy", help="Percent, under attack.")]
EpsilonOption = Annotated[
    float | None, typer.Option("--epsilon", help="Size of the perturbations it withstands, inputs in [0, 1].")
]
ThreatModelOption = Annotated[str | None, typer.Option("--threat-model", help="Linf, L2 or corruptions.")]
LicenseOption = Annotated[str | None, typer.Option("--license", help="SPDX id of the weights' licence.")]
ShapeOption = Annotated[
    str | None, typer.Option("--input-shape", metavar="C,H,W", help="Input of the forward pass, e.g. 3,32,32.")
]


@dataclass(frozen=True)
class Request:
    """What every ingest command is told: where to, how, and how to print what became of it."""

    root: Path
    out: Output
    dry_run: bool
    replace: bool
    workers: int | None
    memory_limit: int | None


def request(
    context: typer.Context,
    lake: Path | None,
    format: Format,
    file: Path | None,
    dry_run: bool,
    replace: bool,
    workers: int | None,
    memory_limit: str | None,
) -> Request:
    """The shared options as one value."""
    limit = None if memory_limit is None else memory.size(memory_limit)
    return Request(lake_directory(context, lake), output(format, file), dry_run, replace, workers, limit)


def shape(text: str | None) -> tuple[int, int, int] | None:
    """`3,32,32` as numbers."""
    if text is None:
        return None
    try:
        channels, height, width = (int(number) for number in text.split(","))
    except ValueError as error:
        raise UsageError(f"--input-shape {text!r}: write channels,height,width, e.g. 3,32,32") from error
    if not all(0 < size <= 10_000 for size in (channels, height, width)):
        raise UsageError(f"--input-shape {text!r}: every size must be from 1 to 10,000")
    return channels, height, width


def percent(option: str, value: float | None) -> float | None:
    """`value`, refused unless it is a percentage."""
    if value is not None and not 0 <= value <= 100:
        raise UsageError(f"{option} {value}: percent, from 0 to 100")
    return value

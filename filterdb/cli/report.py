"""report: every table, figure and claim of the paper from one lake, with one page to read."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterdb.cli.options import (
    DefinitionOption,
    LakeOption,
    MemoryOption,
    ThreadsOption,
    VersionOption,
    column_names,
    open_database,
)
from filterdb.errors import UsageError
from filterdb.query.names import Definition

if TYPE_CHECKING:
    from filterdb.training.activations import Responses

DIGITS = "digits"
IMAGES = 64
STEPS = 20


def report(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where page, figures and numbers go.")] = Path(
        "report"
    ),
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="PART", help="table1, fig1 … fig7, claims; repeat, or a,b.")
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", metavar="NAME", help="Only these data sets; repeat, or a,b.")
    ] = None,
    pairs: Annotated[
        bool, typer.Option("--pairs/--no-pairs", help="A network counts once per pair, as published, or once.")
    ] = True,
    weights: Annotated[
        str | None, typer.Option(metavar="FORM", help="raw or bn_folded [default: what most networks have].")
    ] = None,
    definition: DefinitionOption = Definition.PAPER,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", metavar="FILE", help="A network for figure 6's activations; repeatable."),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of the checkpoints: timm:NAME, robustbench:…, package.module:factory."),
    ] = None,
    images: Annotated[
        str | None, typer.Option(metavar="DIR", help="Images to attack, as for train; or digits, those of the demo.")
    ] = None,
    epsilon: Annotated[float, typer.Option(help="Size of the attack (l∞), inputs in [0, 1].")] = 8 / 255,
    lake: LakeOption = None,
    version: VersionOption = None,
    threads: ThreadsOption = None,
    memory_limit: MemoryOption = None,
) -> None:
    """The paper from this lake: figures as PDF, SVG and PNG, their numbers as Parquet and CSV, index.html to read."""
    from filterdb.report import report
    from filterdb.report.study import Choice

    choice = Choice(datasets=tuple(column_names(dataset)), definition=definition, pairs=pairs, weights=weights)
    responses = _responses(checkpoint or [], architecture, images, epsilon)
    with open_database(context, lake, version, threads, memory_limit) as database:
        page = report.write(
            database, out, choice, column_names(only), responses=responses, progress=lambda name: _note(name)
        )
    print(page)


def _responses(
    checkpoints: list[Path], architecture: str | None, images: str | None, epsilon: float
) -> "dict[str, Responses]":
    """What the first layers of the networks make of the images; nothing where no network is named."""
    if not checkpoints:
        return {}
    if architecture is None or images is None:
        raise UsageError("--checkpoint needs --architecture, what its weights belong to, and --images, what to attack")
    from filterdb.sources.modules import running, trained_module
    from filterdb.training.activations import responses
    from filterdb.training.attack import Attack

    attack = Attack(epsilon=epsilon, step_size=2.5 * epsilon / STEPS, steps=STEPS)
    chosen = _images(images)
    shape = tuple(chosen.images.shape[1:])
    modules = {path.stem: trained_module(path, architecture, shape) for path in checkpoints}
    with running(architecture):
        return {name: responses(module, chosen, attack) for name, module in modules.items()}


def _images(images: str):  # noqa: ANN202 (torch)
    """The first test images."""
    if images == DIGITS:
        from filterdb.training.digits import read_digits

        return read_digits().test[slice(IMAGES)]
    from filterdb.training.images import read

    return read(Path(images)).test[slice(IMAGES)]


def _note(text: str) -> None:
    print(text, file=sys.stderr)

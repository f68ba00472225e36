"""compare: where one network stands among those of a lake."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterdb.cli import complain
from filterdb.cli.ingest.options import FoldOption, ShapeOption, shape
from filterdb.cli.options import (
    DefinitionOption,
    FileOption,
    FormatOption,
    LakeOption,
    ThreadsOption,
    VersionOption,
    open_database,
    output,
)
from filterdb.cli.output import Format
from filterdb.errors import UsageError
from filterdb.network import Facts
from filterdb.query.names import Definition

if TYPE_CHECKING:
    from filterdb.network import Network
    from filterdb.query.comparison import Comparison

ABOVE = 1


def compare(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help=".safetensors, .pt, .pth, .ckpt or .onnx")],
    against: Annotated[str, typer.Option("--against", metavar="SPLIT", help="The split to stand beside.")],
    architecture: Annotated[
        str | None, typer.Option(metavar="NAME", help="timm:NAME or package.module:factory; .onnx needs none.")
    ] = None,
    input_shape: ShapeOption = None,
    fold_batchnorm: FoldOption = False,
    fail_above: Annotated[
        float | None, typer.Option("--fail-above", metavar="KL", help="Exit with 1 if the divergence is larger.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE", help="Draw spectra and metrics: .png, .svg or .pdf.")
    ] = None,
    definition: DefinitionOption = Definition.PAPER,
    lake: LakeOption = None,
    version: VersionOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
    threads: ThreadsOption = None,
) -> int:
    """One network against a split: divergence, metrics by depth with percentiles, spectrum. Nothing is ingested."""
    from filterdb.query import comparison

    with open_database(context, lake, version, threads) as database:
        split = database.split(against)
        network = _network(path, architecture, shape(input_shape), fold_batchnorm)
        found = comparison.compare(network, split, definition)
    out = output(format, file)
    if out.format is Format.JSON:
        out.document(found.to_dict())
    else:
        rows = [found.overall, *found.by_depth]
        out.records([vars(row) | {"depth_decile": _name(row.depth_decile)} for row in rows])
    if picture is not None:
        _draw(found, picture)
    return _verdict(found, fail_above)


def _network(path: Path, architecture: str | None, sizes: tuple[int, int, int] | None, fold: bool) -> "Network":
    facts = Facts(model=f"local/{path.stem}", source="local", name=path.stem, architecture=architecture)
    if path.suffix == ".onnx":
        from filterdb.sources import onnx

        return onnx.network(path, facts, fold_batchnorm=fold)
    if architecture is None:
        raise UsageError("say what the weights belong to: --architecture timm:NAME or package.module:factory")
    from filterdb.sources import checkpoint

    return checkpoint.network(path, architecture, facts, input_shape=sizes, fold_batchnorm=fold)


def _name(decile: int | None) -> str:
    return "all" if decile is None else str(decile)


def _verdict(found: "Comparison", limit: float | None) -> int:
    kl = found.overall.kl
    if limit is None or (kl is not None and kl <= limit):
        return 0
    complain(f"{found.model}: divergence {kl} from {found.against!r} is above {limit}")
    return ABOVE


def _draw(found: "Comparison", path: Path) -> None:
    from filterdb.report import pictures, style

    if not path.name:
        raise UsageError(f"--picture {str(path)!r}: name a file")
    figure = pictures.spectra(
        {found.model: found.explained_variance_ratio["network"], found.against: found.explained_variance_ratio["split"]}
    )
    for written in style.save(figure, path.with_suffix(""), (path.suffix.removeprefix(".") or "png",)):
        print(written, file=sys.stderr)

"""ingest checkpoint, onnx, table: networks and filters that lie in files."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from filterdb.cli.ingest.options import (
    ArchitectureOption,
    CleanAccuracyOption,
    DatasetOption,
    DryRunOption,
    EpsilonOption,
    FoldOption,
    LicenseOption,
    MemoryOption,
    NameOption,
    ReplaceOption,
    RobustAccuracyOption,
    RobustOption,
    ShapeOption,
    ThreatModelOption,
    WorkersOption,
    percent,
    request,
    shape,
)
from filterdb.cli.ingest.run import run
from filterdb.cli.options import FileOption, FormatOption, LakeOption
from filterdb.cli.output import Format
from filterdb.network import Facts, Job, Network


def checkpoint(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help=".safetensors, .pt, .pth, .ckpt or .tar")],
    architecture: Annotated[
        str, typer.Option(metavar="NAME", help="timm:NAME, or package.module:factory that is called without arguments.")
    ],
    dataset: DatasetOption = None,
    robust: RobustOption = None,
    name: NameOption = None,
    clean_accuracy: CleanAccuracyOption = None,
    robust_accuracy: RobustAccuracyOption = None,
    epsilon: EpsilonOption = None,
    threat_model: ThreatModelOption = None,
    license: LicenseOption = None,
    input_shape: ShapeOption = None,
    select: Annotated[
        str | None, typer.Option(help="Where a file holds several networks: a word in the path to the one, e.g. ema.")
    ] = None,
    fold_batchnorm: FoldOption = False,
    replace: ReplaceOption = False,
    dry_run: DryRunOption = False,
    lake: LakeOption = None,
    workers: WorkersOption = None,
    memory_limit: MemoryOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> int:
    """One network from a file of weights. Pickled code in it is never run."""
    facts = _facts(
        "local",
        name or path.stem,
        clean_accuracy,
        robust_accuracy,
        architecture=architecture,
        dataset=dataset,
        robust=robust,
        epsilon=epsilon,
        threat_model=threat_model,
        license=license,
    )
    sizes = shape(input_shape)

    def load() -> Network:
        from filterdb.sources import checkpoint

        return checkpoint.network(
            path, architecture, facts, input_shape=sizes, fold_batchnorm=fold_batchnorm, select=select
        )

    job = Job(facts.in_form(fold_batchnorm=fold_batchnorm).model, load)
    return run(request(context, lake, format, file, dry_run, replace, workers, memory_limit), [job])


def onnx(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help=".onnx")],
    architecture: ArchitectureOption = None,
    dataset: DatasetOption = None,
    robust: RobustOption = None,
    name: NameOption = None,
    clean_accuracy: CleanAccuracyOption = None,
    robust_accuracy: RobustAccuracyOption = None,
    epsilon: EpsilonOption = None,
    threat_model: ThreatModelOption = None,
    license: LicenseOption = None,
    fold_batchnorm: FoldOption = False,
    replace: ReplaceOption = False,
    dry_run: DryRunOption = False,
    lake: LakeOption = None,
    workers: WorkersOption = None,
    memory_limit: MemoryOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> int:
    """One network from an ONNX graph: weights and depths as the graph has them."""
    facts = _facts(
        "onnx",
        name or path.stem,
        clean_accuracy,
        robust_accuracy,
        architecture=architecture,
        dataset=dataset,
        robust=robust,
        epsilon=epsilon,
        threat_model=threat_model,
        license=license,
    )

    def load() -> Network:
        from filterdb.sources import onnx

        return onnx.network(path, facts, fold_batchnorm=fold_batchnorm)

    job = Job(facts.in_form(fold_batchnorm=fold_batchnorm).model, load)
    return run(request(context, lake, format, file, dry_run, replace, workers, memory_limit), [job])


def table(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help=".parquet or .csv with model, dataset, robust, w0 … w8")],
    replace: ReplaceOption = False,
    dry_run: DryRunOption = False,
    lake: LakeOption = None,
    workers: WorkersOption = None,
    memory_limit: MemoryOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> int:
    """Filters that already lie in a table, one row each; what it does not say stays NULL."""
    from filterdb.sources import table

    ignored = table.ignored_columns(path)
    if ignored:
        print(f"columns that say nothing to filterdb are left out: {', '.join(ignored)}", file=sys.stderr)
    jobs = (Job(network.facts.model, lambda network=network: network) for network in table.networks(path))
    return run(request(context, lake, format, file, dry_run, replace, workers, memory_limit), jobs)


def _facts(source: str, name: str, clean_accuracy: float | None, robust_accuracy: float | None, **known: Any) -> Facts:
    return Facts(
        model=f"local/{name}",
        source=source,
        name=name,
        clean_accuracy=percent("--clean-accuracy", clean_accuracy),
        robust_accuracy=percent("--robust-accuracy", robust_accuracy),
        **known,
    )

"""ingest robustbench, timm: networks of public model zoos."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterdb.cli.ingest.options import (
    DryRunOption,
    FoldOption,
    MemoryOption,
    ReplaceOption,
    WorkersOption,
    request,
)
from filterdb.cli.ingest.run import run
from filterdb.cli.options import LARGEST, FileOption, FormatOption, LakeOption
from filterdb.cli.output import Format
from filterdb.cli.progress import Reporter
from filterdb.errors import UsageError
from filterdb.network import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from filterdb.network import Network
    from filterdb.sources.planning import Architecture

CacheOption = Annotated[
    Path | None, typer.Option("--cache", metavar="DIR", help="Where downloads are kept [default: ~/.cache/filterdb].")
]
UntrainedOption = Annotated[
    bool, typer.Option("--untrained", help="The architectures as initialised, before any training: a null baseline.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=LARGEST, help="Of the initialisation, with --untrained.")]


def robustbench(
    context: typer.Context,
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", help="cifar10, cifar100 or imagenet; repeatable.")
    ] = None,
    threat_model: Annotated[
        list[str] | None, typer.Option("--threat-model", help="Linf, L2 or corruptions; repeatable.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="ID", help="e.g. Carmon2019Unlabeled; repeatable.")
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="The paper's 71 networks and their normal twins, BatchNorm folded in.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Every network of the zoo.")] = False,
    untrained: UntrainedOption = False,
    seed: SeedOption = 0,
    checkpoints: Annotated[
        Path | None, typer.Option("--checkpoints", metavar="DIR", help="Take files that already lie in DIR.")
    ] = None,
    cache: CacheOption = None,
    fold_batchnorm: FoldOption = False,
    replace: ReplaceOption = False,
    dry_run: DryRunOption = False,
    lake: LakeOption = None,
    workers: WorkersOption = None,
    memory_limit: MemoryOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> int:
    """Networks of the RobustBench leaderboards: by data set, threat model or id, or the paper's own collection."""
    from filterdb.sources import robustbench

    if not (dataset or threat_model or model or paper or every):
        raise UsageError("say which networks: --dataset, --threat-model, --model, --paper or --all")
    if paper:
        if threat_model:
            raise UsageError("--paper is about Linf; leave --threat-model out")
        pairs = robustbench.select_pairs(datasets=dataset or (), models=model or ())
        chosen, pair_rows = robustbench.networks(pairs), robustbench.pair_rows(pairs)
    else:
        chosen, pair_rows = (
            robustbench.select(datasets=dataset or (), threat_models=threat_model or (), models=model or ()),
            [],
        )
    reporter, fold = Reporter(), fold_batchnorm or paper

    def load(network: "Architecture") -> "Network":
        reporter.begin(network.facts.model)
        return robustbench.load(
            network, cache=cache, checkpoints=checkpoints, fold_batchnorm=fold, progress=reporter.download
        )

    jobs = _untrained_jobs(chosen, seed, fold) if untrained else _jobs(chosen, load, fold)
    pair_rows = [] if untrained else pair_rows
    return run(request(context, lake, format, file, dry_run, replace, workers, memory_limit), jobs, reporter, pair_rows)


def timm(
    context: typer.Context,
    model: Annotated[
        list[str],
        typer.Option("--model", metavar="NAME", help="A name or pattern, e.g. resnet50.a1_in1k or 'resnet*'."),
    ],
    untrained: UntrainedOption = False,
    seed: SeedOption = 0,
    cache: CacheOption = None,
    fold_batchnorm: FoldOption = False,
    replace: ReplaceOption = False,
    dry_run: DryRunOption = False,
    lake: LakeOption = None,
    workers: WorkersOption = None,
    memory_limit: MemoryOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> int:
    """Networks of timm, with the weights and facts that timm knows of."""
    from filterdb.sources import timm

    chosen = timm.select(model, pretrained=not untrained)
    reporter = Reporter()

    def load(network: "Architecture") -> "Network":
        reporter.begin(network.facts.model)
        return timm.load(network, cache=cache, fold_batchnorm=fold_batchnorm, progress=reporter.download)

    jobs = _untrained_jobs(chosen, seed, fold_batchnorm) if untrained else _jobs(chosen, load, fold_batchnorm)
    return run(request(context, lake, format, file, dry_run, replace, workers, memory_limit), jobs, reporter)


def _jobs(
    networks: "Iterable[Architecture]", load: "Callable[[Architecture], Network]", fold_batchnorm: bool
) -> Iterator[Job]:
    from functools import partial

    from filterdb.sources import planning

    for network in networks:
        yield Job(
            network.facts.in_form(fold_batchnorm=fold_batchnorm).model,
            partial(load, network),
            partial(planning.plan, network, fold_batchnorm=fold_batchnorm),
        )


def _untrained_jobs(networks: "Iterable[Architecture]", seed: int, fold_batchnorm: bool) -> Iterator[Job]:
    from functools import partial

    from filterdb.sources import planning

    return _jobs(
        (planning.Untrained(network, seed) for network in networks),
        partial(planning.initialize, fold_batchnorm=fold_batchnorm),
        fold_batchnorm,
    )

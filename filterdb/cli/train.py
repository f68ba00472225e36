"""train counterpart, adversarial: the normal twin of a network by the paper's recipe, or a robust one by PGD."""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterdb.cli.options import LARGEST, FileOption, FormatOption, output
from filterdb.cli.output import Format
from filterdb.cli.progress import Reporter

if TYPE_CHECKING:
    from filterdb.training.recipe import Recipe

app = typer.Typer(help="Train networks to compare; running a command again goes on.", no_args_is_help=True)


class Selection(StrEnum):
    """Which epoch's weights are kept."""

    VALIDATION = "validation"
    TEST = "test"
    LAST = "last"


ArchitectureOption = Annotated[
    str, typer.Option(metavar="NAME", help="robustbench:DATASET/THREAT_MODEL/ID, timm:NAME or package.module:factory.")
]
DataOption = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="CIFAR for Python, train.npz and test.npz, or class folders.")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Where the run goes [default: runs/ARCHITECTURE].")
]
SelectOption = Annotated[
    Selection, typer.Option("--select", help="Keep the epoch best on held-out images, on the test images, or the last.")
]
EpochsOption = Annotated[int | None, typer.Option("--epochs", min=1, help="Instead of the recipe's 125.")]
BatchOption = Annotated[int | None, typer.Option("--batch-size", min=1, max=LARGEST, help="Instead of the recipe's.")]
RateOption = Annotated[float | None, typer.Option("--learning-rate", help="Instead of the recipe's 0.01.")]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=LARGEST, help="Of initialisation, order and augmentation.")
]
DeviceOption = Annotated[str | None, typer.Option("--device", help="cpu or cuda [default: cuda if there is one].")]


@app.command("counterpart")
def counterpart(
    architecture: ArchitectureOption,
    data: DataOption,
    out: OutOption = None,
    select: SelectOption = Selection.VALIDATION,
    epochs: EpochsOption = None,
    batch_size: BatchOption = None,
    learning_rate: RateOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> None:
    """A normally trained twin by the paper's recipe. `--select test` reproduces the paper, and flatters."""
    from filterdb.training.recipe import counterpart_recipe

    changes = _changes(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    recipe = replace(counterpart_recipe(architecture), **changes)
    output(format, file).records([_train(architecture, data, out, recipe, select, device)])


@app.command("adversarial")
def adversarial(
    architecture: ArchitectureOption,
    data: DataOption,
    out: OutOption = None,
    epsilon: Annotated[float, typer.Option(help="Size of the perturbations, inputs in [0, 1].")] = 8 / 255,
    step_size: Annotated[float, typer.Option(help="Size of one step of the attack.")] = 2 / 255,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the attack.")] = 10,
    select: SelectOption = Selection.VALIDATION,
    epochs: EpochsOption = None,
    batch_size: BatchOption = None,
    learning_rate: RateOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> None:
    """A robust network: the same recipe on images attacked by PGD within an l∞ ball."""
    from filterdb.training.attack import Attack
    from filterdb.training.recipe import ADVERSARIAL

    changes = _changes(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    attack = Attack(epsilon=epsilon, step_size=step_size, steps=steps)
    recipe = replace(ADVERSARIAL, attack=attack, **changes)
    output(format, file).records([_train(architecture, data, out, recipe, select, device)])


def _changes(**given: float | None) -> dict[str, float]:
    return {name: value for name, value in given.items() if value is not None}


def _train(
    architecture: str, data: Path, out: Path | None, recipe: "Recipe", select: Selection, device: str | None
) -> dict[str, object]:
    from filterdb.sources.architectures import constructor
    from filterdb.sources.modules import running
    from filterdb.training import images, runs

    sets = images.read(data)
    kind = "robust" if recipe.attack else "normal"
    directory = out or Path("runs") / f"{architecture.replace(':', '-').replace('/', '-')}-{kind}"
    build: Callable = constructor(architecture)
    with Reporter() as reporter, running(architecture):
        reporter.begin(f"training {architecture}", recipe.epochs)
        trained = runs.train(
            build,
            sets,
            directory,
            recipe,
            select=select.value,
            device=device,
            progress=lambda row: reporter.reach(row.epoch),
        )
    return {"architecture": architecture, **vars(trained), "weights": str(trained.weights)}

"""A training run in a directory: select the best epoch, survive interruption, leave a record.

weights.safetensors   the weights of the selected epoch
state.safetensors     weights and momentum after the last epoch, to go on from
metrics.jsonl         one line per epoch
result.json           recipe, selected epoch and accuracies, once the run is finished
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import nn

from filterdb.errors import UsageError
from filterdb.sources.messages import cause
from filterdb.sources.weightless import quiet
from filterdb.training.images import Images, ImageSets, split
from filterdb.training.loop import Epoch, evaluate, make_optimizer, own_randomness, train_epochs
from filterdb.training.recipe import Recipe
from filterdb.training.weights import (
    load_weights,
    momentum_of,
    put_momentum,
    put_weights,
    read_tensors,
    replace_file,
    save_weights,
    write_tensors,
)

VALIDATION_SHARE = 0.1
Select = Literal["validation", "test", "last"]


@dataclass(frozen=True)
class Row(Epoch):
    """One line of the metrics log. selection: percent right on the images that choose the epoch, if any."""

    selection: float | None


@dataclass(frozen=True)
class Trained:
    """A finished run. Accuracies in percent of the test images; robust only if trained on an attack."""

    weights: Path
    epoch: int
    selection: float | None
    clean_accuracy: float
    robust_accuracy: float | None


def train(
    build: Callable[[], nn.Module],
    sets: ImageSets,
    directory: Path,
    recipe: Recipe,
    *,
    select: Select = "validation",
    device: str | None = None,
    progress: Callable[[Row], None] | None = None,
) -> Trained:
    """Train a network from random initial weights, or go on where an interrupted run in `directory` stopped.

    `build` is called once, under the recipe's seed. The epoch kept is the one most accurate, under the
    recipe's attack if it has one, on a tenth of the training images held out (`validation`), on the test
    images (`test`: what the paper did; flatters the result), or the `last`. Runs on `device`, or a GPU if
    there is one. All images stay in memory. UsageError if `directory` belongs to a different run.
    """
    fitting, choosing = _choose_images(sets, select, recipe.seed)
    place = _usable(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    with own_randomness(place, recipe.seed):
        module = build().to(place)
    optimizer = make_optimizer(module, recipe)
    run = _Run(directory, {"recipe": recipe.to_json(), "select": select, "images": _fingerprint(sets)})
    rows = run.resume(module, optimizer)
    for epoch in train_epochs(module, fitting, recipe, optimizer, done=len(rows)):
        selection = None if choosing is None else evaluate(module, choosing, recipe.attack)
        rows.append(Row(**asdict(epoch), selection=selection))
        run.record(module, optimizer, rows)
        if progress is not None:
            progress(rows[-1])
    load_weights(module, run.weights)
    return run.finish(_measure(module, sets.test, recipe, run.weights, _best(rows)))


def _usable(device: str) -> torch.device:
    """The device called so; UsageError unless it can compute."""
    try:
        with quiet():
            torch.ones(1, device=device).sum().item()
        return torch.device(device)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise UsageError(f"device {device!r} cannot be used ({cause(error)}): choose cpu or cuda") from error


def _choose_images(sets: ImageSets, select: Select, seed: int) -> tuple[Images, Images | None]:
    """(images to train on, images that choose the epoch)."""
    if select == "validation":
        return split(sets.train, VALIDATION_SHARE, seed)
    if select not in get_args(Select):
        raise UsageError(f"select must be one of {', '.join(get_args(Select))}; got {select!r}")
    return sets.train, sets.test if select == "test" else None


def _best(rows: list[Row]) -> Row:
    """The first of the most accurate epochs, or the last one if nothing was measured."""
    return rows[-1] if rows[-1].selection is None else max(rows, key=lambda row: row.selection)


def _measure(module: nn.Module, test: Images, recipe: Recipe, weights: Path, best: Row) -> Trained:
    return Trained(
        weights=weights,
        epoch=best.epoch,
        selection=best.selection,
        clean_accuracy=evaluate(module, test),
        robust_accuracy=None if recipe.attack is None else evaluate(module, test, recipe.attack),
    )


def _fingerprint(sets: ImageSets) -> str:
    """sha256 over all images and labels."""
    digest = hashlib.sha256()
    for part in (sets.train, sets.test):
        digest.update(part.images.contiguous().numpy().data)
        digest.update(part.labels.contiguous().numpy().data)
    return digest.hexdigest()


class _Run:
    """The files of one run; `identity` tells it from others in the same directory."""

    def __init__(self, directory: Path, identity: dict[str, str]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.weights = directory / "weights.safetensors"
        self.state = directory / "state.safetensors"
        self.metrics = directory / "metrics.jsonl"
        self.result = directory / "result.json"
        self.identity = identity

    def resume(self, module: nn.Module, optimizer: torch.optim.SGD) -> list[Row]:
        """Put the last state into module and optimizer; the epochs done so far, none in a new run."""
        if not self.state.exists():
            return []
        tensors, metadata = read_tensors(self.state)
        self._check_identity(metadata)
        put_weights(module, _below(tensors, "weights."), self.state)
        put_momentum(module, optimizer, _below(tensors, "momentum."))
        return [Row(**row) for row in json.loads(metadata["rows"])]

    def record(self, module: nn.Module, optimizer: torch.optim.SGD, rows: list[Row]) -> None:
        """Write down a finished epoch; the state comes last, so that what it counts is there."""
        if _best(rows) is rows[-1]:
            save_weights(module, self.weights)
        lines = [json.dumps(asdict(row)) for row in rows]
        _write_text("".join(line + "\n" for line in lines), self.metrics)
        tensors = _above(module.state_dict(), "weights.") | _above(momentum_of(module, optimizer), "momentum.")
        write_tensors(tensors, self.state, self.identity | {"rows": f"[{','.join(lines)}]"})

    def finish(self, trained: Trained) -> Trained:
        """Write down the result."""
        facts = asdict(trained) | self.identity
        facts |= {"weights": self.weights.name, "recipe": json.loads(self.identity["recipe"])}
        _write_text(json.dumps(facts, indent=2) + "\n", self.result)
        return trained

    def _check_identity(self, metadata: dict[str, str]) -> None:
        different = [name for name, value in self.identity.items() if metadata.get(name) != value]
        if different:
            raise UsageError(
                f"{self.state.parent} holds a run with other {' and '.join(different)}; "
                "choose another directory, or remove this one"
            )


def _above(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _write_text(text: str, path: Path) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    replace_file(temporary, path)

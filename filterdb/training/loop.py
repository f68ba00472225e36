"""The one training loop, and accuracy with and without an attack."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from filterdb.errors import UsageError
from filterdb.training.attack import Attack, evaluation_mode
from filterdb.training.images import Images, as_float
from filterdb.training.recipe import Recipe


@dataclass(frozen=True)
class Epoch:
    """What one epoch did. epoch: from 1; accuracy: percent of the (augmented, attacked) images trained on."""

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    seconds: float


def fit(
    module: nn.Module,
    images: Images,
    recipe: Recipe,
    progress: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Train `module` in place by the whole `recipe`; `progress` is called after every epoch."""
    epochs = []
    for epoch in train_epochs(module, images, recipe, make_optimizer(module, recipe)):
        epochs.append(epoch)
        if progress is not None:
            progress(epoch)
    return epochs


def train_epochs(
    module: nn.Module, images: Images, recipe: Recipe, optimizer: torch.optim.SGD, done: int = 0
) -> Iterator[Epoch]:
    """Train epoch by epoch, after `done` earlier ones; module and optimizer may be saved in between.

    All randomness of an epoch (order, crops, flips, attacks, dropout) follows from the recipe's seed and
    the epoch's number, so that going on from saved weights and momentum equals never having stopped:
    bit by bit on a CPU with the same number of threads.
    """
    images = images.to(device_of(module))
    for number in range(done, recipe.epochs):
        yield _train_epoch(module, images, recipe, optimizer, number)


def evaluate(
    module: nn.Module, images: Images, attack: Attack | None = None, *, batch_size: int = 512, seed: int = 0
) -> float:
    """Percent of the images that `module`, in evaluation mode, classifies rightly, after an attack if given."""
    device, generator = device_of(module), torch.Generator().manual_seed(seed)
    correct = 0
    with evaluation_mode(module):
        for index in torch.arange(len(images)).split(batch_size):
            batch = images[index].to(device)
            pixels = as_float(batch.images)
            if attack is not None:
                pixels = attack(module, pixels, batch.labels, generator)
            with torch.no_grad():
                correct += (module(pixels).argmax(1) == batch.labels).sum().item()
    return 100 * correct / len(images)


def make_optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD over all parameters of `module`, as the recipe says."""
    return torch.optim.SGD(
        module.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )


def device_of(module: nn.Module) -> torch.device:
    """Where the module's parameters are."""
    return next(module.parameters()).device


def _train_epoch(module: nn.Module, images: Images, recipe: Recipe, optimizer: torch.optim.SGD, number: int) -> Epoch:
    started = time.perf_counter()
    generator = epoch_generator(recipe.seed, number)
    loss = torch.zeros((), device=images.labels.device)
    correct = torch.zeros_like(loss)
    batches = batch_indices(len(images), recipe.batch_size, generator)
    with own_randomness(images.labels.device, generator.initial_seed()):
        module.train()
        for step, index in enumerate(batches):
            _set_learning_rate(optimizer, recipe, number + (step + 0.5) / len(batches))
            batch_loss, batch_correct = _train_batch(module, images[index], recipe, optimizer, generator)
            loss += batch_loss * len(index)
            correct += batch_correct
    return Epoch(
        epoch=number + 1,
        learning_rate=optimizer.param_groups[0]["lr"],
        loss=_finite(loss.item() / len(images), number),
        accuracy=100 * correct.item() / len(images),
        seconds=time.perf_counter() - started,
    )


def _train_batch(
    module: nn.Module, batch: Images, recipe: Recipe, optimizer: torch.optim.SGD, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One step of the optimizer: (mean loss, number of right answers) of the batch before it."""
    pixels = augment(as_float(batch.images), recipe, generator)
    with _precision(recipe, pixels.device):
        if recipe.attack is not None:
            pixels = recipe.attack(module, pixels, batch.labels, generator)
        scores = module(pixels)
        loss = cross_entropy(scores, batch.labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach(), (scores.detach().argmax(1) == batch.labels).sum()


def augment(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Random crops and flips of images (n, c, h, w) as the recipe says, drawn on the generator's device."""
    if not (recipe.crop_padding or recipe.flip):
        return images
    n, _, height, width = images.shape
    shifts = torch.randint(2 * recipe.crop_padding + 1, (2, n, 1), generator=generator)
    flipped = torch.rand(n, 1, generator=generator) < (0.5 if recipe.flip else 0)
    rows = shifts[0] + torch.arange(height)
    columns = shifts[1] + torch.where(flipped, torch.arange(width - 1, -1, -1), torch.arange(width))
    first, rows, columns = (
        index.to(images.device) for index in (torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None])
    )
    padded = pad(images, [recipe.crop_padding] * 4)
    return padded.permute(0, 2, 3, 1)[first, rows, columns].permute(0, 3, 1, 2).contiguous()


def batch_indices(n: int, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """A random order of n images in batches; a last batch of one joins the one before (BatchNorm needs two)."""
    batches = list(torch.randperm(n, generator=generator).split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def epoch_generator(seed: int, number: int) -> torch.Generator:
    """The source of randomness of one epoch (from 0): independent of all other epochs and seeds."""
    seeds = torch.randint(2**62, (number + 1,), generator=torch.Generator().manual_seed(seed))
    return torch.Generator().manual_seed(int(seeds[number]))


@contextmanager
def own_randomness(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch's own generators (dropout, initial weights); afterwards they are as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _precision(recipe: Recipe, device: torch.device) -> torch.autocast:
    half = {"automatic": _has_bfloat16(device), "float32": False, "bfloat16": True}[recipe.precision]
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=half)


def _has_bfloat16(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _set_learning_rate(optimizer: torch.optim.SGD, recipe: Recipe, elapsed: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate * recipe.schedule.scale(elapsed, recipe.epochs)


def _finite(loss: float, number: int) -> float:
    if not isfinite(loss):
        raise UsageError(f"training diverged: the loss of epoch {number + 1} is {loss}; lower learning_rate")
    return loss

"""Four small networks trained in under a minute on the digits that scikit-learn ships.

1,797 real handwritten digits of 8×8 pixels, two architectures, each trained twice by one recipe and from
the same initial weights: once on clean images (the normal twin), once on PGD images (the robust one).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from filterdb.training import networks
from filterdb.training.attack import Attack
from filterdb.training.images import Images, ImageSets
from filterdb.training.loop import Epoch, evaluate, fit, own_randomness
from filterdb.training.recipe import OneCycle, Recipe

INPUT_SHAPE = (1, 8, 8)
EPSILON = 0.2
ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "plain": networks.plain_network,
    "residual": networks.residual_network,
}
NORMAL = Recipe(epochs=10, batch_size=64, learning_rate=0.2, weight_decay=0.01, schedule=OneCycle())
ROBUST = replace(NORMAL, attack=Attack(epsilon=EPSILON, step_size=1.25 * EPSILON, steps=2))
TEST_ATTACK = Attack(epsilon=EPSILON, step_size=EPSILON / 8, steps=20)


@dataclass(frozen=True, kw_only=True)
class Twin:
    """A trained network and what was measured on the test images.

    Accuracies in percent, the robust one under `TEST_ATTACK`, which takes ten times the steps trained
    against. factory: import path of the function that builds the architecture, for reading a checkpoint.
    """

    module: nn.Module
    name: str
    architecture: str
    factory: str
    robust: bool
    clean_accuracy: float
    robust_accuracy: float
    epsilon: float = EPSILON
    seed: int
    input_shape: tuple[int, int, int] = INPUT_SHAPE


def read_digits() -> ImageSets:
    """The digits, grey in [0, 1], three quarters to train on; classes evenly split, always the same way."""
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, *INPUT_SHAPE).astype(np.float32) / 16
    parts = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=0)
    train_images, test_images, train_labels, test_labels = map(torch.from_numpy, parts)
    return ImageSets(Images(train_images, train_labels), Images(test_images, test_labels))


def train_twin(
    architecture: str,
    robust: bool,
    sets: ImageSets,
    progress: Callable[[str, Epoch], None] | None = None,
) -> Twin:
    """Train and measure one network of `ARCHITECTURES`; `progress` is called with its name and each finished epoch.

    Computes in one thread, which makes the outcome independent of the number of cores and costs little
    at this size.
    """
    build, recipe = ARCHITECTURES[architecture], ROBUST if robust else NORMAL
    name = f"digits-{architecture}-{'robust' if robust else 'normal'}"
    with _one_thread():
        with own_randomness(torch.device("cpu"), recipe.seed):
            module = build()
        fit(module, sets.train, recipe, progress and (lambda epoch: progress(name, epoch)))
        return Twin(
            module=module,
            name=name,
            architecture=architecture,
            factory=f"{build.__module__}:{build.__name__}",
            robust=robust,
            clean_accuracy=evaluate(module, sets.test),
            robust_accuracy=evaluate(module, sets.test, TEST_ATTACK),
            seed=recipe.seed,
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

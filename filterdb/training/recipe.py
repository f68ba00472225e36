"""What a training run is, as data: two runs with the same recipe, images and machine end alike."""

import json
from dataclasses import asdict, dataclass, replace
from math import cos, pi
from typing import Literal

from filterdb.errors import UsageError
from filterdb.training.attack import Attack


@dataclass(frozen=True, kw_only=True)
class StepDecay:
    """The learning rate is multiplied by `factor` after every `every` epochs."""

    every: int
    factor: float = 0.1

    def scale(self, elapsed: float, epochs: int) -> float:
        """Factor on the learning rate after `elapsed` (fractional) of `epochs` epochs."""
        return self.factor ** int(elapsed // self.every)


@dataclass(frozen=True, kw_only=True)
class OneCycle:
    """The learning rate rises linearly for a share `warm_up` of all epochs, then falls to 0 as a cosine."""

    warm_up: float = 0.25

    def scale(self, elapsed: float, epochs: int) -> float:
        """Factor on the learning rate after `elapsed` (fractional) of `epochs` epochs."""
        done = elapsed / epochs
        if done < self.warm_up:
            return done / self.warm_up
        return (1 + cos(pi * (done - self.warm_up) / (1 - self.warm_up))) / 2


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Cross entropy minimised by SGD with momentum; weight decay acts on all parameters.

    crop_padding: random crops of the original size out of images padded by so many zeros (0: none).
    flip: mirror half of the images. attack: train on adversarial images instead of clean ones.
    precision: `automatic` is bfloat16 autocast on GPUs that compute in it, float32 elsewhere.
    """

    epochs: int
    learning_rate: float
    weight_decay: float
    schedule: StepDecay | OneCycle
    batch_size: int = 256
    momentum: float = 0.9
    nesterov: bool = True
    crop_padding: int = 0
    flip: bool = False
    attack: Attack | None = None
    precision: Literal["automatic", "float32", "bfloat16"] = "automatic"
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size) < 1 or self.learning_rate <= 0:
            raise UsageError(
                "a recipe needs epochs ≥ 1, batch_size ≥ 1 and learning_rate > 0; got "
                f"epochs={self.epochs}, batch_size={self.batch_size}, learning_rate={self.learning_rate}"
            )
        if not (0 <= self.momentum < 1 and (self.momentum or not self.nesterov)):
            raise UsageError(f"momentum must be in [0, 1), above 0 with nesterov; got {self.momentum}")

    def to_json(self) -> str:
        """The recipe as one line of JSON with sorted keys: equal recipes give equal text."""
        fields = asdict(self) | {"schedule": {type(self.schedule).__name__: asdict(self.schedule)}}
        return json.dumps(fields, sort_keys=True)


COUNTERPART = Recipe(
    epochs=125,
    learning_rate=0.01,
    weight_decay=0.01,
    schedule=StepDecay(every=30),
    crop_padding=4,
    flip=True,
)
"""The recipe by which the paper trained the normal twins of the robust networks on CIFAR (32×32)."""

ADVERSARIAL = replace(COUNTERPART, attack=Attack(epsilon=8 / 255, step_size=2 / 255, steps=10))
"""The same, on PGD images of CIFAR's usual l∞ threat model."""


def counterpart_recipe(architecture: str) -> Recipe:
    """`COUNTERPART`, with batches of 128 for WideResNet-106-16, the paper's largest network."""
    largest = "106-16" in architecture
    return replace(COUNTERPART, batch_size=128) if largest else COUNTERPART

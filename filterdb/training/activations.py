"""What the first convolution of a network makes of images, clean and attacked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from filterdb.errors import SourceError
from filterdb.training.attack import Attack, evaluation_mode
from filterdb.training.images import Images, as_float


@dataclass(frozen=True, eq=False)
class Responses:
    """n images in [0, 1] (n, c, h, w), clean and attacked, the outputs of the first convolution for both
    (n, channels, h', w'), and the classes that the network gives them (n,)."""

    images: np.ndarray
    attacked_images: np.ndarray
    maps: np.ndarray
    attacked_maps: np.ndarray
    classes: np.ndarray
    attacked_classes: np.ndarray

    @property
    def relative_change(self) -> np.ndarray:
        """(channels,) mean absolute change of each channel over its mean absolute value; NaN where that is 0."""
        change = np.abs(self.attacked_maps - self.maps).mean(axis=(0, 2, 3))
        size = np.abs(self.maps).mean(axis=(0, 2, 3))
        return change / np.where(size > 0, size, np.nan)


def responses(module: nn.Module, images: Images, attack: Attack, seed: int = 0) -> Responses:
    """Run `images` through `module`, as they are and attacked with its own gradients.

    Evaluated is the output of the first 2-D convolution that a forward pass runs, before any BatchNorm or
    ReLU. Raises SourceError if there is none. Cost: one attack and two forward passes.
    """
    clean = as_float(images.images)
    with evaluation_mode(module):
        attacked = attack(module, clean, images.labels, torch.Generator().manual_seed(seed))
        maps, classes = _first_convolution(module, clean)
        attacked_maps, attacked_classes = _first_convolution(module, attacked)
    arrays = (clean, attacked, maps, attacked_maps, classes, attacked_classes)
    return Responses(*(array.detach().cpu().numpy() for array in arrays))


@torch.no_grad()
def _first_convolution(module: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Output of the first convolution, and the most probable classes."""
    with _recorded(module) as outputs:
        scores = module(images)
    if not outputs:
        raise SourceError(f"{type(module).__name__} runs no 2-D convolution; there are no activations to show")
    return outputs[0], scores.argmax(dim=1)


@contextmanager
def _recorded(module: nn.Module) -> Iterator[list[Tensor]]:
    """Outputs of the 2-D convolutions within `module`, in order of execution."""
    outputs: list[Tensor] = []
    convolutions = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
    handles = [part.register_forward_hook(lambda *call: outputs.append(call[2])) for part in convolutions]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()

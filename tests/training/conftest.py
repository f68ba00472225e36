"""A tiny network and a tiny separable set of images, on which an epoch takes milliseconds."""

import pytest
import torch
from torch import nn

from filterdb.training.images import Images, ImageSets


def build_tiny():
    """Two 3×3 convolutions with BatchNorm and dropout, for (3, 8, 8) images of four classes."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 4),
    )


def make_images(n, seed):
    """uint8 noise with one bright quadrant, which is the label."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 100, (n, 3, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.randint(4, (n,), generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[:, row : row + 4, column : column + 4] += 100
    return Images(images, labels)


@pytest.fixture
def build():
    return build_tiny


@pytest.fixture
def sets():
    return ImageSets(make_images(97, seed=0), make_images(40, seed=1))

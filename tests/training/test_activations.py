"""First-layer maps of clean and attacked images: those of the first convolution that runs, nothing left behind."""

import numpy as np
import pytest
import torch
from torch import nn

from filterdb.errors import SourceError
from filterdb.training.activations import responses
from filterdb.training.attack import Attack
from filterdb.training.images import Images

ATTACK = Attack(epsilon=0.1, step_size=0.05, steps=3)


class Backwards(nn.Module):
    """Declares its convolutions in another order than it runs them."""

    def __init__(self):
        super().__init__()
        self.second = nn.Conv2d(4, 5, 3)
        self.first = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.second(self.first(x)).mean(dim=(2, 3)))


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return Images(torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8, generator=generator), torch.arange(6) % 2)


@pytest.fixture
def module():
    torch.manual_seed(0)
    return Backwards()


def test_maps_are_those_of_the_convolution_that_runs_first(module, images):
    found = responses(module, images, ATTACK)
    clean = images.images.float() / 255
    np.testing.assert_array_equal(found.images, clean.numpy())
    np.testing.assert_allclose(found.maps, module.first(clean).detach().numpy(), atol=1e-6)
    attacked = torch.from_numpy(found.attacked_images)
    np.testing.assert_allclose(found.attacked_maps, module.first(attacked).detach().numpy(), atol=1e-6)
    change = np.abs(found.attacked_images - found.images)
    assert 0.05 < change.max() <= 0.1 + 1e-6
    np.testing.assert_array_equal(found.classes, module(clean).argmax(dim=1).numpy())


def test_relative_change_is_per_channel_and_undefined_where_a_channel_is_dead(module, images):
    nn.init.zeros_(module.first.weight[0])
    nn.init.zeros_(module.first.bias)
    found = responses(module, images, ATTACK)
    expected = np.abs(found.attacked_maps - found.maps).mean(axis=(0, 2, 3)) / np.abs(found.maps).mean(
        axis=(0, 2, 3)
    ).clip(1e-9)
    assert np.isnan(found.relative_change[0])
    np.testing.assert_allclose(found.relative_change[1:], expected[1:], rtol=1e-6)


def test_the_network_is_left_as_it_was_and_the_answer_is_the_same_again(module, images):
    module.train()
    once, again = (responses(module, images, ATTACK) for _ in range(2))
    np.testing.assert_array_equal(once.attacked_images, again.attacked_images)
    assert module.training
    assert not module.first._forward_hooks


def test_a_network_without_convolutions_has_nothing_to_show(images):
    with pytest.raises(SourceError, match="Sequential runs no 2-D convolution"):
        responses(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), images, ATTACK)

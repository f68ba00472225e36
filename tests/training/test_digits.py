"""The demo's twins: real images, architectures that fill every depth decile, one short training."""

from dataclasses import replace

import pytest
import torch

from filterdb.extraction import extract
from filterdb.training import digits


def test_digits_are_real_images_split_once_and_for_all():
    sets, again = digits.read_digits(), digits.read_digits()
    assert (len(sets.train), len(sets.test)) == (1347, 450)
    assert tuple(sets.train.images.shape[1:]) == digits.INPUT_SHAPE
    assert (sets.train.images.min(), sets.train.images.max()) == (0, 1)
    assert torch.bincount(sets.test.labels).min() >= 43
    assert torch.equal(sets.test.images, again.test.images)


@pytest.mark.parametrize(("architecture", "deciles"), [("plain", range(0, 11, 2)), ("residual", range(11))])
def test_the_first_layer_and_the_depth_deciles_hold_filters(architecture, deciles):
    extraction = extract(digits.ARCHITECTURES[architecture](), digits.INPUT_SHAPE)
    found = {part.depth_decile for part in extraction.convolutions if part.kernel == (3, 3)}
    assert found == set(deciles)
    assert extraction.skips == ()


@pytest.mark.parametrize("robust", [False, True])
def test_a_twin_comes_with_its_facts(monkeypatch, robust):
    for name in ("NORMAL", "ROBUST"):
        monkeypatch.setattr(digits, name, replace(getattr(digits, name), epochs=1))
    monkeypatch.setattr(digits, "TEST_ATTACK", replace(digits.TEST_ATTACK, steps=2))
    threads, epochs = torch.get_num_threads(), []
    sets = digits.read_digits()
    twin = digits.train_twin("residual", robust, sets, lambda name, epoch: epochs.append((name, epoch.epoch)))
    assert twin.name == f"digits-residual-{'robust' if robust else 'normal'}"
    assert epochs == [(twin.name, 1)]
    assert (twin.architecture, twin.robust, twin.seed) == ("residual", robust, 0)
    assert twin.factory == "filterdb.training.networks:residual_network"
    assert 0 <= twin.robust_accuracy <= twin.clean_accuracy <= 100
    assert torch.get_num_threads() == threads

"""PGD: stays in the ball and the image range, raises the loss, leaves the module as it was."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from filterdb.errors import UsageError
from filterdb.training.attack import Attack, evaluation_mode, pgd
from filterdb.training.networks import residual_network

EPSILON = 0.1


@pytest.fixture
def module():
    torch.manual_seed(0)
    return residual_network()


@pytest.fixture
def images():
    return torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels():
    return torch.arange(16) % 10


def attack(module, images, labels, seed=0, **settings):
    return pgd(
        module,
        images,
        labels,
        EPSILON,
        EPSILON / 4,
        10,
        generator=torch.Generator().manual_seed(seed),
        **settings,
    )


@pytest.mark.parametrize("random_start", [True, False])
def test_stays_in_the_ball_and_in_the_range_of_images(module, images, labels, random_start):
    images[0] = 0
    images[1] = 1
    adversarial = attack(module, images, labels, random_start=random_start)
    assert (adversarial - images).abs().max() <= EPSILON + 1e-6
    assert (adversarial - images).abs().max() >= EPSILON - 1e-6
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    assert not adversarial.requires_grad


def test_raises_the_loss_of_every_image(module, images, labels):
    module.eval()
    adversarial = attack(module, images, labels)
    before, after = (cross_entropy(module(x), labels, reduction="none") for x in (images, adversarial))
    assert (after > before).all()


def test_more_steps_raise_the_loss_further(module, images, labels):
    module.eval()
    losses = [
        cross_entropy(module(pgd(module, images, labels, EPSILON, EPSILON / 8, steps)), labels) for steps in (1, 20)
    ]
    assert losses[0] < losses[1]


def test_one_step_without_random_start_is_the_sign_of_the_gradient(module, images, labels):
    module.eval()
    wanted = images.clone().requires_grad_(True)
    cross_entropy(module(wanted), labels).backward()
    expected = (images + EPSILON * wanted.grad.sign()).clamp(0, 1)
    assert torch.equal(pgd(module, images, labels, EPSILON, 1.0, 1, random_start=False), expected)


def test_the_same_seed_gives_the_same_images(module, images, labels):
    first, again, other = (attack(module, images, labels, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_leaves_modes_gradients_buffers_and_images_alone(module, images, labels):
    module.train()
    module[1].eval()
    modes = [part.training for part in module.modules()]
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    original = images.clone()
    attack(module, images, labels)
    assert [part.training for part in module.modules()] == modes
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())
    assert torch.equal(images, original)
    assert not images.requires_grad


def test_works_where_gradients_are_switched_off(module, images, labels):
    with torch.no_grad():
        inside = attack(module, images, labels)
    assert torch.equal(inside, attack(module, images, labels))


def test_the_mode_comes_back_after_an_error(module):
    module.train()
    with pytest.raises(ZeroDivisionError), evaluation_mode(module):
        raise ZeroDivisionError
    assert module.training


@pytest.mark.parametrize("wrong", [{"epsilon": 0}, {"epsilon": 2}, {"step_size": 0}, {"steps": 0}])
def test_impossible_attacks_are_refused(wrong):
    with pytest.raises(UsageError, match="an attack needs 0 < epsilon ≤ 1"):
        Attack(**({"epsilon": 0.1, "step_size": 0.1, "steps": 1} | wrong))

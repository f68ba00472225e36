"""The training loop: learns, repeats itself, follows its schedule, and augments as it says."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import pad

from filterdb.errors import UsageError
from filterdb.training import loop
from filterdb.training.attack import Attack
from filterdb.training.recipe import (
    ADVERSARIAL,
    COUNTERPART,
    OneCycle,
    Recipe,
    StepDecay,
    counterpart_recipe,
)

RECIPE = Recipe(epochs=4, batch_size=16, learning_rate=0.05, weight_decay=1e-4, schedule=OneCycle(), crop_padding=1)
ATTACK = Attack(epsilon=0.1, step_size=0.1, steps=1)


def trained(build, images, recipe, progress=None):
    torch.manual_seed(7)
    module = build()
    epochs = loop.fit(module, images, recipe, progress)
    return module, epochs


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("attack", [None, ATTACK])
def test_training_learns_and_reports_each_epoch(build, sets, attack):
    seen = []
    module, epochs = trained(build, sets.train, replace(RECIPE, epochs=10, attack=attack), seen.append)
    assert seen == epochs
    assert [epoch.epoch for epoch in epochs] == list(range(1, 11))
    assert epochs[-1].loss < epochs[0].loss / 2
    assert loop.evaluate(module, sets.test) > 80
    assert all(0 <= epoch.accuracy <= 100 and epoch.seconds > 0 for epoch in epochs)


@pytest.mark.parametrize("attack", [None, ATTACK])
def test_the_same_seed_gives_the_same_weights_whatever_torch_drew_before(build, sets, attack):
    recipe = replace(RECIPE, epochs=2, attack=attack)
    first, _ = trained(build, sets.train, recipe)
    torch.rand(3)
    again, _ = trained(build, sets.train, recipe)
    other, _ = trained(build, sets.train, replace(recipe, seed=1))
    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_training_leaves_the_random_state_of_the_caller_alone(build, sets):
    torch.manual_seed(7)
    module = build()
    state = torch.random.get_rng_state()
    loop.fit(module, sets.train, replace(RECIPE, epochs=1))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_epochs_and_seeds_have_randomness_of_their_own():
    drawn = {int(loop.epoch_generator(seed, number).initial_seed()) for seed in range(5) for number in range(9)}
    assert len(drawn) == 45


def test_bfloat16_trains_and_leaves_the_weights_in_float32(build, sets):
    half, _ = trained(build, sets.train, replace(RECIPE, epochs=1, precision="bfloat16"))
    full, _ = trained(build, sets.train, replace(RECIPE, epochs=1, precision="float32"))
    automatic, _ = trained(build, sets.train, replace(RECIPE, epochs=1))
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float32}
    assert not same_weights(half, full)
    assert same_weights(automatic, full)


def test_a_diverging_run_is_stopped(build, sets):
    images = replace(sets.train, images=sets.train.images.float() * float("inf"))
    with pytest.raises(UsageError, match="training diverged: the loss of epoch 1 is nan; lower learning_rate"):
        trained(build, images, RECIPE)


def test_evaluate_counts_right_answers_and_keeps_the_mode(build, sets):
    torch.manual_seed(7)
    module = build()
    module.train()
    accuracy = loop.evaluate(module, sets.test, batch_size=7)
    assert module.training
    module.eval()
    right = module(sets.test.images.float() / 255).argmax(1) == sets.test.labels
    assert accuracy == 100 * right.double().mean().item()


def test_an_attack_lowers_the_accuracy(build, sets):
    module, _ = trained(build, sets.train, replace(RECIPE, epochs=10))
    clean = loop.evaluate(module, sets.test)
    assert loop.evaluate(module, sets.test, Attack(epsilon=0.3, step_size=0.1, steps=5)) < clean


def test_crops_and_flips_are_windows_of_the_padded_image():
    images = torch.rand(64, 2, 5, 5)
    recipe = replace(RECIPE, crop_padding=2, flip=True)
    changed = loop.augment(images, recipe, torch.Generator().manual_seed(0))
    padded = pad(images, [2] * 4)
    shifts, mirrored = set(), set()
    for image, around in zip(changed, padded, strict=True):
        found = [
            (row, column, flip)
            for row in range(5)
            for column in range(5)
            for flip in (False, True)
            if torch.equal(image.flip(2) if flip else image, around[:, row : row + 5, column : column + 5])
        ]
        assert len(found) == 1
        shifts.add(found[0][:2])
        mirrored.add(found[0][2])
    assert len(shifts) > 15
    assert mirrored == {False, True}


def test_without_crop_and_flip_images_are_not_touched():
    images = torch.rand(3, 1, 4, 4)
    assert loop.augment(images, replace(RECIPE, crop_padding=0), torch.Generator()) is images


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"), [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (1, 4, [1]), (3, 1, [1, 2])]
)
def test_batches_hold_every_image_once_and_end_with_more_than_one(n, batch_size, sizes):
    batches = loop.batch_indices(n, batch_size, torch.Generator().manual_seed(0))
    assert [len(batch) for batch in batches] == sizes
    assert sorted(torch.cat(batches).tolist()) == list(range(n))


def test_step_decay_of_the_paper():
    scales = [COUNTERPART.schedule.scale(epoch + 0.5, 125) for epoch in range(125)]
    expected = [0.1 ** (epoch // 30) for epoch in range(125)]
    assert scales == pytest.approx(expected)


def test_one_cycle_rises_and_falls_to_nothing():
    scales = [OneCycle(warm_up=0.2).scale(elapsed, 10) for elapsed in (0, 1, 2, 6, 10)]
    assert scales == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_recipes_of_the_paper():
    assert (COUNTERPART.learning_rate, COUNTERPART.momentum, COUNTERPART.weight_decay) == (0.01, 0.9, 0.01)
    assert COUNTERPART.schedule == StepDecay(every=30, factor=0.1)
    assert counterpart_recipe("WideResNet-28-10") == COUNTERPART
    assert counterpart_recipe("WideResNet-106-16") == replace(COUNTERPART, batch_size=128)
    assert replace(ADVERSARIAL, attack=None) == COUNTERPART


def test_recipes_differ_in_json_when_anything_differs():
    recipes = [
        RECIPE,
        replace(RECIPE, seed=1),
        replace(RECIPE, attack=ATTACK),
        replace(RECIPE, schedule=StepDecay(every=2)),
    ]
    assert len({recipe.to_json() for recipe in recipes}) == 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs ≥ 1"),
        ({"learning_rate": -1}, "learning_rate > 0"),
        ({"batch_size": 0}, "batch_size ≥ 1"),
        ({"momentum": 0}, r"momentum must be in \[0, 1\)"),
    ],
)
def test_impossible_recipes_are_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        replace(RECIPE, **wrong)

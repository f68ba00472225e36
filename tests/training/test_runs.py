"""Runs in a directory: resuming equals never stopping, selection is honest, files are whole."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from filterdb.errors import SourceError, UsageError
from filterdb.training import runs
from filterdb.training.attack import Attack
from filterdb.training.loop import evaluate
from filterdb.training.recipe import Recipe, StepDecay
from filterdb.training.weights import load_weights, save_weights

RECIPE = Recipe(
    epochs=4,
    batch_size=32,
    learning_rate=0.05,
    weight_decay=0.01,
    schedule=StepDecay(every=2),
    crop_padding=1,
    flip=False,
    attack=Attack(epsilon=0.05, step_size=0.05, steps=1),
)


class Interrupted(Exception):
    pass


def interrupt_after(epoch):
    def progress(row):
        if row.epoch == epoch:
            raise Interrupted

    return progress


def measured(rows):
    return [(row.epoch, row.learning_rate, row.loss, row.accuracy, row.selection) for row in rows]


@pytest.mark.parametrize("stops", [(1,), (3,), (1, 2, 4)])
def test_a_resumed_run_equals_an_undisturbed_one(tmp_path, build, sets, stops):
    whole, parts = [], []
    expected = runs.train(build, sets, tmp_path / "whole", RECIPE, device="cpu", progress=whole.append)
    for stop in stops:
        with pytest.raises(Interrupted):
            runs.train(build, sets, tmp_path / "parts", RECIPE, device="cpu", progress=interrupt_after(stop))
    result = runs.train(build, sets, tmp_path / "parts", RECIPE, device="cpu", progress=parts.append)
    assert measured(parts) == measured(whole[stops[-1] :])
    assert replace(result, weights=expected.weights) == expected
    for name in ("weights.safetensors", "state.safetensors"):
        one, other = load_file(tmp_path / "whole" / name), load_file(tmp_path / "parts" / name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    logged = [json.loads(line) for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in logged] == [1, 2, 3, 4]


def test_a_finished_run_is_not_repeated(tmp_path, build, sets):
    first = runs.train(build, sets, tmp_path, RECIPE, device="cpu")
    rows = []
    assert runs.train(build, sets, tmp_path, RECIPE, device="cpu", progress=rows.append) == first
    assert rows == []


@pytest.mark.parametrize("select", ["validation", "test", "last"])
def test_selection_keeps_the_best_epoch_and_measures_it(tmp_path, build, sets, select):
    rows = []
    result = runs.train(build, sets, tmp_path, RECIPE, select=select, device="cpu", progress=rows.append)
    chosen = [row.selection for row in rows]
    expected = 4 if select == "last" else chosen.index(max(chosen)) + 1
    assert (result.epoch, result.selection) == (expected, chosen[expected - 1])
    module = build()
    load_weights(module, result.weights)
    assert result.clean_accuracy == evaluate(module, sets.test)
    assert result.robust_accuracy == evaluate(module, sets.test, RECIPE.attack)
    if select == "test":
        assert result.robust_accuracy == max(chosen)


def test_validation_images_are_not_trained_on(tmp_path, build, sets, monkeypatch):
    seen = []
    train_epochs = runs.train_epochs
    monkeypatch.setattr(
        runs,
        "train_epochs",
        lambda module, images, *a, **k: seen.append(images) or train_epochs(module, images, *a, **k),
    )
    runs.train(build, sets, tmp_path, replace(RECIPE, epochs=1), device="cpu")
    assert len(seen[0]) == 87


def test_the_result_file_tells_recipe_images_and_accuracies(tmp_path, build, sets):
    result = runs.train(build, sets, tmp_path, replace(RECIPE, attack=None), device="cpu")
    written = json.loads((tmp_path / "result.json").read_text())
    assert result.robust_accuracy is None
    assert written["recipe"]["schedule"] == {"StepDecay": {"every": 2, "factor": 0.1}}
    assert written["clean_accuracy"] == result.clean_accuracy
    assert written["weights"] == "weights.safetensors"
    assert len(written["images"]) == 64
    assert not list(tmp_path.glob("*.part"))


def test_another_run_in_the_same_directory_is_refused(tmp_path, build, sets):
    runs.train(build, sets, tmp_path, replace(RECIPE, epochs=1), device="cpu")
    with pytest.raises(UsageError, match="holds a run with other recipe; choose another directory"):
        runs.train(build, sets, tmp_path, replace(RECIPE, epochs=2), device="cpu")
    with pytest.raises(UsageError, match="other select and images"):
        runs.train(build, replace(sets, test=sets.train), tmp_path, replace(RECIPE, epochs=1), select="last")


def test_an_unknown_selection_is_refused(tmp_path, build, sets):
    with pytest.raises(UsageError, match="select must be one of validation, test, last; got 'best'"):
        runs.train(build, sets, tmp_path, RECIPE, select="best")


def test_a_damaged_state_is_named(tmp_path, build, sets):
    runs.train(build, sets, tmp_path, replace(RECIPE, epochs=1), device="cpu")
    (tmp_path / "state.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(SourceError, match=r"state.safetensors cannot be read as safetensors"):
        runs.train(build, sets, tmp_path, replace(RECIPE, epochs=1), device="cpu")


def test_weights_make_the_round_trip_with_tied_ones(tmp_path, build):
    module, other = build(), build()
    module[4].weight = module[0].weight = torch.nn.Parameter(torch.rand(4, 3, 3, 3))
    other[4].weight = torch.nn.Parameter(torch.zeros(4, 3, 3, 3))
    load_weights(other, save_weights(module, tmp_path / "weights.safetensors"))
    for name, tensor in module.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_weights_of_another_architecture_are_refused(tmp_path, build):
    path = save_weights(torch.nn.Linear(2, 2), tmp_path / "weights.safetensors")
    with pytest.raises(SourceError, match="holds weights of another architecture"):
        load_weights(build(), path)

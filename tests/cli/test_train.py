"""The train commands: a run, its continuation, its checkpoint in a lake."""

import json

import numpy as np
import pytest

from filterdb import cli

FACTORY = """
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(4, 3))
"""


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    (tmp_path / "trainfactory.py").write_text(FACTORY)
    (tmp_path / "data").mkdir()
    numbers = np.random.default_rng(0)
    for part, n in (("train", 60), ("test", 12)):
        pictures = numbers.integers(0, 255, (n, 16, 16, 3), dtype=np.uint8)
        np.savez(tmp_path / "data" / f"{part}.npz", images=pictures, labels=np.arange(n) % 3)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = cli.run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


OPTIONS = ("--architecture", "trainfactory:small", "--data", "data", "--batch-size", "20", "--device", "cpu")


@pytest.mark.parametrize("kind", ["counterpart", "adversarial"])
def test_a_run_is_trained_resumed_and_ingested(run, kind):
    code, out, err = run("train", kind, *OPTIONS, "--epochs", "2", "--out", "run", "--format", "json")
    assert code == 0, err
    trained = json.loads(out)[0]
    assert 0 <= trained["clean_accuracy"] <= 100
    assert (trained["robust_accuracy"] is not None) == (kind == "adversarial")
    again = run("train", kind, *OPTIONS, "--epochs", "2", "--out", "run", "--format", "json")
    assert json.loads(again[1])[0] == trained
    code, out, err = run(
        "ingest", "checkpoint", trained["weights"], "--architecture", "trainfactory:small",
        "--input-shape", "3,16,16", "--dataset", "toys", "--normal", "--name", kind, "--format", "json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)[0]["n_filters"] == 28


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--architecture", "trainfactory:smal", "--data", "data"], 2, "did you mean small?"),
        (["--architecture", "robustbench:cifar10/Linf/Carmon2019", "--data", "data"], 2, "did you mean"),
        (["--architecture", "trainfactory:small", "--data", "nowhere"], 1, "nowhere"),
        (["--architecture", "trainfactory:small", "--data", "data", "--epochs", "0"], 2, "--epochs"),
        (["--architecture", "trainfactory:small", "--data", "data", "--learning-rate", "-1"], 2, "learning_rate > 0"),
    ],
)
def test_bad_input_is_one_line(run, arguments, code, message):
    found, out, err = run("train", "counterpart", *arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1

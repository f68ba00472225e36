"""The ingest commands, as a user sees them."""

import json
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from filterdb import cli
from tests.sources.published_file import Row, write_file

FACTORY = """
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Conv2d(5, 6, 1))

def flat():
    return nn.Sequential(nn.Conv2d(3, 4, 1))
"""


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    (tmp_path / "toyfactory.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = cli.run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Conv2d(5, 6, 1))
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, tmp_path / "net.ckpt")
    return "net.safetensors"


INTO = ("--architecture", "toyfactory:small", "--dataset", "toys", "--robust")


def test_a_checkpoint_goes_in_once(run, checkpoint):
    code, out, err = run("ingest", "checkpoint", checkpoint, *INTO, "--clean-accuracy", "93.5", "--format", "json")
    assert (code, json.loads(out)) == (
        0,
        [{"model": "local/net", "outcome": "written", "n_layers": 2, "n_filters": 32, "n_skips": 1}],
    ), err
    code, out, _ = run("ingest", "checkpoint", "net.ckpt", *INTO, "--format", "json")
    assert (code, json.loads(out)[0]["outcome"]) == (0, "unchanged")
    _, out, _ = run("sql", "SELECT model, dataset, robust, clean_accuracy, weights FROM models", "--format", "jsonl")
    assert json.loads(out) == {
        "model": "local/net", "dataset": "toys", "robust": True, "clean_accuracy": 93.5, "weights": "raw",
    }  # fmt: skip
    _, out, _ = run("sql", "FROM skips", "--format", "jsonl")
    assert json.loads(out) == {"model": "local/net", "layer": "4.weight", "kernel": "1x1", "reason": "kernel 1x1"}


def test_both_forms_of_a_network_may_lie_in_one_lake(run, checkpoint):
    run("ingest", "checkpoint", checkpoint, *INTO)
    code, _, err = run("ingest", "checkpoint", checkpoint, *INTO, "--fold-batchnorm")
    assert code == 0, err
    _, out, _ = run("sql", "SELECT model, weights FROM models ORDER BY ALL", "--format", "csv")
    assert out.splitlines()[1:] == ["local/net,raw", "local/net@bn_folded,bn_folded"]


def test_a_plan_writes_nothing(run, checkpoint):
    code, out, _ = run("ingest", "checkpoint", checkpoint, *INTO, "--dry-run", "--format", "json")
    plan = json.loads(out)
    assert code == 0
    assert (plan["n_models"], plan["n_layers"], plan["n_filters"]) == (1, 2, 32)
    (model,) = plan["models"]
    assert set(model) == {"model", "dataset", "robust", "architecture", "n_filters", "layers", "skips"}
    assert model["layers"][1] == {
        "layer": 1, "name": "3.weight", "in_channels": 4, "out_channels": 5,
        "conv_depth": 1, "depth_decile": 5, "n_filters": 20,
    }  # fmt: skip
    assert not Path("filters.lake").exists()


def test_a_table_goes_in_as_it_is(run):
    weights = {f"w{i}": [0.1 * i, 0.5, -0.2, 0.0] for i in range(9)}
    facts = {"model": ["a", "a", "b", "b"], "dataset": "toys", "robust": [True, True, False, False], "layer": 0}
    pl.DataFrame(facts | weights | {"colour": "red"}).write_csv("filters.csv")
    code, out, err = run("ingest", "table", "filters.csv", "--format", "json")
    assert code == 0
    assert "colour" in err
    assert [row["model"] for row in json.loads(out)] == ["local/a", "local/b"]
    _, out, _ = run("sql", "SELECT count(*) AS n, count(conv_depth) AS known FROM filters", "--format", "json")
    assert json.loads(out) == [{"n": 4, "known": 0}]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["checkpoint", "gone.pt", *INTO], 1, "gone.pt: there is no such file"),
        (["checkpoint", "net.safetensors", "--architecture", "toyfactory:smal"], 2, "did you mean small?"),
        (["checkpoint", "net.safetensors", "--architecture", "resnet18"], 2, "neither timm:NAME nor"),
        (["checkpoint", "net.safetensors", "--architecture", "timm:resnet18"], 1, "missing"),
        (["checkpoint", "net.safetensors", *INTO, "--input-shape", "3,32"], 2, "write channels,height,width"),
        (["checkpoint", "net.safetensors", *INTO, "--input-shape", "0,1,1"], 2, "every size must be"),
        (["checkpoint", "net.safetensors", *INTO, "--clean-accuracy", "0.95e3"], 2, "percent, from 0 to 100"),
        (["checkpoint", "net.safetensors", *INTO, "--name", "x" * 300], 2, "must be 1 to 200 bytes"),
        (["table", "gone.parquet"], 1, "gone.parquet"),
        (["robustbench"], 2, "say which networks"),
        (["robustbench", "--model", "Carmon2019Unlabelled"], 2, "did you mean"),
        (["robustbench", "--dataset", "cifar"], 2, "cifar10"),
        (["timm", "--model", "resnet18x"], 2, "resnet18"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(run, checkpoint, arguments, code, message):
    found, out, err = run("ingest", *arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1
    _, out, _ = run("sql", "SELECT count(*) AS n FROM models", "--format", "jsonl")
    assert out in ("", '{"n": 0}\n')


def test_compare_needs_no_ingestion(run, checkpoint):
    run("ingest", "checkpoint", checkpoint, *INTO)
    options = ("--architecture", "toyfactory:small", "--against", "robust")
    code, out, err = run("compare", checkpoint, *options, "--format", "json", "--picture", "spectra.svg")
    assert code == 0, err
    found = json.loads(out)
    assert found["overall"]["kl"] == pytest.approx(0, abs=1e-9)
    assert len(found["explained_variance_ratio"]["network"]) == 9
    assert Path("spectra.svg").read_text().startswith("<?xml")
    assert run("compare", checkpoint, *options, "--fail-above", "0.5")[0] == 0
    code, _, err = run("compare", checkpoint, *options, "--fail-above", "-1")
    assert (code, "is above -1" in err) == (1, True)
    code, _, err = run("compare", checkpoint, "--against", "robust")
    assert (code, "--architecture" in err) == (2, True)


def test_the_null_baseline_is_the_same_for_the_same_seed(run):
    for _ in range(2):
        code, out, err = run("ingest", "timm", "--model", "resnet10t", "--untrained", "--format", "json")
        assert code == 0, err
    assert json.loads(out)[0] == {
        "model": "timm/resnet10t@random", "outcome": "unchanged", "n_layers": 11, "n_filters": 527_176, "n_skips": 3,
    }  # fmt: skip


def test_the_published_file_brings_its_pairs(run, reference_data):
    code, _, err = run("ingest", "hdf5", str(reference_data / "published_layout_sample.h5"))
    assert code == 0, err
    _, out, _ = run("sql", "SELECT (SELECT count(*) FROM models) AS models, (SELECT count(*) FROM pairs) AS pairs, "
                    "(SELECT count(*) FROM filters) AS filters", "--format", "jsonl")  # fmt: skip
    assert json.loads(out) == {"models": 7, "pairs": 3, "filters": 11_488}
    assert "n_filters: 41 of 41 layers; sum 11,488, here 11,488; a layer differs by 0 at most" in err
    assert "n_sparse: 41 of 41 layers; sum 2,019, here 2,019; a layer differs by 0 at most" in err


def test_a_published_file_that_states_other_filters_than_the_lake_has_is_said(run, tmp_path):
    for n_filters, expected in ((10, 0), (20, 4)):
        rows = [Row(model="same"), Row(model_id=1, out_channels=n_filters, n_filters=n_filters)]
        write_file(tmp_path / "dataset.h5", rows)
        code, _, err = run("ingest", "hdf5", str(tmp_path / "dataset.h5"))
        assert code == expected, err
    assert "n_filters: 2 of 2 layers; sum 22, here 12; a layer differs by 10 at most" in err
    assert "the lake has other numbers of filters" in err.splitlines()[-1]


def test_real_filters_show_the_papers_direction(run, reference_lake):
    """First components and divergence of 81,632 filters of 78 trained CIFAR-10 networks."""
    asked = ("robust", "NOT robust", "--lake", str(reference_lake), "--format", "json")
    _, out, _ = run("pca", *asked)
    first = [record["explained_variance_ratio"][0] for record in json.loads(out)]
    assert first == pytest.approx([0.344047, 0.469981], abs=5e-7)
    _, out, _ = run("kl", *asked)
    assert json.loads(out)[0]["kl"] == pytest.approx(0.08819, abs=1e-5)

"""Registered bases as a user meets them: added, listed, named in kl, kept up to date by ingest."""

import json

import numpy as np
import polars as pl
import pytest

from filterdb import cli
from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_network
from tests.networks import random_network


@pytest.fixture
def run(capsys, tmp_path):
    lake = Lake.create(tmp_path / "toy.lake")
    for name in ("robust", "plain"):
        write_network(lake, random_network(name, seed=len(name), n_layers=4))

    def call(*arguments):
        code = cli.run(["--lake", str(lake.root), *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def rows(run, *arguments):
    code, out, err = run(*arguments, "--format", "json")
    assert code == 0, err
    return json.loads(out)


def test_a_basis_is_added_listed_and_named(run):
    assert run("basis", "add", "everything", "true") == (0, "", "")
    listed = rows(run, "basis", "list")
    assert [(row["name"], row["split"], row["n_models"]) for row in listed] == [("everything", "true", 2)]
    by_name = rows(run, "kl", "robust", "NOT robust", "--basis", "everything", "--by", "depth_decile")
    by_split = rows(run, "kl", "robust", "NOT robust", "--basis", "true", "--by", "depth_decile")
    assert [row["kl"] for row in by_name] == pytest.approx([row["kl"] for row in by_split], rel=1e-9)


def test_ingestion_keeps_histograms_of_what_it_brings(run, tmp_path):
    run("basis", "add", "everything", "true")
    weights = np.random.default_rng(0).normal(size=(9, 20)).astype(np.float32)
    table = pl.DataFrame(
        {"model": "late", "dataset": "cifar10", "robust": True} | {f"w{i}": weights[i] for i in range(9)}
    )
    table.write_parquet(tmp_path / "late.parquet")
    assert run("ingest", "table", str(tmp_path / "late.parquet"))[0] == 0
    assert rows(run, "basis", "list")[0]["n_models"] == 3


def test_a_name_that_is_taken_is_one_line(run):
    run("basis", "add", "everything", "true")
    code, _, err = run("basis", "add", "everything", "robust")
    assert (code, err) == (2, "filterdb: the basis 'everything' is that of 'true': choose another name\n")

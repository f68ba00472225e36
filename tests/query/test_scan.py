"""Scans: the kernel over row groups gives what SQL gives, whichever rows a split picks and however they are grouped."""

import numpy as np
import pytest

import filterdb
from filterdb.lake import rows
from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_network
from filterdb.query import places, scan
from filterdb.query.conjuncts import layers_that_may_meet
from tests.networks import random_network

CONDITIONS = [
    "w4 > 0",
    "w4 > 0.12",
    "dataset = 'cifar10' AND NOT sparse AND max_abs > 0.1",
    "architecture = 'Toy' AND w4 > w0",
    "orthogonality > 0.5 AND w4 > 0 AND in_channels = 6",
    "w4 > (SELECT avg(w4) FROM filters)",
    "w0 > 0 -- a comment",
    "w4 > 1e9",
    "CASE WHEN w4 > 0 THEN NULL ELSE true END",
    "robust AND w4 > 0",
    "(robust AND layer > 1) AND (NOT w4 < 0 AND model IN (SELECT model FROM models WHERE dataset = 'cifar10'))",
    "robust OR w4 > 0",
    "max_abs < 0.2 AND w4 > 0 AND layer = 1 AND NULL IS NULL",
]
PASSED_OVER = {
    "w4 > 0": "true",
    "robust AND w4 > 0 AND layer > 1": "robust AND layer > 1",
    "robust OR w4 > 0": "true",
    "max_abs < 1e-9 AND w4 > 0": "true",
    "random() < 0 AND w4 > 0 AND NOT robust": "NOT robust",
    "n_filters > 50 AND (w4 > 0 AND variance_entropy > 0.9)": "n_filters > 50 AND variance_entropy > 0.9",
}
"""Conditions on filters, and the layers that they leave to look at."""


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A lake whose layers lie in many row groups, some of them across two."""
    lake = Lake.create(tmp_path_factory.mktemp("scan") / "a.lake")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "ROW_GROUP_ROWS", 40)
        patch.setattr(rows, "SMALL_ROW_GROUP_ROWS", 10)
        for number, name in enumerate(("robust", "plain", "robust-too")):
            facts = {"dataset": "cifar10" if number else "cifar100"}
            write_network(lake, random_network(name, seed=number, n_layers=4 + number, width=9, **facts))
    return lake


@pytest.fixture
def scanned(pieces, monkeypatch):
    monkeypatch.setattr(places, "MIN_FILTERS", 0)
    with filterdb.open(pieces.root, threads=2) as database:
        yield database


def in_sql(condition):
    """The same filters, asked for so that SQL finds them."""
    return f"SELECT * FROM filter_facts WHERE (\n{condition}\n)"


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("by", [(), ("robust",), ("model", "depth_decile"), ("architecture", "layer")])
def test_moments_equal_those_in_sql(scanned, condition, by):
    split = scanned.split(condition)
    assert places.of_split(split, by) is not None
    for scaled in (True, False):
        found = split.moments_by(by, scaled=scaled)
        expected = {k: v for k, v in scanned.split(in_sql(condition)).moments_by(by, scaled=scaled).items() if v.n}
        assert {k for k, v in found.items() if v.n} == expected.keys()
        for group, moments in expected.items():
            np.testing.assert_allclose(found[group].to_vector(), moments.to_vector(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_histograms_equal_those_in_sql(scanned, condition):
    basis = scanned.split("true").pca()
    found = scanned.split(condition).histograms(basis, "model")
    expected = scanned.split(in_sql(condition)).histograms(basis, "model")
    assert found.keys() == expected.keys()
    for group, counts in expected.items():
        np.testing.assert_array_equal(found[group], counts)


@pytest.mark.parametrize("by", ["sparse", "max_abs"])
def test_groups_of_single_filters_are_left_to_sql(scanned, by):
    split = scanned.split("w4 > 0")
    assert places.of_split(split, (by,)) is None
    assert sum(moments.n for moments in split.moments_by(by).values()) == split.moments().n > 0


def test_few_filters_are_left_to_sql(scanned, monkeypatch):
    monkeypatch.setattr(places, "MIN_FILTERS", scanned.split("true").count() + 1)
    assert places.of_split(scanned.split("w4 > 0"), ()) is None


def test_a_select_of_filters_is_left_to_sql(scanned):
    assert places.of_split(scanned.split("SELECT * FROM filters WHERE w4 > 0 LIMIT 10"), ()) is None


def test_row_groups_that_two_splits_need_are_read_once(scanned, monkeypatch):
    read = []
    monkeypatch.setattr(scan._Job, "read", lambda job, whole=scan._Job.read: read.append(job) or whole(job))
    scanned.kl("layer % 2 = 0", "layer % 2 = 1", basis=scanned.split("true").pca())
    assert len(read) == len({(job.file, job.row_group) for job in read})
    assert {part.group for job in read for part in job.parts} == {(0,), (1,)}


def test_row_groups_without_a_row_that_counts_are_not_read(scanned, monkeypatch):
    monkeypatch.setattr(scan._Job, "read", lambda job: pytest.fail("read"))
    assert scanned.split("w4 > 1e9").moments().n == 0


@pytest.mark.parametrize(("condition", "layers"), PASSED_OVER.items())
def test_layers_that_a_condition_rules_out_are_passed_over(scanned, condition, layers):
    keys = [
        scanned.sql(f"SELECT model, layer FROM ({select}) ORDER BY ALL").fetchall()
        for select in (layers_that_may_meet(scanned.connection, condition), f"FROM layers WHERE {layers}")
    ]
    assert keys[0] == keys[1] != []


def test_any_layers_by_any_rows(scanned):
    """The scan of whole layers, which summaries answer otherwise, equals the summaries."""
    for text in ("true", "layer = 2", "depth_decile > 3", "model = 'local/plain' OR layer IN (0, 3)"):
        split = scanned.split(text)
        found = scan.moments(places.of_split(split, ("dataset",)), threads=2)
        for group, moments in split.moments_by("dataset").items():
            np.testing.assert_allclose(found[group].to_vector(), moments.to_vector(), rtol=1e-9, atol=1e-12)

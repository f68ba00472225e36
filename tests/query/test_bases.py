"""Registered bases: what is kept on them gives what a scan gives, grows with the lake, and may be deleted."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import filterdb
from filterdb.errors import LakeError, UsageError
from filterdb.lake.lake import Lake
from filterdb.lake.vacuum import superfluous
from filterdb.lake.verify import verify
from filterdb.lake.writer import write_network
from filterdb.query import bases, places, scan
from filterdb.query.registration import extend, register
from tests.networks import random_network


@pytest.fixture
def root(tmp_path):
    lake = Lake.create(tmp_path / "a.lake")
    for number, name in enumerate(("robust", "plain", "robust-too")):
        write_network(lake, random_network(name, seed=number, n_layers=4 + number))
    return lake.root


def divergences(root, basis, **options):
    with filterdb.open(root, **options) as database:
        return database.kl("robust", "NOT robust", by="depth_decile", basis=basis).drop("range")


def assert_same(found, expected):
    counts = ["depth_decile", "n_p", "n_q"]
    assert found.select(counts).rows() == expected.select(counts).rows()
    np.testing.assert_allclose(found["kl"], expected["kl"], rtol=1e-9)


@pytest.fixture
def no_scan(monkeypatch):
    monkeypatch.setattr(scan._Job, "read", lambda job: pytest.fail("filters were read"))


def test_kept_histograms_are_those_of_a_scan(root):
    basis = register(root, "everything", "true")
    with filterdb.open(root) as database:
        split, by = database.split("true"), ("model", "layer")
        kept = bases.histograms(split, by, basis.id)
        scanned = scan.histograms(places.of_split(split, by), basis.pca, basis.pca.coefficient_range(), 70, 2)
        assert kept.keys() == scanned.keys()
        for group, counts in kept.items():
            np.testing.assert_array_equal(counts, scanned[group])


def test_divergences_on_a_registered_basis_look_at_no_filter(root, request):
    basis = register(root, "everything", "true")
    with filterdb.open(root) as database:
        expected = database.kl("robust", "NOT robust", by="depth_decile", basis=database.split("true"))
    request.getfixturevalue("no_scan")
    assert_same(divergences(root, "everything"), expected)
    assert_same(divergences(root, basis.pca), expected)


def test_a_basis_comes_back_bit_for_bit(root):
    basis = register(root, "robust ones", "robust AND layer > 0")
    with filterdb.open(root) as database:
        found = database.bases["robust ones"]
    assert (found.id, found.name, found.split) == (basis.id, "robust ones", "robust AND layer > 0")
    for name, values in vars(basis.pca).items():
        np.testing.assert_array_equal(getattr(found.pca, name), values)


def test_networks_without_histograms_are_scanned_and_then_added(root, request):
    register(root, "everything", "true")
    write_network(Lake(root), random_network("robust-late", seed=9))
    with filterdb.open(root) as database:
        assert database.sql("SELECT count(DISTINCT model) FROM histograms").fetchall() == [(3,)]
        pca = database.bases["everything"].pca
        split = database.split("robust AND depth_decile IN (0, 5, 10)")
        mixed = split.histograms(pca, "model")
        for model in mixed:
            alone = f"SELECT * FROM filter_facts WHERE model = '{model[0]}' AND depth_decile IN (0, 5, 10)"
            np.testing.assert_array_equal(mixed[model], database.split(alone).histograms(pca)[()])
        assert ("local/robust-late",) in mixed
    extend(root)
    files = Lake(root).files("histograms")
    assert len(files) == 2
    extend(root)
    assert Lake(root).files("histograms") == files
    request.getfixturevalue("no_scan")
    divergences(root, "everything")


def test_replaced_networks_count_once_and_older_versions_stay(root):
    before = divergences(root, register(root, "everything", "true").pca)
    version = Lake(root).version
    write_network(Lake(root), random_network("plain", seed=77, n_layers=5), replace=True)
    extend(root)
    assert_same(divergences(root, "everything", version=version), before)
    with filterdb.open(root) as database:
        layers = database.sql("SELECT count(*) FROM layers").fetchall()
        assert database.sql("SELECT count(*) FROM histograms").fetchall() == layers
        n_kept = "SELECT sum(list_sum(counts[1:70])) FROM histograms"
        assert database.sql(n_kept).fetchall()[0][0] == database.split("true").moments().n


@pytest.mark.parametrize("folders", [["histograms"], ["bases"], ["bases", "histograms"]])
def test_derived_tables_may_be_deleted(root, folders):
    basis = register(root, "everything", "true")
    expected = divergences(root, basis.pca)
    for name in folders:
        shutil.rmtree(root / name)
    assert_same(divergences(root, basis.pca), expected)
    assert verify(root).damage == ()
    register(root, "everything", "true")
    assert_same(divergences(root, "everything"), expected)


def test_conditions_on_single_filters_are_counted_on_a_registered_basis_too(root):
    register(root, "everything", "true")
    with filterdb.open(root) as database:
        some = database.kl("robust AND w4 > 0", "NOT robust AND w4 > 0", basis="everything")
        every = database.kl("robust", "NOT robust", basis="everything")
    assert 0 < some["n_p"][0] < every["n_p"][0]


def test_registering_at_once_keeps_everything_once(root):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: register(root, "everything", "true", threads=1), range(4)))
    assert len({basis.id for basis in found}) == 1
    with filterdb.open(root) as database:
        assert database.sql("SELECT count(*) FROM bases").fetchall() == [(9,)]
        assert (
            database.sql("SELECT count(*) FROM histograms").fetchall()
            == database.sql("SELECT count(*) FROM layers").fetchall()
        )
    assert not verify(root).leftovers
    assert superfluous(Lake(root)) == []


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("everything", "robust", "the basis 'everything' is that of 'true': choose another name"),
        ("robust", "true", "the name 'robust' means a split already"),
        ("a.json", "true", "1 to 200 printable characters"),
        ("", "true", "1 to 200 printable characters"),
        ("none", "false", "no common basis"),
        ("x", "robst", "Referenced column"),
    ],
)
def test_what_cannot_be_registered(root, name, split, message):
    register(root, "everything", "true")
    with pytest.raises(UsageError, match=message):
        register(root, name, split)


def test_an_unknown_basis_lists_the_known_ones(root):
    register(root, "everything", "true")
    with pytest.raises(UsageError, match="no basis 'nothing'; registered are everything:"):
        divergences(root, "nothing")


def test_there_is_no_lake_to_register_in(tmp_path):
    with pytest.raises(LakeError, match="no lake in"):
        register(tmp_path / "nowhere", "everything", "true")

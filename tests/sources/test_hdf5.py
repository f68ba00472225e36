"""The published file becomes its networks: facts from columns, depths by our rule, filters where they lie."""

import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import filterdb
from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_network, write_pairs
from filterdb.network import Skip
from filterdb.sources import hdf5
from tests.sources.published_file import Row, network_rows, write_file, write_frame, write_objects

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sample(reference_data):
    return reference_data / "published_layout_sample.h5"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "dataset.h5"


def only(path):
    (network,) = hdf5.networks(path)
    return network


def test_sample_has_all_its_networks_layers_and_filters(sample):
    networks = list(hdf5.networks(sample))
    assert [len(network.layers) for network in networks] == [5, 5, 9, 9, 4, 4, 5]
    assert sum(network.n_filters for network in networks) == 11_488
    assert {network.facts.weights for network in networks} == {"bn_folded"}
    assert {layer.groups for network in networks for layer in network} == {None}
    assert [[skip.reason for skip in network.skips] for network in networks] == [
        *[["kernel 1x1"]] * 4,
        *[["kernel 7x7", "kernel 1x1"]] * 2,
        ["kernel 1x1"],
    ]


def test_sample_facts_come_from_columns(sample):
    normal, robust, *_, unknown = (network.facts for network in hdf5.networks(sample))
    assert normal.model == "paper/cifar10/hso_normal_training_robustbench_Alpha2020_R18_cifar10_13"
    assert (normal.robust, robust.robust) == (False, True)
    assert (robust.dataset, robust.architecture) == ("cifar10", "ResNet-18")
    assert (robust.clean_accuracy, robust.robust_accuracy) == (84.0, 50.0)
    assert robust.paper == "https://example.org/paper"
    assert unknown.model == "paper/robustbench_Standard_cifar10_linf_13"
    assert {unknown.dataset, unknown.robust, unknown.architecture, unknown.clean_accuracy} == {None}
    assert {unknown.robust_accuracy, unknown.paper, unknown.threat_model} == {None}


def test_sample_layers_are_in_order_of_depth_and_read_their_own_rows(sample):
    first = next(hdf5.networks(sample))
    assert [layer.conv_depth for layer in first] == [0, 1, 2, 3, 4]
    assert [layer.depth_decile for layer in first] == [0, 3, 5, 8, 10]
    assert [(layer.in_channels, layer.out_channels) for layer in first] == [(3, 8), (8, 8), (8, 8), (8, 16), (16, 16)]
    with h5py.File(sample) as file:
        stored = file["filters"][:].reshape(-1, 9).astype(np.float32)
    spans = [(0, 24), (24, 88), (216, 280), (88, 216), (280, 536)]
    for layer, (start, stop) in zip(first, spans, strict=True):
        read = layer.read()
        assert read.dtype == np.float32
        assert read.flags.c_contiguous
        np.testing.assert_array_equal(read, stored[start:stop])


def test_sample_agrees_with_its_derived_tables_after_import(sample, tmp_path):
    lake = Lake.create(tmp_path / "zoo.lake")
    for network in hdf5.networks(sample):
        write_network(lake, network)
    write_pairs(lake, hdf5.pairs(sample))
    with filterdb.open(tmp_path / "zoo.lake") as database:
        layers = database.sql("SELECT * FROM layers").pl().to_dicts()
        assert database.sql("SELECT count(*) FROM pairs").fetchall() == [(3,)]
        assert database.sql("SELECT count(*) FROM models WHERE robust IS NULL").fetchall() == [(1,)]
    comparisons = {comparison.quantity: comparison for comparison in hdf5.check(sample, layers)}
    assert {(c.layers, c.compared) for c in comparisons.values()} == {(41, 41)}
    assert (comparisons["n_filters"].stated, comparisons["n_filters"].ours) == (11_488, 11_488)
    assert (comparisons["n_sparse"].stated, comparisons["n_sparse"].ours) == (2_019, 2_019)
    assert {"sparsity", "max_abs", "variance_entropy_scaled", "orthogonality"} <= comparisons.keys()
    assert max(comparison.largest_difference for comparison in comparisons.values()) < 1e-12


def test_sample_pairs(sample):
    found = {(pair["robust_model"], pair["normal_model"], pair["architecture"]) for pair in hdf5.pairs(sample)}
    assert found == {
        (
            "paper/cifar10/robustbench_Alpha2020_R18_cifar10_linf_13",
            "paper/cifar10/hso_normal_training_robustbench_Alpha2020_R18_cifar10_13",
            "ResNet-18",
        ),
        (
            "paper/cifar100/robustbench_Beta2021_cifar100_linf_13",
            "paper/cifar100/hso_normal_training_robustbench_Beta2021_cifar100_13",
            "WideResNet-28-10",
        ),
        (
            "paper/imagenet/robustbench_Gamma2020_imagenet_linf_13",
            "paper/imagenet/timm_gamma_imagenet1k_13",
            "ResNet-50",
        ),
    }


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", ">f8"])
@pytest.mark.parametrize("shape", [(-1, 3, 3), (-1, 9)])
def test_filters_of_any_width_and_shape(path, dtype, shape):
    filters = np.random.default_rng(1).standard_normal((4, 9)).astype(dtype)
    write_file(path, network_rows(0, "net"), filters.reshape(shape))
    read = np.concatenate([layer.read() for layer in only(path)])
    np.testing.assert_array_equal(read, filters.astype(np.float32))


def test_compressed_filters(path):
    filters = write_file(path, network_rows(0, "net"), np.zeros((4, 3, 3)), chunks=(4, 3, 3), compression="gzip")
    np.testing.assert_array_equal(only(path).layers[1].read(), filters[2:].reshape(2, 9))


@pytest.mark.parametrize("rounded", [np.float32, lambda share: round(share, 2)])
def test_depth_counts_kernels_that_are_not_stored(path, rounded):
    """A 7×7 convolution first, a 1×1 one last, relative depths somewhat rounded."""
    rows = network_rows(0, "net", (1, 24, 47), last=48)
    for row in rows:
        row.conv_depth_norm = float(rounded(row.conv_depth_norm))
    write_file(path, rows)
    found = [(layer.depth, layer.depth_decile) for layer in only(path)]
    assert found == [(1 / 48, 1), (0.5, 5), (47 / 48, 10)]


def test_single_layer_at_the_input(path):
    row = Row(conv_depth=0, conv_depth_norm=np.nan)
    write_file(path, [row])
    (layer,) = only(path)
    assert (layer.conv_depth, layer.depth, layer.depth_decile) == (0, 0.0, 0)


def test_layers_of_equal_depth_keep_their_order(path):
    rows = network_rows(0, "net", (3, 1, 1), last=3)
    filters = write_file(path, rows).reshape(-1, 9).astype(np.float32)
    read = np.concatenate([layer.read() for layer in only(path)])
    np.testing.assert_array_equal(read, filters[[2, 3, 4, 5, 0, 1]])


def test_other_kernels_become_skips(path):
    write_file(path, network_rows(0, "net", **{"(1, 1) filters": 128}))
    assert only(path).skips == (Skip(None, "1x1", "kernel 1x1"),)
    write_file(path, network_rows(0, "net", **{"(1, 1) filters": 0}))
    assert only(path).skips == ()


def test_fewer_filters_than_channels_are_groups(path):
    write_file(path, [Row(in_channels=8, out_channels=8, n_filters=16)])
    (layer,) = only(path)
    assert (layer.in_channels, layer.out_channels, layer.groups) == (2, 8, 4)


def test_networks_of_one_name_are_told_apart(path):
    write_file(path, [*network_rows(3, "same"), *network_rows(7, "same"), *network_rows(8, "other")])
    assert [network.facts.model for network in hdf5.networks(path)] == ["paper/same#3", "paper/same#7", "paper/other"]


@pytest.mark.parametrize("value", [True, np.True_, 1.0])
def test_robust_may_be_any_truth(path, value):
    write_file(path, network_rows(0, "net", Robust=value))
    assert only(path).facts.robust is True


def test_texts_that_are_false_are_nothing(path):
    write_file(path, network_rows(0, "net", Backbone=False))
    assert only(path).facts.architecture is None


def test_pairs_prefer_the_counterpart_that_the_paper_names(path):
    """Three normal networks of the architecture: one of the same `Network`, one that the paper paired."""
    wide = {"Training-Dataset": "cifar10", "Backbone": "WideResNet-28-10"}
    twin = "hso_normal_training_robustbench_Carmon2019Unlabeled_cifar10_13"
    rows = [
        *network_rows(0, "robust", Robust=True, Network="Sehwag2020Hydra", **wide),
        *network_rows(1, "same", Robust=False, Network="Sehwag2020Hydra", **wide),
        *network_rows(2, twin, Robust=False, Network="Carmon2019Unlabeled", **wide),
        *network_rows(3, "third", Robust=False, Network="third", **wide),
    ]
    write_file(path, rows)
    assert [pair["normal_model"] for pair in hdf5.pairs(path)] == [f"paper/cifar10/{twin}"]
    write_file(path, [row for row in rows if row.model_id != 2])
    assert [pair["normal_model"] for pair in hdf5.pairs(path)] == ["paper/cifar10/same"]


def test_pairs_leave_out_what_has_no_or_no_single_counterpart(path):
    cifar, other = {"Training-Dataset": "cifar10"}, {"Training-Dataset": "cifar100"}
    rows = [
        *network_rows(0, "one of two", Robust=True, Backbone="A", **cifar),
        *network_rows(1, "a", Robust=False, Backbone="A", **cifar),
        *network_rows(2, "b", Robust=False, Backbone="A", **cifar),
        *network_rows(3, "other data", Robust=True, Backbone="B", **cifar),
        *network_rows(4, "c", Robust=False, Backbone="B", **other),
        *network_rows(5, "unknown data", Robust=True, Backbone="C"),
        *network_rows(6, "unknown data too", Robust=False, Backbone="C"),
        *network_rows(7, "no normal one", Robust=True, Backbone="D", **cifar),
        *network_rows(8, "unknown training", Backbone="D", **cifar),
    ]
    write_file(path, rows)
    assert hdf5.pairs(path) == []


def test_check_finds_what_differs(path):
    rows = network_rows(0, "net", (0, 1))
    write_file(path, rows)
    with h5py.File(path, "a") as file:
        write_frame(file, "meta_ortho", rows, {"ortho": [0.5, np.nan]})
    ours = [
        {"model": "paper/net", "layer": 0, "n_filters": 2, "orthogonality": 0.25},
        {"model": "paper/net", "layer": 1, "n_filters": 2, "orthogonality": None},
        {"model": "another", "layer": 0, "n_filters": 9, "orthogonality": 0.0},
    ]
    counts, orthogonality = hdf5.check(path, ours)
    assert counts == hdf5.Comparison("n_filters", 2, 2, 4.0, 4.0, 0.0)
    assert orthogonality == hdf5.Comparison("orthogonality", 2, 2, 0.5, 0.25, 0.25)
    assert hdf5.check(path, ours[:1])[0] == hdf5.Comparison("n_filters", 2, 1, 2.0, 2.0, 0.0)
    ours[1]["orthogonality"] = 0.5
    assert hdf5.check(path, ours)[1].largest_difference == float("inf")


def test_numpy_scalars_among_objects(path):
    """What a column of mixed types holds when it was filled from numpy."""
    rows = network_rows(0, "net", **{"Clean Accuracy": np.float32(50), "Network": None})
    write_file(path, rows)
    assert only(path).facts.clean_accuracy == 50.0


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_objects_of_any_pickle_protocol(path, protocol):
    write_file(path, network_rows(0, "net", Robust=False))
    with h5py.File(path, "a") as file:
        values = pickle.loads(bytes(file["meta/block1_values"][0]))
        del file["meta/block1_values"]
        stored = write_objects(file["meta"], "block1_values", pickle.dumps(values, protocol=protocol))
        stored.attrs["transposed"] = np.uint8(1)
    assert only(path).facts.robust is False


def test_memory_does_not_grow_with_the_file(path):
    """360 MB of filters in layers of 50,000: a reader holds one of 1.8 MB."""
    script = """
import sys
from bench.measure import peak_memory
from filterdb.sources import hdf5
layers = [layer for network in hdf5.networks(sys.argv[1]) for layer in network]
layers[0].read()
before = peak_memory()
assert sum(len(layer.read()) for layer in layers) == 5_000_000
print(peak_memory() - before)
"""
    rows = [Row(n, 0, in_channels=100, out_channels=500, n_filters=50_000, model=f"net{n}") for n in range(100)]
    write_file(path, rows, np.zeros((1, 3, 3)))
    with h5py.File(path, "a") as file:
        del file["filters"]
        early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        early.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((5_000_000, 3, 3))
        h5py.h5d.create(file.id, b"filters", h5py.h5t.IEEE_F64LE, space, early)
    result = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(result.stdout) < 8 * 2**20

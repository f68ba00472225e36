"""Files that are damaged, of another layout, or meant to do harm end in one line that names the file."""

import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest

from filterdb.errors import SourceError
from filterdb.sources import hdf5
from tests.sources.published_file import Row, network_rows, write_file, write_objects


@pytest.fixture
def path(tmp_path):
    return tmp_path / "dataset.h5"


@pytest.fixture
def whole(path):
    write_file(path, network_rows(0, "net", (0, 1), Robust=True))
    return path


def refuse(path, message):
    with pytest.raises(SourceError, match=message) as caught:
        list(hdf5.networks(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def change(path, name, data, **attributes):
    with h5py.File(path, "a") as file:
        before = dict(file[name].attrs) if name in file else {}
        del file[name]
        file.create_dataset(name, data=data).attrs.update(before | attributes)


def replace_objects(path, pickled):
    with h5py.File(path, "a") as file:
        del file["meta/block1_values"]
        write_objects(file["meta"], "block1_values", pickled).attrs["transposed"] = np.uint8(1)


class Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


class Evil:
    def __reduce__(self):
        return eval, ("print('ran')",)


def test_missing(path):
    refuse(path, "No such file or directory")


def test_directory(tmp_path):
    refuse(tmp_path, "Is a directory")


def test_no_hdf5(path):
    path.write_bytes(b"<!DOCTYPE html>" * 100)
    refuse(path, r"damaged or no HDF5 file \(.*file signature not found.*\); download it again")


def test_empty(path):
    path.touch()
    refuse(path, r"dataset\.h5: ")


def test_cut_off(whole):
    whole.write_bytes(whole.read_bytes()[:-1000])
    refuse(whole, "truncated file")


def test_flipped_bytes_never_do_more_than_fail(whole):
    content = whole.read_bytes()
    for position in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        whole.write_bytes(damaged)
        with suppress(SourceError):
            for network in hdf5.networks(whole):
                assert all(len(layer.read()) == layer.n_filters for layer in network)


@pytest.mark.parametrize("name", ["filters", "meta", "meta/block0_items", "meta/axis1_label0"])
def test_without_a_part(whole, name):
    with h5py.File(whole, "a") as file:
        del file[name]
    refuse(whole, rf"has no (dataset|group) /{name}")


def test_without_a_column(whole):
    change(whole, "meta/block0_items", np.array([b"in_channels", b"channels_out", b"x"]))
    refuse(whole, "/meta has no column out_channels")


def test_without_rows(path):
    with h5py.File(path, "w") as file:
        file["filters"] = np.zeros((2, 3, 3))
    write_file(path, network_rows(0, "net", (0, 1)))
    for level in range(4):
        change(path, f"meta/axis1_label{level}", np.zeros(0, np.int8))
    change(path, "meta/block0_values", np.zeros((0, 3)))
    replace_objects(path, pickle.dumps(np.zeros((0, 9), dtype=object)))
    refuse(path, "/meta has no rows; there is nothing to ingest")


def test_columns_of_different_length(whole):
    change(whole, "meta/block0_values", np.zeros((3, 3)))
    refuse(whole, "the columns of /meta differ in length")


@pytest.mark.parametrize("filters", [np.zeros((4, 3)), np.zeros((4, 5, 5)), np.zeros((4, 3, 3), int)])
def test_other_filters(whole, filters):
    change(whole, "filters", filters)
    refuse(whole, r"/filters is .* not floats of shape \(N, 3, 3\) or \(N, 9\)")


def test_filters_that_are_not_there(whole):
    """A few bytes that claim to be 72 PB."""
    with h5py.File(whole, "a") as file:
        del file["filters"]
        file.create_dataset("filters", (10**15, 3, 3), "f8")
    refuse(whole, "/filters claims 72,000,000,000,000,000 bytes of values, but 0 are stored")


def test_filters_that_compress_too_well_to_be_true(whole):
    with h5py.File(whole, "a") as file:
        del file["filters"]
        file.create_dataset("filters", (10**12, 3, 3), "f8", chunks=(1, 3, 3), compression="gzip")
        file["filters"][0] = 0
    refuse(whole, "/filters claims")


def test_link_to_another_file(whole, tmp_path):
    write_file(tmp_path / "other.h5", network_rows(0, "net"))
    with h5py.File(whole, "a") as file:
        del file["filters"]
        file["filters"] = h5py.ExternalLink("other.h5", "/filters")
    refuse(whole, "has no dataset /filters")


def test_values_in_another_file(whole, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(288))
    with h5py.File(whole, "a") as file:
        del file["filters"]
        file.create_dataset("filters", (4, 3, 3), "f8", external=[(str(secret), 0, 288)])
    refuse(whole, "/filters does not hold its values itself")


def test_values_gathered_from_elsewhere(whole):
    layout = h5py.VirtualLayout((4, 3, 3), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "filters", (4, 3, 3))
    with h5py.File(whole, "a") as file:
        del file["filters"]
        file.create_virtual_dataset("filters", layout)
    refuse(whole, "/filters does not hold its values itself")


def test_objects_that_would_run_code(whole, tmp_path):
    canary = tmp_path / "canary"
    replace_objects(whole, pickle.dumps(np.array([[Payload(canary)]], dtype=object)))
    refuse(whole, r"a table holds objects of (pathlib|_io)")
    replace_objects(whole, pickle.dumps(np.array([[Evil()]], dtype=object)))
    refuse(whole, r"builtins\.eval")
    assert not canary.exists()


@pytest.mark.parametrize(
    "pickled",
    [
        b"",
        b"no pickle",
        pickle.dumps([1, 2]),
        pickle.dumps(np.zeros((2, 2))),
        pickle.dumps(np.zeros(3, dtype="M8[s]")),
        pickle.dumps(np.zeros((2, 9), dtype=object))[:-20],
    ],
)
def test_objects_that_are_none(whole, pickled):
    replace_objects(whole, pickled)
    refuse(whole, r"dataset\.h5: ")


def test_claims_more_objects_than_there_are(whole):
    pickled = pickle.dumps(np.zeros((2, 9), dtype=object), protocol=4)
    replace_objects(whole, pickled.replace(b"K\x02K\x09\x86", b"K\xffK\xff\x86"))
    refuse(whole, r"an array of shape \(255, 255\) without its values")


def test_filter_ids_beyond_the_end(path):
    write_file(path, [Row(n_filters=2), Row(layer_id=1, n_filters=2)], np.zeros((3, 3, 3)))
    refuse(path, r"filter_ids '2:3' is no range first:last within 3 filters")


@pytest.mark.parametrize("text", ["5:4", "-1:2", "1", "a:b", float("nan")])
def test_filter_ids_that_are_no_range(whole, text):
    with h5py.File(whole) as file:
        values = pickle.loads(bytes(file["meta/block1_values"][0]))
    values[0, 1] = text
    replace_objects(whole, pickle.dumps(values))
    refuse(whole, "filter_ids .* is no range first:last within 4 filters")


def test_channels_that_are_not_that_many(path):
    write_file(path, [Row(in_channels=3, out_channels=3, n_filters=2)])
    refuse(path, "2 filters cannot form 3 × 3 channels")


@pytest.mark.parametrize(
    ("depths", "relative"), [((1, 2), (0.5, 0.5)), ((1,), (0.0,)), ((-1,), (-1.0,)), ((2,), (2.0,))]
)
def test_depths_that_contradict_each_other(path, depths, relative):
    pairs = zip(depths, relative, strict=True)
    write_file(path, [Row(0, i, depth, share) for i, (depth, share) in enumerate(pairs)])
    refuse(path, "conv_depth and conv_depth_norm of network 0 contradict each other")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"Robust": "perhaps"}, "Robust is 'perhaps', neither true nor false"),
        ({"Clean Accuracy": 101.0}, "Clean Accuracy is 101.0, not a percentage"),
        ({"Robust Accuracy": -1.0}, "Robust Accuracy is -1.0, not a percentage"),
    ],
)
def test_facts_that_cannot_be(path, facts, message):
    write_file(path, network_rows(0, "net", **facts))
    refuse(path, message)


def test_nameless_network(path):
    write_file(path, [Row(model=np.nan)])
    refuse(path, "network 0 has no name in the column model")


def test_file_that_shrinks_between_plan_and_reading(whole):
    (network,) = hdf5.networks(whole)
    whole.write_bytes(whole.read_bytes()[:-1000])
    with pytest.raises(SourceError, match="truncated file"):
        network.layers[0].read()


def test_without_h5py_the_message_names_the_extra():
    script = "import sys; sys.modules['h5py'] = None; import filterdb.sources.hdf5"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.stderr.splitlines()[-1].endswith(
        "reading HDF5 files needs h5py; install it with: pip install 'filterdb[hdf5]'"
    )

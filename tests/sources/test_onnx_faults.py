"""Files that are no ONNX model, cut off, or meant to do harm end in one line that names the file."""

import random
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from onnx import helper

from filterdb.errors import SourceError
from filterdb.sources import onnx
from tests.sources.onnx_graphs import FACTS, conv, graph_model, node, read, weight

THREE = weight(4, 3, 3, 3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def refuse(path, message):
    with pytest.raises(SourceError, match=message) as caught:
        onnx.network(path, FACTS)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def refuse_model(model, tmp_path, message):
    with pytest.raises(SourceError, match=message) as caught:
        read(model, tmp_path)
    assert "\n" not in str(caught.value)


def small_model():
    return graph_model([conv("x", "w", "a"), conv("a", "v", "y")], {"w": THREE, "v": weight(4, 4, 3, 3)})


def test_missing(path):
    refuse(path, "there is no such file")


def test_directory(tmp_path):
    refuse(tmp_path, "it is a directory")


@pytest.mark.parametrize(
    "content", [b"", b"<!DOCTYPE html><html>", b"version https://git-lfs", bytes(100), b"\x08\x0a"]
)
def test_no_model(path, content):
    path.write_bytes(content)
    refuse(path, r"no ONNX model.*it begins with b'")


def test_without_a_version(tmp_path):
    model = small_model()
    model.ClearField("ir_version")
    refuse_model(model, tmp_path, "no ONNX model")


def test_larger_than_protobuf_can_be(path):
    path.touch()
    with path.open("r+b") as file:
        file.truncate(2**31)
    refuse(path, "2,147,483,648 bytes are more than an ONNX file can have; save it with external data")


def test_cut_off_anywhere(path):
    content = small_model().SerializeToString()
    for length in range(1, len(content), 41):
        path.write_bytes(content[:-length])
        refuse(path, r"cut off|no live 2-D convolution|damaged|its graph uses|without a graph|cannot be read")


def test_flipped_bytes_never_do_more_than_fail(path):
    content = small_model().SerializeToString()
    generator = random.Random(0)
    for _ in range(300):
        damaged = bytearray(content)
        damaged[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with suppress(SourceError):
            assert all(len(layer.read()) == layer.n_filters for layer in onnx.network(path, FACTS))


def test_graph_without_convolutions(tmp_path):
    refuse_model(graph_model([node("Relu", ["x"], "y")], {}), tmp_path, "no live 2-D convolution; there is nothing")


def test_graph_with_other_convolutions_only(tmp_path):
    nodes = [conv("x", "w", "a", "ConvTranspose"), conv("a", "v", "y", "ConvTranspose")]
    model = graph_model(nodes, {"w": weight(3, 4, 3, 3), "v": weight(4, 4, 3, 3)})
    refuse_model(model, tmp_path, r"no live 2-D convolution \(left out: 2 × transposed\)")


def test_value_used_before_it_is_made(tmp_path):
    refuse_model(
        graph_model([conv("a", "w", "y"), node("Relu", ["x"], "a")], {"w": THREE}), tmp_path, "its graph uses 'a'"
    )


def test_value_made_twice(tmp_path):
    nodes = [conv("x", "w", "y"), node("Relu", ["x"], "y")]
    refuse_model(graph_model(nodes, {"w": THREE}), tmp_path, "its graph makes 'y' twice")


def test_output_that_nothing_makes(tmp_path):
    refuse_model(graph_model([conv("x", "w", "y")], {"w": THREE}, "z"), tmp_path, "its graph uses 'z' before anything")


def test_convolution_without_weight(tmp_path):
    refuse_model(graph_model([node("Conv", ["x"], "y")], {}), tmp_path, r"'' \(Conv\) has no data or no weight")


@pytest.mark.parametrize("groups", [0, -1, 3])
def test_groups_that_cannot_be(tmp_path, groups):
    model = graph_model([conv("x", "w", "y", group=groups)], {"w": THREE})
    refuse_model(model, tmp_path, f"w: 4 output channels cannot form {groups} groups")


def test_batchnorm_of_other_width(tmp_path):
    statistics = dict.fromkeys(("scale", "bias", "mean", "variance"), np.ones(10**6, np.float32))
    nodes = [conv("x", "w", "c"), node("BatchNormalization", ["c", *statistics], "y")]
    path = tmp_path / "net.onnx"
    path.write_bytes(graph_model(nodes, {"w": THREE, **statistics}).SerializeToString())
    with pytest.raises(SourceError, match="BatchNorm '' does not have 4 channels"):
        onnx.network(path, FACTS, fold_batchnorm=True)


def test_tensor_that_claims_more_than_it_holds(tmp_path):
    model = small_model()
    model.graph.initializer[0].dims[0] = 2**40
    refuse_model(model, tmp_path, "its tensor 'w' cannot be read: ")


def functions(*bodies):
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    return [helper.make_function("local", f"F{i}", ["a"], ["b"], nodes, opsets) for i, nodes in enumerate(bodies)]


def call(number, data="a", result="b"):
    return helper.make_node(f"F{number}", [data], [result], domain="local")


def test_functions_that_call_themselves(tmp_path):
    model = graph_model([call(0, "x", "y")], {}, functions=functions([call(1)], [call(0)]))
    refuse_model(model, tmp_path, "its functions unfold to more than 1,000,000 nodes")


def test_functions_that_unfold_without_end(tmp_path):
    """Each of thirty calls the next twice."""
    doubled = [[call(i + 1, "a", "m"), call(i + 1, "m", "b")] for i in range(30)]
    model = graph_model([call(0, "x", "y")], {}, functions=functions(*doubled, [node("Relu", ["a"], "b")]))
    refuse_model(model, tmp_path, "its functions unfold to more than 1,000,000 nodes")


def test_without_onnx_the_message_names_the_extra():
    script = "import sys; sys.modules['onnx'] = None; import filterdb.sources.onnx"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.stderr.splitlines()[-1].endswith(
        "reading ONNX files needs onnx; install it with: pip install 'filterdb[onnx]'"
    )

"""From an ONNX graph: which convolutions live, how deep they lie, what their weights are; by hand."""

import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from filterdb.errors import SourceError
from filterdb.network import Skip
from tests.sources.onnx_graphs import FACTS, conv, graph_model, node, read, weight

THREE = weight(4, 3, 3, 3)
FOUR = weight(4, 4, 3, 3, seed=1)


def depths(network):
    return {layer.name: layer.conv_depth for layer in network}


def only(network):
    (layer,) = network
    return layer


def reasons(network):
    return {skip.layer: (skip.kernel, skip.reason) for skip in network.skips}


def test_chain_of_all_kernels(tmp_path):
    """Five levels; only 3×3 ones are layers."""
    nodes = [
        conv("x", "stem", "a"),
        node("Relu", ["a"], "b"),
        conv("b", "first", "c", strides=[2, 2], pads=[1, 1, 1, 1]),
        conv("c", "point", "d"),
        conv("d", "second", "e", dilations=[2, 2], group=2),
        conv("e", "third", "y", strides=[1, 2], dilations=[1, 3]),
    ]
    tensors = {"stem": weight(4, 3, 7, 7), "first": FOUR, "point": weight(4, 4, 1, 1)}
    network = read(graph_model(nodes, tensors | {"second": weight(4, 2, 3, 3), "third": FOUR}), tmp_path)
    first, second, _third = network
    assert depths(network) == {"first": 1, "second": 3, "third": 4}
    assert [(layer.depth, layer.depth_decile) for layer in network] == [(0.25, 3), (0.75, 8), (1.0, 10)]
    assert [(layer.stride, layer.dilation, layer.groups) for layer in network] == [
        (2, 1, 1),
        (1, 2, 2),
        (None, None, 1),
    ]
    assert (second.in_channels, second.out_channels, second.n_filters) == (2, 4, 8)
    assert network.skips == (Skip("stem", "7x7", "kernel 7x7"), Skip("point", "1x1", "kernel 1x1"))
    np.testing.assert_array_equal(first.read(), FOUR.reshape(16, 9))
    assert first.read().dtype == np.float32
    assert network.facts.model == FACTS.model


def test_pad_lifts_a_convolution_above_its_shortcut(tmp_path):
    nodes = [
        conv("x", "stem", "s"),
        node("Pad", ["s", "pads"], "p"),
        conv("p", "main", "m"),
        conv("s", "shortcut", "c", pads=[1, 1, 1, 1]),
        node("Add", ["m", "c"], "a"),
        conv("a", "last", "y"),
    ]
    tensors = {"stem": THREE, "main": FOUR, "shortcut": FOUR, "last": FOUR, "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}
    assert depths(read(graph_model(nodes, tensors), tmp_path)) == {"stem": 0, "shortcut": 1, "main": 2, "last": 3}


def test_parallel_branches_share_a_level(tmp_path):
    nodes = [conv("x", "a", "p"), conv("x", "b", "q"), node("Concat", ["p", "q"], "y", axis=1)]
    assert depths(read(graph_model(nodes, {"a": THREE, "b": THREE}), tmp_path)) == {"a": 0, "b": 0}


def test_handing_on_and_shapes_are_no_operations(tmp_path):
    """Identity and Dropout hand on their input; a shape is no data: both branches have one operation before."""
    nodes = [
        node("Identity", ["x"], "i"),
        node("Dropout", ["i"], "j"),
        node("Relu", ["j"], "k"),
        conv("k", "left", "l"),
        node("Shape", ["x"], "s"),
        node("Reshape", ["x", "s"], "r"),
        conv("r", "right", "q"),
        node("Add", ["l", "q"], "y"),
    ]
    assert depths(read(graph_model(nodes, {"left": THREE, "right": THREE}), tmp_path)) == {"left": 0, "right": 0}


def test_convolution_used_twice_is_listed_once_and_has_two_levels(tmp_path):
    nodes = [conv("x", "stem", "a"), conv("a", "shared", "b"), conv("b", "shared", "c"), conv("c", "last", "y")]
    network = read(graph_model(nodes, {"stem": THREE, "shared": FOUR, "last": FOUR}), tmp_path)
    assert depths(network) == {"stem": 0, "shared": 1, "last": 3}


def test_dead_convolutions_and_weights(tmp_path):
    nodes = [
        conv("x", "live", "y"),
        conv("x", "dead", "z"),
        conv("y", "dead", "zz"),
        conv("noise", "constant", "c"),
        node("Add", ["y", "c"], "o"),
    ]
    tensors = {"live": THREE, "dead": THREE, "constant": THREE, "noise": weight(1, 3, 8, 8), "unused": FOUR}
    network = read(graph_model(nodes, tensors | {"vector": weight(4)}, "o"), tmp_path)
    assert depths(network) == {"live": 0}
    assert network.skips == (
        Skip("dead", "3x3", "dead in forward"),
        Skip("constant", "3x3", "independent of the input"),
        Skip("unused", "3x3", "dead in forward"),
    )


@pytest.mark.parametrize("kind", ["transposed", "sound", "body"])
def test_other_convolutions_are_no_levels(tmp_path, kind):
    body = helper.make_graph([conv("x", "w", "b")], "body", [], [helper_output("b")])
    first = {
        "transposed": conv("x", "w", "a", "ConvTranspose"),
        "sound": conv("x", "v", "a"),
        "body": node("If", ["flag"], "a", then_branch=body, else_branch=body),
    }
    tensors = {"w": weight(3, 3, 3, 3), "v": weight(3, 3, 3), "flag": np.array(True), "last": THREE}
    network = read(graph_model([first[kind], conv("a", "last", "y")], tensors), tmp_path)
    assert depths(network) == {"last": 0}


def test_other_convolutions_are_skipped_by_name(tmp_path):
    integers = {"scale": np.float32(1), "zero": np.uint8(0), "w8": np.zeros((4, 3, 3, 3), np.uint8)}
    quantised = ["i", "scale", "zero", "w8", "scale", "zero", "scale", "zero"]
    nodes = [
        conv("x", "live", "y"),
        conv("x", "up", "a", "ConvTranspose"),
        conv("x", "sound", "b"),
        conv("x", "volume", "c"),
        node("QLinearConv", quantised, "d"),
        conv("i", "v8", "e", "ConvInteger"),
        node("DeformConv", ["x", "bent", "x"], "f"),
        conv("x", "fused", "g", "FusedConv", domain="com.microsoft"),
        node("QuantizeLinear", ["y", "scale", "zero"], "i"),
        node("Sum", list("yabcdefg"), "o"),
    ]
    nodes.insert(1, nodes.pop(-2))
    tensors = {"live": THREE, "up": THREE, "sound": weight(4, 3, 3), "volume": weight(4, 3, 3, 3, 3)}
    tensors |= integers | {"v8": np.zeros((4, 3, 1, 1), np.uint8), "bent": THREE, "fused": THREE}
    network = read(graph_model(nodes, tensors, "o"), tmp_path)
    assert reasons(network) == {
        "up": ("3x3", "transposed"),
        "sound": ("3", "1-D convolution"),
        "volume": ("3x3x3", "3-D convolution"),
        "w8": ("3x3", "integer weights (QLinearConv)"),
        "v8": ("1x1", "integer weights (ConvInteger)"),
        "bent": ("3x3", "operator DeformConv"),
        "fused": ("3x3", "operator FusedConv"),
    }
    assert only(network).depth_decile == 0


def test_convolutions_of_integers_are_levels(tmp_path):
    nodes = [
        node("QuantizeLinear", ["x", "scale", "zero"], "i"),
        conv("i", "w8", "c", "ConvInteger"),
        node("Cast", ["c"], "f", to=TensorProto.FLOAT),
        conv("f", "w", "y"),
    ]
    tensors = {"scale": np.float32(1), "zero": np.uint8(0), "w8": np.zeros((4, 3, 3, 3), np.uint8), "w": FOUR}
    assert depths(read(graph_model(nodes, tensors), tmp_path)) == {"w": 1}


def test_convolutions_in_bodies_of_control_flow(tmp_path):
    def body(name):
        return helper.make_graph([conv("x", name, f"{name}_y")], name, [], [helper_output(f"{name}_y")])

    nodes = [
        conv("x", "outside", "a"),
        node("If", ["flag"], "b", then_branch=body("then"), else_branch=body("else")),
        node("Add", ["a", "b"], "y"),
    ]
    tensors = {"outside": THREE, "then": THREE, "else": THREE, "flag": np.array(True)}
    network = read(graph_model(nodes, tensors), tmp_path)
    assert depths(network) == {"outside": 0}
    assert reasons(network) == {"then": ("3x3", "in a body of If"), "else": ("3x3", "in a body of If")}


def test_bodies_of_control_flow_use_what_lies_outside(tmp_path):
    def body(name, nodes=()):
        return helper.make_graph(nodes, name, [], [helper_output(name)])

    nodes = [
        conv("x", "handed", "a"),
        conv("x", "read", "b"),
        node("If", ["flag"], "y", then_branch=body("a"), else_branch=body("c", [node("Relu", ["b"], "c")])),
    ]
    network = read(graph_model(nodes, {"handed": THREE, "read": THREE, "flag": np.array(True)}), tmp_path)
    assert depths(network) == {"handed": 0, "read": 0}


def helper_output(name):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


COMPUTED = {
    "Identity": ([node("Identity", ["v"], "w")], {"v": FOUR}, FOUR),
    "Transpose": ([node("Transpose", ["v"], "w", perm=[1, 0, 2, 3])], {"v": FOUR}, FOUR.transpose(1, 0, 2, 3)),
    "Reshape": ([node("Reshape", ["v", "s"], "w")], {"v": FOUR.reshape(4, 36), "s": np.array([4, 4, 3, -1])}, FOUR),
    "Cast": ([node("Cast", ["v"], "w", to=TensorProto.FLOAT)], {"v": FOUR.astype(np.float16)}, FOUR.astype(np.float16)),
    "DequantizeLinear": (
        [node("DequantizeLinear", ["v", "s"], "w")],
        {"v": np.arange(144, dtype=np.uint8).reshape(4, 4, 3, 3), "s": np.float32(0.5)},
        np.arange(144, dtype=np.float32).reshape(4, 4, 3, 3) / 2,
    ),
    "gain": ([node("Mul", ["g", "v"], "w")], {"g": weight(4, 1, 1, 1), "v": FOUR}, FOUR * weight(4, 1, 1, 1)),
    "offset": (
        [node("ReduceMax", ["table"], "m", keepdims=0), node("Add", ["m", "v"], "w")],
        {"table": np.arange(500, dtype=np.float32), "v": FOUR},
        FOUR + 499,
    ),
    "steps apart": (
        [node("Neg", ["v"], "n"), *(node("Relu", ["a"], f"r{i}") for i in range(6)), node("Neg", ["n"], "w")],
        {"v": FOUR},
        FOUR,
    ),
    "weight norm": (
        [
            node("Mul", ["v", "v"], "square"),
            node("ReduceSum", ["square", "axes"], "sum"),
            node("Sqrt", ["sum"], "norm"),
            node("Div", ["v", "norm"], "unit"),
            node("Mul", ["unit", "g"], "w"),
        ],
        {"v": FOUR, "g": weight(4, 1, 1, 1), "axes": np.array([1, 2, 3])},
        FOUR / np.sqrt((FOUR * FOUR).sum((1, 2, 3), keepdims=True)) * weight(4, 1, 1, 1),
    ),
}


@pytest.mark.parametrize("name", COMPUTED)
def test_weights_that_the_graph_computes(tmp_path, name):
    steps, tensors, expected = COMPUTED[name]
    nodes = [conv("x", "stem", "a"), *steps, conv("a", "w", "y")]
    _, computed = read(graph_model(nodes, {"stem": THREE, **tensors}), tmp_path)
    np.testing.assert_allclose(computed.read(), expected.reshape(16, 9), rtol=1e-6)
    assert (computed.name, computed.conv_depth) == ("v", 1)


def test_weight_in_a_constant_node(tmp_path):
    value = numpy_helper.from_array(THREE)
    layer = only(read(graph_model([node("Constant", [], "w", value=value), conv("x", "w", "y")], {}), tmp_path))
    np.testing.assert_array_equal(layer.read(), THREE.reshape(12, 9))
    assert layer.name == "w"


def test_equal_weights_that_an_exporter_stored_once_stay_two_layers(tmp_path):
    nodes = [node("Identity", ["a"], "b"), conv("x", "stem", "s"), conv("s", "a", "t"), conv("t", "b", "y")]
    assert depths(read(graph_model(nodes, {"stem": THREE, "a": FOUR}), tmp_path)) == {"stem": 0, "a": 1, "b": 2}


def test_weight_computed_from_that_of_another_convolution_has_a_name_of_its_own(tmp_path):
    nodes = [node("Neg", ["a"], "b"), conv("x", "stem", "s"), conv("s", "a", "t"), conv("t", "b", "y")]
    assert depths(read(graph_model(nodes, {"stem": THREE, "a": FOUR}), tmp_path)) == {"stem": 0, "a": 1, "b": 2}


def huge(*dimensions):
    return np.array(dimensions, np.int64)


def branches(value):
    """Bodies of an If that both give `value` as `w`."""
    bodies = ("then", "else")
    steps = {body: [node("Neg", [value], body)] for body in bodies}
    return {f"{body}_branch": helper.make_graph(steps[body], body, [], [helper_output(body)]) for body in bodies}


UNKNOWN = {
    "weights computed by If, which is not evaluated": [node("If", ["flag"], "w", **branches("v"))],
    "weights depend on the input": [node("GlobalAveragePool", ["x"], "m"), node("Mul", ["v", "m"], "w")],
    "weights computed by RandomNormal, which is not evaluated": [node("RandomNormal", [], "w", shape=[4, 3, 3, 3])],
    "weights computed by Magic, which is not evaluated": [node("Magic", ["v"], "w", domain="local")],
    "weights computed by Expand, which may make more than 134,217,728 numbers": [node("Expand", ["v", "huge"], "w")],
    "weights computed by Reshape, which fails: ": [node("Reshape", ["v", "wrong"], "w")],
    "weights computed by more than 1,000 nodes": [
        *(node("Neg", [f"v{i}" if i else "v"], f"v{i + 1}") for i in range(1_001)),
        node("Neg", ["v1001"], "w"),
    ],
}


@pytest.mark.parametrize("reason", UNKNOWN)
def test_weights_that_cannot_be_told(tmp_path, reason):
    nodes = [conv("x", "stem", "a"), *UNKNOWN[reason], conv("x", "w", "b", kernel_shape=[3, 3]), node("Add", "ab", "y")]
    tensors = {"stem": THREE, "v": THREE, "huge": huge(10**6, 3, 3, 3), "wrong": huge(7), "flag": np.array(True)}
    network = read(graph_model(nodes, tensors), tmp_path)
    assert depths(network) == {"stem": 0}
    skip = network.skips[0]
    assert skip.kernel == "3x3"
    assert skip.reason.startswith(reason)


def test_steps_that_are_large_together(tmp_path, monkeypatch):
    nodes = [conv("x", "stem", "a"), node("Neg", ["v"], "u"), node("Neg", ["u"], "w"), conv("a", "w", "y")]
    model = graph_model(nodes, {"stem": THREE, "v": FOUR})
    monkeypatch.setattr("filterdb.sources.onnx.constants.MAXIMUM_ELEMENTS", 2 * FOUR.size)
    assert depths(read(model, tmp_path)) == {"stem": 0, "v": 1}
    monkeypatch.setattr("filterdb.sources.onnx.constants.MAXIMUM_ELEMENTS", 2 * FOUR.size - 1)
    assert depths(read(model, tmp_path)) == {"stem": 0}


def test_weights_from_a_shape_of_the_input(tmp_path):
    nodes = [conv("x", "stem", "a"), node("Shape", ["x"], "s"), node("Cast", ["s"], "w", to=1), conv("x", "w", "b")]
    network = read(graph_model([*nodes, node("Add", "ab", "y")], {"stem": THREE}), tmp_path)
    assert reasons(network) == {"w": (None, "weights depend on the input")}


def test_computing_a_weight_counts_nothing_in_depth(tmp_path):
    nodes = [node("Neg", ["v"], "n"), node("Abs", ["n"], "w"), conv("x", "w", "a"), conv("x", "u", "b")]
    network = read(graph_model([*nodes, node("Add", "ab", "y")], {"v": THREE, "u": THREE}), tmp_path)
    assert depths(network) == {"v": 0, "u": 0}


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE])
@pytest.mark.parametrize("raw", [True, False])
def test_types_and_ways_of_storing(tmp_path, kind, raw):
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    values = np.linspace(-1, 1, 108).astype(dtype)
    tensor = helper.make_tensor("w", kind, (4, 3, 3, 3), values.tobytes() if raw else values.astype(float), raw=raw)
    layer = only(read(graph_model([conv("x", "w", "y")], {"w": tensor}), tmp_path))
    np.testing.assert_array_equal(layer.read(), values.astype(np.float32).reshape(12, 9))


def test_weights_in_a_file_beside_the_model(tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"head" + THREE.tobytes())
    tensor = external("weights.bin", offset=4, length=THREE.nbytes)
    layer = only(read(graph_model([conv("x", "w", "y")], {"w": tensor}), tmp_path))
    np.testing.assert_array_equal(layer.read(), THREE.reshape(12, 9))


def external(location, **place):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=THREE.shape, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **place}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("missing.bin", {}),
        ("../secret.bin", {}),
        ("/etc/passwd", {}),
        ("link.bin", {}),
        ("short.bin", {}),
        ("short.bin", {"offset": 10**12}),
        ("short.bin", {"length": 10**12}),
        ("short.bin", {"length": -1}),
    ],
)
def test_files_beside_the_model_that_cannot_be_right(tmp_path, location, place):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(THREE.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "short.bin").write_bytes(bytes(100))
    with pytest.raises(SourceError, match=r"net\.onnx: its tensor 'w' cannot be read: "):
        read(graph_model([conv("x", "w", "y")], {"w": external(location, **place)}), folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_weights_that_are_no_finite_numbers(tmp_path, value):
    broken = FOUR.astype(np.float64)
    broken[0, 0, 0, 0] = value
    network = read(graph_model([conv("x", "stem", "a"), conv("a", "w", "y")], {"stem": THREE, "w": broken}), tmp_path)
    assert reasons(network) == {"w": ("3x3", "non-finite weights")}
    assert only(network).depth == 0.0


def batchnorm(data, output, **attributes):
    return node("BatchNormalization", [data, "scale", "bias", "mean", "variance"], output, **attributes)


STATISTICS = {"bias": weight(4), "mean": weight(4), "scale": weight(4), "variance": np.abs(weight(4)) + 0.5}


def test_batchnorm_left_behind_a_convolution(tmp_path):
    nodes = [conv("x", "w", "c"), batchnorm("c", "b", epsilon=0.25), node("Relu", ["b"], "y")]
    model = graph_model(nodes, {"w": THREE, **STATISTICS})
    raw, folded = read(model, tmp_path), read(model, tmp_path, fold_batchnorm=True)
    assert (raw.facts.weights, folded.facts.weights) == ("raw", "bn_folded")
    np.testing.assert_array_equal(only(raw).read(), THREE.reshape(12, 9))
    scale = STATISTICS["scale"] / np.sqrt(STATISTICS["variance"] + 0.25)
    np.testing.assert_allclose(only(folded).read(), (THREE * scale[:, None, None, None]).reshape(12, 9), rtol=1e-6)


def test_batchnorm_folds_though_the_bias_has_the_type_of_the_input(tmp_path):
    """As PyTorch's newer exporter makes a bias of zeros: a type is no data."""
    nodes = [
        node("CastLike", ["zeros", "x"], "z"),
        node("Conv", ["x", "w", "z"], "c"),
        batchnorm("c", "b"),
        batchnorm("b", "y"),
    ]
    network = read(graph_model(nodes, {"w": THREE, "zeros": np.zeros(4), **STATISTICS}), tmp_path, fold_batchnorm=True)
    scale = STATISTICS["scale"] / np.sqrt(STATISTICS["variance"] + 1e-5)
    expected = THREE * scale[:, None, None, None] ** 2
    np.testing.assert_allclose(only(network).read(), expected.reshape(12, 9), rtol=1e-6)
    assert network.facts.model == "local/net@bn_folded"


@pytest.mark.parametrize(
    ("results", "attributes"), [(["y"], {"training_mode": 1}), (["y", "mean_out", "variance_out"], {})]
)
def test_batchnorm_that_cannot_fold_stays(tmp_path, results, attributes):
    """Before the convolution, behind one whose result something else uses too, or in training, new style and old."""
    nodes = [
        conv("x", "stem", "a"),
        batchnorm("a", "b"),
        conv("b", "w", "c"),
        node("Add", ["a", "c"], "d"),
        conv("d", "v", "e"),
        helper.make_node("BatchNormalization", ["e", "scale", "bias", "mean", "variance"], results, **attributes),
    ]
    tensors = {"stem": THREE, "w": FOUR, "v": FOUR, **STATISTICS}
    network = read(graph_model(nodes, tensors), tmp_path, fold_batchnorm=True)
    for layer, expected in zip(network, (THREE, FOUR, FOUR), strict=True):
        np.testing.assert_array_equal(layer.read(), expected.reshape(-1, 9))
    assert read(graph_model(nodes, tensors), tmp_path).facts.weights == "bn_folded"


def test_initialisers_that_are_inputs_too(tmp_path):
    """As all were before version 4 of the format."""
    model = graph_model([conv("x", "w", "y")], {"w": THREE})
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, THREE.shape))
    assert only(read(model, tmp_path)).conv_depth == 0


def test_functions_are_looked_into(tmp_path):
    opsets = [helper.make_opsetid("", 20)]
    block = helper.make_function("local", "Block", ["a", "w"], ["b"], [conv("a", "w", "b")], opsets)
    nodes = [node("Block", ["x", "stem"], "a", domain="local"), node("Block", ["a", "w"], "y", domain="local")]
    model = graph_model(nodes, {"stem": THREE, "w": FOUR}, functions=[block])
    assert depths(read(model, tmp_path)) == {"stem": 0, "w": 1}


def test_sparse_initialiser(tmp_path):
    model = graph_model([conv("x", "stem", "a"), conv("x", "w", "b"), node("Add", "ab", "y")], {"stem": THREE})
    values = numpy_helper.from_array(np.ones(1, np.float32), "w")
    model.graph.sparse_initializer.add(values=values, indices=numpy_helper.from_array(huge(0)), dims=(10**9, 3, 3, 3))
    assert reasons(read(model, tmp_path)) == {"w": (None, "weights stored as a sparse initialiser")}


def test_torch_is_not_needed(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(graph_model([conv("x", "w", "y")], {"w": THREE}).SerializeToString())
    script = """
import sys
sys.modules["torch"] = None
from filterdb.network import Facts
from filterdb.sources import onnx
print(onnx.network(sys.argv[1], Facts(model="local/net", source="onnx", name="net")).n_filters)
"""
    result = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert result.stdout == "12\n"

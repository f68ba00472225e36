"""ONNX graphs put together by hand for tests."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from filterdb.network import Facts, Network
from filterdb.sources.onnx import network

FACTS = Facts(model="local/net", source="onnx", name="net")


def weight(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def conv(data: str, weight: str, output: str, op: str = "Conv", **attributes: object) -> NodeProto:
    return helper.make_node(op, [data, weight], [output], **attributes)


def node(op: str, inputs: Iterable[str], output: str, **attributes: object) -> NodeProto:
    return helper.make_node(op, list(inputs), [output], **attributes)


def graph_model(
    nodes: list[NodeProto], initializers: dict[str, np.ndarray | TensorProto], output: str = "y", **model: object
) -> ModelProto:
    """A model from `x`, an image batch, to `output`."""
    tensors = [
        value if isinstance(value, TensorProto) else numpy_helper.from_array(value, name)
        for name, value in initializers.items()
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [onnx.ValueInfoProto(name=output)],
        tensors,
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, **model)


def read(model: ModelProto, folder: Path, **options: object) -> Network:
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return network(path, FACTS, **options)

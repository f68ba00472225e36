"""An ONNX file, read without running anything, and proven to be a model before it is believed."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto
from onnx.inliner import inline_local_functions

from filterdb.errors import SourceError

MAXIMUM_BYTES = 2**31 - 1
"""What one message of protobuf can hold; larger models keep their weights in a file beside them."""

MAXIMUM_NODES = 1_000_000
"""Functions can call functions: a few kilobytes would unfold to any number of nodes."""

STANDARD_DOMAINS = ("", "ai.onnx")


def read_model(path: Path) -> ModelProto:
    """The model at `path`, its own functions inlined; tensors in files beside it are left there.

    Raises SourceError for what is missing, empty, too large, cut off or no ONNX model.
    """
    if not path.is_file():
        raise SourceError("it is a directory; name the .onnx file in it" if path.is_dir() else "there is no such file")
    size = path.stat().st_size
    if size > MAXIMUM_BYTES:
        raise SourceError(f"{size:,} bytes are more than an ONNX file can have; save it with external data")
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except DecodeError as error:
        raise SourceError(f"it is cut off or no ONNX model ({_begin(path)}); download or export it again") from error
    if not model.ir_version or not model.graph.node:
        raise SourceError(f"it is no ONNX model, or one without a graph ({_begin(path)})")
    return _inlined(model) if model.functions else model


def is_standard(node: NodeProto, *operators: str) -> bool:
    """Whether a node is one of these operators of the ONNX standard."""
    return node.op_type in operators and node.domain in STANDARD_DOMAINS


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The bodies of a control-flow operator."""
    for attribute in node.attribute:
        yield from (attribute.g,) if attribute.HasField("g") else attribute.graphs


def nodes_within(graph: GraphProto | FunctionProto) -> Iterator[NodeProto]:
    """All nodes, those in bodies of control flow included."""
    for node in graph.node:
        yield node
        for body in subgraphs(node):
            yield from nodes_within(body)


def one_line(error: Exception) -> str:
    """What an error says, short enough to be part of a message."""
    return " ".join(str(error).split())[:200]


def _begin(path: Path) -> str:
    with path.open("rb") as file:
        return f"it begins with {file.read(16)!r}"


def _inlined(model: ModelProto) -> ModelProto:
    functions = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    if _inlined_size(model.graph, functions, sizes) > MAXIMUM_NODES:
        raise SourceError(f"its functions unfold to more than {MAXIMUM_NODES:,} nodes")
    return inline_local_functions(model)


def _inlined_size(
    graph: GraphProto | FunctionProto,
    functions: Mapping[tuple[str, str], FunctionProto],
    sizes: dict[tuple[str, str], int],
) -> int:
    """How many nodes there are once every call of a function is replaced by its nodes."""
    count = 0
    for node in nodes_within(graph):
        key = (node.domain, node.op_type)
        if key in functions and key not in sizes:
            sizes[key] = MAXIMUM_NODES + 1  # what a function has that calls itself
            sizes[key] = _inlined_size(functions[key], functions, sizes)
        count += sizes.get(key, 1)
    return count

"""An ONNX graph as the data flow from which depths follow."""

from collections.abc import Iterator
from dataclasses import dataclass

from onnx import GraphProto, NodeProto, TensorProto, helper

from filterdb.errors import SourceError
from filterdb.extraction.depth import Kind, Operation
from filterdb.sources.onnx.model import is_standard, nodes_within, subgraphs

CONVOLUTIONS = {
    **dict.fromkeys(("Conv", "ConvTranspose", "ConvInteger", "DeformConv"), 1),
    **dict.fromkeys(("FusedConv", "NhwcConv", "NhwcFusedConv", "ConvTransposeWithDynamicPads"), 1),
    "QLinearConv": 3,
}
"""Operators that convolve, of the standard and of ONNX Runtime, and which input is the weight."""


@dataclass(frozen=True, eq=False)
class ConvolutionNode:
    """One node that convolves: its place among the operations, and the name of the value that is its weight.

    `body`: the control-flow operator in whose body it lies, which then has that place; None outside.
    """

    position: int
    node: NodeProto
    weight: str
    body: str | None = None


class Graph:
    """The operations of an ONNX graph for `depth`, and where its values come from.

    Initialisers are constants. Operators that hand on their input as it is (Identity, Dropout in inference) are
    no operations. Shapes and types are no data: Shape and Size depend on nothing, CastLike on what it casts.
    `places`: the operation that makes a value; `producers`: the node that does, as an index of `nodes`.
    """

    def __init__(self, graph: GraphProto) -> None:
        self.initializers: dict[str, TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
        self.operations: list[Operation] = []
        self.places: dict[str, int] = {}
        self.nodes: list[NodeProto] = []
        self.producers: dict[str, int] = {}
        self.batchnorms: dict[int, NodeProto] = {}
        self.convolutions: list[ConvolutionNode] = []
        for name in (*self.initializers, *(tensor.values.name for tensor in graph.sparse_initializer)):
            self.places[name] = self._add("constant", ())
        for value in graph.input:
            if value.name not in self.places:
                self.places[value.name] = self._add("input", ())
        for node in graph.node:
            self._add_node(node)
        self.outputs = {self._place(value.name) for value in graph.output}

    def _add(self, kind: Kind, inputs: tuple[int, ...]) -> int:
        self.operations.append(Operation(kind, inputs))
        return len(self.operations) - 1

    def _place(self, name: str) -> int:
        if name not in self.places:
            raise SourceError(f"its graph uses {name!r} before anything makes it")
        return self.places[name]

    def _add_node(self, node: NodeProto) -> None:
        inputs = tuple(self._place(name) for name in node.input if name)
        position = inputs[0] if _is_copy(node) else self._add(_kind(node), self._read(node, inputs))
        for name in filter(None, node.output):
            if name in self.places:
                raise SourceError(f"its graph makes {name!r} twice")
            self.places[name], self.producers[name] = position, len(self.nodes)
        self.nodes.append(node)
        if _kind(node) == "batch_norm":
            self.batchnorms[position] = node
        self.convolutions.extend(_convolutions(node, position))

    def _read(self, node: NodeProto, inputs: tuple[int, ...]) -> tuple[int, ...]:
        """The operations whose results matter to a node, those used in the bodies of control flow included."""
        if is_standard(node, "Shape", "Size"):
            return ()
        if is_standard(node, "CastLike"):
            return inputs[:1]
        used = {name for body in subgraphs(node) for inner in nodes_within(body) for name in inner.input}
        used |= {value.name for body in subgraphs(node) for value in body.output}
        return inputs + tuple(self.places[name] for name in sorted(used & self.places.keys()))


def attribute(node: NodeProto, name: str, default: object) -> object:
    """The value of a node's attribute; `default` where it has none."""
    found = next((each for each in node.attribute if each.name == name), None)
    return default if found is None else helper.get_attribute_value(found)


def _is_copy(node: NodeProto) -> bool:
    return is_standard(node, "Identity") or (is_standard(node, "Dropout") and len(node.input) < 3)


def _kind(node: NodeProto) -> Kind:
    if is_standard(node, "Conv"):
        return "convolution"
    return "batch_norm" if is_standard(node, "BatchNormalization") and _is_inference(node) else "other"


def _is_inference(node: NodeProto) -> bool:
    return len(list(filter(None, node.output))) == 1 and not attribute(node, "training_mode", 0)


def _convolutions(node: NodeProto, position: int) -> Iterator[ConvolutionNode]:
    """The node, if it convolves, or those that do in its bodies."""
    if node.op_type in CONVOLUTIONS:
        yield ConvolutionNode(position, node, _weight(node))
    for body in subgraphs(node):
        for inner in nodes_within(body):
            if inner.op_type in CONVOLUTIONS:
                yield ConvolutionNode(position, inner, _weight(inner), body=node.op_type)


def _weight(node: NodeProto) -> str:
    place = CONVOLUTIONS[node.op_type]
    if len(node.input) <= place or not all(node.input[: place + 1]):
        raise SourceError(f"its node {node.name!r} ({node.op_type}) has no data or no weight")
    return node.input[place]

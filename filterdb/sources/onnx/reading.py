"""Reads a graph: which of its convolutions are live, how deep they lie, and what they are called."""

import math
from collections.abc import Iterable, Iterator
from functools import cached_property

from onnx import NodeProto, TensorProto

from filterdb.extraction.depth import folding_batchnorms, node_depths, ranks, reaches_output
from filterdb.network import Skip
from filterdb.sources.onnx.constants import Constants, NotConstant
from filterdb.sources.onnx.graph import ConvolutionNode, Graph, attribute
from filterdb.sources.onnx.model import is_standard

DEAD = "dead in forward"
INTEGER_CONVOLUTIONS = ("QLinearConv", "ConvInteger")


class Reading:
    """A graph, read by the rules for modules (`filterdb.extraction`), in their words."""

    def __init__(self, graph: Graph, constants: Constants) -> None:
        self.graph, self.constants = graph, constants
        self.reached = reaches_output(graph.operations, graph.outputs)
        self.depths = node_depths(graph.operations, graph.outputs)
        self.folding = folding_batchnorms(graph.operations, graph.outputs)

    @cached_property
    def convolutions(self) -> list[ConvolutionNode]:
        """The live 2-D convolutions with a weight of their own: each weight at its first live use."""
        calls: dict[str, ConvolutionNode] = {}
        for call in self.graph.convolutions:
            if self._reason(call) is None:
                calls.setdefault(call.weight, call)
        return list(calls.values())

    @cached_property
    def levels(self) -> dict[int, int]:
        """{node depth: conv_depth} over all live 2-D convolutions."""
        calls = (call for call in self.graph.convolutions if self._is_live(call) and self._is_planar(call))
        return ranks(self.depths[call.position] for call in calls)

    def conv_depth(self, call: ConvolutionNode) -> int:
        return self.levels[self.depths[call.position]]

    def batchnorms(self, call: ConvolutionNode) -> list[NodeProto]:
        """The BatchNorms that fold into a convolution."""
        return [self.graph.batchnorms[position] for position in self.folding.get(call.position, ())]

    def name(self, call: ConvolutionNode) -> str:
        """The initialiser that a weight is computed from: one of four dimensions before others, then the largest.

        Where that is the weight of another convolution (exporters store equal weights once, and hand them on by
        Identity), the name that the graph gives the weight itself.
        """
        origins = self._origins(call)
        if not origins:
            return call.weight
        origin = min(origins, key=lambda tensor: (len(tensor.dims) != 4, -math.prod(tensor.dims))).name
        return call.weight if any(other.weight == origin for other in self.graph.convolutions) else origin

    def skips(self) -> Iterator[Skip]:
        """What convolves, or would, and is not in `convolutions`: nodes in their order, then unused weights."""
        listed = {call.weight for call in self.convolutions}
        for call in self.graph.convolutions:
            if call.weight not in listed:
                listed.add(call.weight)
                yield self.skip(call, self._reason(call))
        used = {tensor.name for call in self.graph.convolutions for tensor in self._origins(call)}
        for name, tensor in self.graph.initializers.items():
            if len(tensor.dims) == 4 and name not in used and not self.reached[self.graph.places[name]]:
                yield Skip(name, kernel_text(tensor.dims[2:]), DEAD)

    def skip(self, call: ConvolutionNode, reason: str) -> Skip:
        """A convolution that is left out."""
        kernel = self._kernel(call)
        return Skip(self.name(call), None if kernel is None else kernel_text(kernel), reason)

    def _is_live(self, call: ConvolutionNode) -> bool:
        return self.constants.depends[call.position] and self.reached[call.position]

    def _is_planar(self, call: ConvolutionNode) -> bool:
        """Whether it is a 2-D convolution, of integers perhaps, and not transposed."""
        kernel = self._kernel(call)
        is_convolution = is_standard(call.node, "Conv", *INTEGER_CONVOLUTIONS) and call.body is None
        return is_convolution and kernel is not None and len(kernel) == 2

    def _reason(self, call: ConvolutionNode) -> str | None:
        """Why a node is no live 2-D convolution with a weight of its own; None if it is one."""
        operator, kernel = call.node.op_type, self._kernel(call)
        if not self.reached[call.position]:
            return DEAD
        if not self.constants.depends[call.position]:
            return "independent of the input"
        if call.body is not None:
            return f"in a body of {call.body}"
        if operator == "ConvTranspose":
            return "transposed"
        if not is_standard(call.node, "Conv"):
            return f"integer weights ({operator})" if operator in INTEGER_CONVOLUTIONS else f"operator {operator}"
        if kernel is not None and len(kernel) != 2:
            return f"{len(kernel)}-D convolution"
        return "weights depend on the input" if self._depends(call) else None

    def _depends(self, call: ConvolutionNode) -> bool:
        return self.constants.depends[self.graph.places[call.weight]]

    def _kernel(self, call: ConvolutionNode) -> tuple[int, ...] | None:
        """The extents of a kernel, as the weight or the node has them; None where neither says."""
        tensor = self.graph.initializers.get(call.weight)
        if tensor is not None:
            return tuple(tensor.dims[2:])
        stated = attribute(call.node, "kernel_shape", None)
        if stated is not None or call.body is not None or self._depends(call):
            return None if stated is None else tuple(stated)
        try:
            return self.constants.value(call.weight).shape[2:]
        except NotConstant:
            return None

    def _origins(self, call: ConvolutionNode) -> list[TensorProto]:
        try:
            return self.constants.origins(call.weight) if call.body is None else []
        except NotConstant:
            return []


def kernel_text(kernel: Iterable[int]) -> str:
    """A kernel's extents as skips state them: "3x3"."""
    return "x".join(map(str, kernel))

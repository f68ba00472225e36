"""The values in a graph that do not depend on the network's input, worked out when they are asked for."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.checker import ValidationError
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_shapes

from filterdb.errors import SourceError
from filterdb.extraction.depth import depends_on_input
from filterdb.sources.onnx.graph import Graph
from filterdb.sources.onnx.model import STANDARD_DOMAINS, one_line, subgraphs
from filterdb.sources.pickles import MALFORMED

MAXIMUM_STEPS = 1_000
"""Nodes that one weight may be computed by."""

MAXIMUM_ELEMENTS = 2**27
"""Numbers that they may make together: five times the largest layer of the paper's largest network."""

SMALL = 1_024
"""Integers that shape inference is shown: they may be a shape."""

RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")


class NotConstant(Exception):
    """A value cannot be told from the graph alone; the message says why."""


class Constants:
    """Initialisers, and what the graph computes from them. Nothing is kept: each call works a value out."""

    def __init__(self, graph: Graph, opsets: Iterable[OperatorSetIdProto], folder: Path) -> None:
        self.graph, self.opsets, self.folder = graph, list(opsets), folder
        self.depends = depends_on_input(graph.operations)

    def value(self, name: str) -> np.ndarray:
        """The value called `name`; NotConstant if it has none that is fixed, or it would take too much to compute."""
        values: dict[str, np.ndarray] = {}
        room = MAXIMUM_ELEMENTS
        for node in self._steps(name):
            inputs = {each: values[each] if each in values else self._stored(each) for each in node.input if each}
            made = _made(self._model_of(node, inputs), node, inputs, room)
            room -= sum(array.size for array in made.values())
            values |= made
        return values[name] if name in values else self._stored(name)

    def origins(self, name: str) -> list[TensorProto]:
        """The initialisers that `name` is computed from, or is."""
        names = dict.fromkeys((name, *(each for node in self._steps(name) for each in node.input)))
        return [self.graph.initializers[each] for each in names if each in self.graph.initializers]

    def _steps(self, name: str) -> list[NodeProto]:
        """The nodes that compute `name`, in order."""
        needed: set[int] = set()
        pending = [name]
        while pending:
            value = pending.pop()
            if self.depends[self.graph.places[value]]:
                raise NotConstant("weights depend on the input")
            index = self.graph.producers.get(value)
            if index is not None and index not in needed:
                needed.add(index)
                pending.extend(filter(None, self.graph.nodes[index].input))
            if len(needed) > MAXIMUM_STEPS:
                raise NotConstant(f"weights computed by more than {MAXIMUM_STEPS:,} nodes")
        nodes = [self.graph.nodes[index] for index in sorted(needed)]
        for node in nodes:
            if node.domain not in STANDARD_DOMAINS or node.op_type in RANDOM or any(subgraphs(node)):
                raise NotConstant(f"weights computed by {node.op_type}, which is not evaluated")
        return nodes

    def _stored(self, name: str) -> np.ndarray:
        tensor = self.graph.initializers.get(name)
        if tensor is None:
            raise NotConstant("weights stored as a sparse initialiser")
        try:
            return numpy_helper.to_array(tensor, str(self.folder))
        except (ValidationError, OSError, *MALFORMED) as error:
            raise SourceError(f"its tensor {name!r} cannot be read: {one_line(error)}") from error

    def _model_of(self, node: NodeProto, inputs: Mapping[str, np.ndarray]) -> ModelProto:
        """A model of one node; small integers among its inputs are part of it, so that shapes can be inferred."""
        types = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in inputs.items()}
        given = [helper.make_tensor_value_info(name, types[name], array.shape) for name, array in inputs.items()]
        small = {name: array for name, array in inputs.items() if array.dtype.kind in "iu" and array.size <= SMALL}
        graph = helper.make_graph(
            [node],
            "step",
            given,
            [ValueInfoProto(name=name) for name in node.output if name],
            [numpy_helper.from_array(array, name) for name, array in small.items()],
        )
        return helper.make_model(graph, opset_imports=self.opsets)


def _made(model: ModelProto, node: NodeProto, inputs: Mapping[str, np.ndarray], room: int) -> dict[str, np.ndarray]:
    """What the model of one node makes of its inputs, if that is no more than `room` numbers."""
    try:
        if _inferred_size(model) > room:
            raise NotConstant(
                f"weights computed by {node.op_type}, which may make more than {MAXIMUM_ELEMENTS:,} numbers"
            )
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(model).run(None, dict(inputs))
    except NotConstant:
        raise
    except Exception as error:  # operators fail on what they were not made for in whatever way numpy has
        raise NotConstant(f"weights computed by {node.op_type}, which fails: {one_line(error)}") from error
    return dict(zip(filter(None, node.output), results, strict=True))


def _inferred_size(model: ModelProto) -> float:
    """How many numbers a model makes, told without running it; infinite where that cannot be told."""
    tensors = [output.type.tensor_type for output in infer_shapes(model, data_prop=True).graph.output]
    dimensions = [dimension for tensor in tensors for dimension in tensor.shape.dim]
    if not all(tensor.HasField("shape") for tensor in tensors) or not all(d.HasField("dim_value") for d in dimensions):
        return math.inf
    return sum(math.prod(dimension.dim_value for dimension in tensor.shape.dim) for tensor in tensors)

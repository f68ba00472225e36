"""Depth by data flow: which operations of a forward pass are live, and how deep each one lies.

Plain Python on plain indices, so that any source that can list a network's operations (a traced
forward pass, an ONNX graph) ranks its convolutions by the same rules.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["input", "constant", "convolution", "batch_norm", "other"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a forward pass; a graph is a sequence of them, inputs before their users.

    `inputs` are positions in that sequence. Of a convolution (not transposed, any dimension) the
    first is the data and the second the weight; of a BatchNorm in inference mode (`batch_norm`) the
    first is the data. "input" is what the network is given, "constant" a parameter or literal.
    """

    kind: Kind
    inputs: tuple[int, ...] = ()


def depends_on_input(graph: Sequence[Operation]) -> list[bool]:
    """For every operation, whether its result changes with the network's input."""
    depends: list[bool] = []
    for operation in graph:
        depends.append(operation.kind == "input" or any(depends[i] for i in operation.inputs))
    return depends


def reaches_output(graph: Sequence[Operation], outputs: Iterable[int]) -> list[bool]:
    """For every operation, whether one of `outputs` needs it."""
    reaches = [False] * len(graph)
    for position in outputs:
        reaches[position] = True
    for position in range(len(graph) - 1, -1, -1):
        if reaches[position]:
            for i in graph[position].inputs:
                reaches[i] = True
    return reaches


def live_operations(graph: Sequence[Operation], outputs: Collection[int]) -> list[bool]:
    """For every operation, whether it depends on the input and an output needs it."""
    pairs = zip(depends_on_input(graph), reaches_output(graph, outputs), strict=True)
    return [depends and reaches for depends, reaches in pairs]


def folding_batchnorms(graph: Sequence[Operation], outputs: Collection[int]) -> dict[int, list[int]]:
    """Which BatchNorms fold into which convolution, as {convolution: [BatchNorm, …]}, in order.

    It does when both are live, the BatchNorm is all that uses the convolution's result (which is no
    output itself), and neither weight nor statistics depend on the network's input. A second
    BatchNorm behind the first then folds too.
    """
    depends, live = depends_on_input(graph), live_operations(graph, outputs)
    uses = Counter(outputs)
    for operation, is_live in zip(graph, live, strict=True):
        if is_live:
            uses.update(operation.inputs)
    folding: dict[int, list[int]] = {}
    folded_into: dict[int, int] = {}
    for position, operation in enumerate(graph):
        if operation.kind == "batch_norm" and live[position]:
            data, *statistics = operation.inputs
            convolution = folded_into.get(data, data)
            is_alone = graph[convolution].kind == "convolution" and uses[data] == 1
            if is_alone and not any(depends[i] for i in (*graph[convolution].inputs[1:], *statistics)):
                folding.setdefault(convolution, []).append(position)
                folded_into[position] = convolution
    return folding


def node_depths(graph: Sequence[Operation], outputs: Collection[int]) -> list[int]:
    """For every operation, the longest path from the input that ends with it, in operations.

    Operations that do not depend on the input (the computing of weights), the input itself, and
    BatchNorms that fold count nothing. Cost: linear in operations and inputs.
    """
    depends = depends_on_input(graph)
    folded = {position for batchnorms in folding_batchnorms(graph, outputs).values() for position in batchnorms}
    depths: list[int] = []
    for position, operation in enumerate(graph):
        counts = depends[position] and operation.kind != "input" and position not in folded
        depths.append(max((depths[i] for i in operation.inputs), default=0) + counts)
    return depths


def ranks(depths: Iterable[int]) -> dict[int, int]:
    """{node depth: conv_depth}: the rank, from 0, among the distinct node depths of convolutions."""
    return {depth: rank for rank, depth in enumerate(sorted(set(depths)))}


def relative_depth(conv_depth: int, levels: int) -> float:
    """conv_depth/(levels−1) in [0, 1], float64; 0.0 for a network with a single level."""
    return conv_depth / (levels - 1) if levels > 1 else 0.0


def depth_decile(conv_depth: int, levels: int) -> int:
    """0 for the first level, else ⌈10·conv_depth/(levels−1)⌉, 1 to 10, in exact integers."""
    return -(-10 * conv_depth // (levels - 1)) if conv_depth else 0

"""Reads a trace: which convolution calls are live, how deep they lie, and whose weights they use."""

from collections.abc import Iterable, Iterator
from functools import cached_property

from torch import nn
from torch.nn.modules.conv import _ConvNd

from filterdb.extraction.depth import depends_on_input, node_depths, ranks, reaches_output
from filterdb.extraction.operators import ConvolutionCall
from filterdb.extraction.recorder import Trace
from filterdb.network import Skip

DEAD = "dead in forward"


class Reading:
    """A trace, read. A call's `source` is the place in the graph that its weight comes from."""

    def __init__(self, trace: Trace) -> None:
        self.trace, self.graph = trace, trace.graph
        self.depends = depends_on_input(trace.graph)
        self.reached = reaches_output(trace.graph, trace.outputs)
        self.depths = node_depths(trace.graph, trace.outputs)
        self.positions = {id(constant.tensor): position for position, constant in trace.constants.items()}

    @cached_property
    def convolutions(self) -> list[ConvolutionCall]:
        """The live 2-D convolutions with weights of their own: each at its first live call."""
        calls: dict[int, ConvolutionCall] = {}
        for call in self.trace.convolutions:
            if self._reason(call) is None:
                calls.setdefault(call.source, call)
        return list(calls.values())

    @cached_property
    def levels(self) -> dict[int, int]:
        """{node depth: conv_depth} over all calls of live 2-D convolutions."""
        calls = (call for call in self.trace.convolutions if self._is_live(call) and _is_planar(call))
        return ranks(self.depths[call.position] for call in calls)

    def conv_depth(self, call: ConvolutionCall) -> int:
        return self.levels[self.depths[call.position]]

    def name(self, call: ConvolutionCall) -> str | None:
        """The parameter that the weight is computed from: one of its shape before others, then the largest."""

        def rank(position: int) -> tuple[bool, bool, int, int]:
            tensor = self.trace.constants[position].tensor
            is_parameter = isinstance(tensor, nn.Parameter)
            return tensor.shape != call.weight.shape, not is_parameter, -tensor.numel(), position

        origin = min(self._origins(call.source), key=rank, default=None)
        return None if origin is None else self.trace.constants[origin].name

    def skips(self, module: nn.Module) -> Iterator[Skip]:
        """What convolves, or would, and is not in `convolutions`: calls first, in order of execution."""
        yield from self._skipped_calls()
        yield from self._unused_modules(module)
        yield from self._unused_weights(module)

    def _is_live(self, call: ConvolutionCall) -> bool:
        return self.depends[call.position] and self.reached[call.position]

    def _reason(self, call: ConvolutionCall) -> str | None:
        """Why a call is no live 2-D convolution with a weight of its own; None if it is one."""
        if not self.reached[call.position]:
            return DEAD
        if not self.depends[call.position]:
            return "independent of the input"
        if call.transposed:
            return "transposed"
        if not _is_planar(call):
            return f"{call.weight.dim() - 2}-D convolution"
        return "weights depend on the input" if self.depends[call.source] else None

    def _skipped_calls(self) -> Iterator[Skip]:
        listed = {call.source for call in self.convolutions}
        for call in self.trace.convolutions:
            if call.source not in listed:
                listed.add(call.source)
                yield Skip(self.name(call), kernel_text(call.weight.shape[2:]), self._reason(call))

    def _unused_modules(self, module: nn.Module) -> Iterator[Skip]:
        """Convolution modules from which no convolution call took its weight."""
        for path, submodule in module.named_modules():
            if isinstance(submodule, _ConvNd):
                names = {self.positions[id(p)]: name for name, p in submodule.named_parameters(path)}
                if self._used.isdisjoint(names):
                    weight = max(names, key=self._size)
                    reason = "used outside a convolution" if self.reached[weight] else DEAD
                    yield Skip(names[weight], kernel_text(submodule.kernel_size), reason)

    def _unused_weights(self, module: nn.Module) -> Iterator[Skip]:
        """Four-dimensional parameters of other modules that nothing uses."""
        convolutions = (m for m in module.modules() if isinstance(m, _ConvNd))
        inside = {self.positions[id(p)] for m in convolutions for p in m.parameters()}
        for name, parameter in module.named_parameters():
            position = self.positions[id(parameter)]
            is_used = self.reached[position] or position in self._used or position in inside
            if parameter.dim() == 4 and not is_used:
                yield Skip(name, kernel_text(parameter.shape[2:]), DEAD)

    @cached_property
    def _used(self) -> set[int]:
        """The named tensors that weights of convolution calls, live or not, come from."""
        return {origin for call in self.trace.convolutions for origin in self._origins(call.source)}

    def _size(self, position: int) -> tuple[int, int]:
        tensor = self.trace.constants[position].tensor
        return tensor.dim(), tensor.numel()

    def _origins(self, source: int) -> set[int]:
        """The named tensors that `source` is computed from; the nearest, where it depends on the input."""
        front = {source}
        while front:
            origins = self._named_ancestors(position for position in front if not self.depends[position])
            if origins:
                return origins
            front = {i for position in front if self.depends[position] for i in self.graph[position].inputs}
        return set()

    def _named_ancestors(self, positions: Iterable[int]) -> set[int]:
        pending, seen = list(positions), set()
        while pending:
            position = pending.pop()
            if position not in seen:
                seen.add(position)
                pending.extend(self.graph[position].inputs)
        constants = self.trace.constants
        return {position for position in seen if position in constants and constants[position].name is not None}


def _is_planar(call: ConvolutionCall) -> bool:
    return call.weight.dim() == 4 and not call.transposed


def kernel_text(kernel: Iterable[int]) -> str:
    """A kernel's extents as skips state them: "3x3"."""
    return "x".join(map(str, kernel))

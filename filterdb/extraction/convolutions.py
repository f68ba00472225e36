"""From a traced forward pass to the convolutions it really uses, their depth, and what it leaves out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

from filterdb.errors import SourceError
from filterdb.extraction.depth import (
    depends_on_input,
    depth_decile,
    folding_batchnorms,
    node_depths,
    ranks,
    reaches_output,
    relative_depth,
)
from filterdb.extraction.folding import fold, folding_scale, is_finite
from filterdb.extraction.operators import ConvolutionCall
from filterdb.extraction.recorder import Trace
from filterdb.extraction.trace import observe
from filterdb.network import Skip

DEAD = "dead in forward"


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolution:
    """A live 2-D convolution, described at its first call.

    `name` is the state-dict key of the weight, or of the parameter it is computed from; None for a
    weight that belongs to no parameter or buffer. `in_channels` counts the inputs of one group.
    `stride` and `dilation` are None where they differ by direction.
    """

    name: str | None
    kernel: tuple[int, int]
    in_channels: int
    out_channels: int
    groups: int
    stride: int | None
    dilation: int | None
    conv_depth: int
    depth: float
    depth_decile: int
    raw: Tensor
    scale: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """(out_channels, in_channels, *kernel): what reaches the operator, its own tensor and no copy;
        with a folded BatchNorm, a new float32 tensor at each access."""
        return self.raw if self.scale is None else fold(self.raw, self.scale)

    @property
    def n_filters(self) -> int:
        return self.in_channels * self.out_channels

    def is_finite(self) -> bool:
        """Whether all weights are finite float32 numbers; true of weights on the meta device."""
        return self.raw.is_meta or is_finite(self.raw, self.scale)


@dataclass(frozen=True)
class Extraction:
    """The live 2-D convolutions of a network in order of execution, and what else convolves but is none."""

    convolutions: tuple[Convolution, ...]
    skips: tuple[Skip, ...]


def extract(module: nn.Module, input_shape: tuple[int, ...], *, fold_batchnorm: bool = False) -> Extraction:
    """The 2-D convolutions that one eval-mode forward pass on `input_shape` (channels, height, width) uses.

    Live is what depends on the input and reaches an output. `conv_depth` is the rank of a
    convolution's longest path from the input, in operations, among those of all live 2-D
    convolutions. A convolution called more than once is listed at its first call; every call is a
    level. With `fold_batchnorm` the BatchNorm that alone uses a convolution's result (of its first
    call) is multiplied into its weight. Works on the meta device; the module stays as it was.
    Raises SourceError when the forward pass fails.
    """
    if any(is_lazy(parameter) for parameter in module.parameters()):
        raise SourceError("the network has uninitialised lazy parameters; load its weights first")
    reading = _Reading(observe(module, tuple(input_shape)))
    return Extraction(
        convolutions=tuple(reading.convolutions(fold_batchnorm)),
        skips=(*reading.skipped_calls(), *reading.unused_modules(module), *reading.unused_weights(module)),
    )


class _Reading:
    """A trace, read: which of its convolution calls are live, how deep, and whose weights they use."""

    def __init__(self, trace: Trace) -> None:
        self.trace, self.graph = trace, trace.graph
        self.depends = depends_on_input(trace.graph)
        self.reached = reaches_output(trace.graph, trace.outputs)
        self.depths = node_depths(trace.graph, trace.outputs)
        self.positions = {id(constant.tensor): position for position, constant in trace.constants.items()}
        self.used = {leaf for call in trace.convolutions for leaf in self._origins(call.source)}

    def convolutions(self, fold_batchnorm: bool) -> Iterator[Convolution]:
        levels = ranks(self.depths[call.position] for call in self.trace.convolutions if self._is_level(call))
        folding = folding_batchnorms(self.graph, self.trace.outputs) if fold_batchnorm else {}
        for call in self._first_calls().values():
            batchnorm = self.trace.batchnorms.get(folding.get(call.position, -1))
            conv_depth = levels[self.depths[call.position]]
            yield Convolution(
                name=self._name(call),
                kernel=tuple(call.weight.shape[2:]),
                in_channels=call.weight.shape[1],
                out_channels=call.weight.shape[0],
                groups=call.groups,
                stride=_single(call.stride),
                dilation=_single(call.dilation),
                conv_depth=conv_depth,
                depth=relative_depth(conv_depth, len(levels)),
                depth_decile=depth_decile(conv_depth, len(levels)),
                raw=call.weight,
                scale=None if batchnorm is None else folding_scale(batchnorm),
            )

    def skipped_calls(self) -> Iterator[Skip]:
        listed = set(self._first_calls())
        for call in self.trace.convolutions:
            if call.source not in listed:
                listed.add(call.source)
                yield Skip(self._name(call), kernel_text(call.weight.shape[2:]), self._reason(call))

    def unused_modules(self, module: nn.Module) -> Iterator[Skip]:
        """Convolution modules that no convolution call took a weight from."""
        for path, submodule in module.named_modules():
            if isinstance(submodule, _ConvNd):
                leaves = {self.positions[id(p)]: name for name, p in submodule.named_parameters(path)}
                if self.used.isdisjoint(leaves):
                    largest = max(leaves, key=lambda leaf: self.trace.constants[leaf].tensor.numel())
                    reason = "used outside a convolution" if self.reached[largest] else DEAD
                    yield Skip(leaves[largest], kernel_text(submodule.kernel_size), reason)

    def unused_weights(self, module: nn.Module) -> Iterator[Skip]:
        """Four-dimensional parameters outside convolution modules that nothing uses."""
        modules = [m for m in module.modules() if isinstance(m, _ConvNd)]
        inside = {id(parameter) for m in modules for parameter in m.parameters()}
        for name, parameter in module.named_parameters():
            if parameter.dim() == 4 and id(parameter) not in inside:
                position = self.positions[id(parameter)]
                if position not in self.used and not self.reached[position]:
                    yield Skip(name, kernel_text(parameter.shape[2:]), DEAD)

    def _first_calls(self) -> dict[int, ConvolutionCall]:
        """The first live call of each 2-D convolution, by where its weight comes from."""
        calls: dict[int, ConvolutionCall] = {}
        for call in self.trace.convolutions:
            if self._reason(call) is None:
                calls.setdefault(call.source, call)
        return calls

    def _is_level(self, call: ConvolutionCall) -> bool:
        return self._is_live(call) and call.weight.dim() == 4 and not call.transposed

    def _is_live(self, call: ConvolutionCall) -> bool:
        return self.depends[call.position] and self.reached[call.position]

    def _reason(self, call: ConvolutionCall) -> str | None:
        """Why a call is no live 2-D convolution with weights of its own; None if it is one."""
        if not self._is_live(call):
            return DEAD
        if call.transposed:
            return "transposed"
        if call.weight.dim() != 4:
            return f"{call.weight.dim() - 2}-D convolution"
        return "weights depend on the input" if self.depends[call.source] else None

    def _name(self, call: ConvolutionCall) -> str | None:
        """The parameter that a weight is computed from: of its shape before any other, then the largest."""

        def rank(leaf: int) -> tuple[bool, bool, int, int]:
            tensor = self.trace.constants[leaf].tensor
            is_parameter = isinstance(tensor, nn.Parameter)
            return tensor.shape != call.weight.shape, not is_parameter, -tensor.numel(), leaf

        origins = self._origins(call.source)
        return self.trace.constants[min(origins, key=rank)].name if origins else None

    def _origins(self, source: int) -> set[int]:
        """The named tensors nearest to `source`: all that a constant is computed from."""
        front = {source}
        while front:
            found = {leaf for p in front if not self.depends[p] for leaf in self._leaves(p)}
            if found:
                return found
            front = {i for p in front if self.depends[p] for i in self.graph[p].inputs}
        return set()

    def _leaves(self, position: int) -> Iterator[int]:
        """The named tensors that a constant is computed from."""
        constant = self.trace.constants.get(position)
        if constant is not None and constant.name is not None:
            yield position
        for i in self.graph[position].inputs:
            yield from self._leaves(i)


def kernel_text(kernel: Iterable[int]) -> str:
    """A kernel's extents as skips state them: "3x3"."""
    return "x".join(map(str, kernel))


def _single(values: tuple[int, ...]) -> int | None:
    """The one value of all directions; None if they differ."""
    return values[0] if len(set(values)) == 1 else None

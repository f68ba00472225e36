"""The convolutions that a network's forward pass really uses, in order of execution, with their depth."""

from dataclasses import dataclass
from math import prod

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from filterdb.errors import SourceError
from filterdb.extraction.depth import depth_decile, folding_batchnorms, relative_depth
from filterdb.extraction.folding import fold, folding_scale, is_finite
from filterdb.extraction.operators import ConvolutionCall
from filterdb.extraction.reading import Reading
from filterdb.extraction.trace import observe
from filterdb.network import Skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolution:
    """A live 2-D convolution, described at its first call.

    `name` is the state-dict key of the weight, or of the parameter that it is computed from; None if
    that is neither parameter nor buffer. `in_channels` counts the inputs of one group. `stride` and
    `dilation` are None where they differ by direction. `scale` is what a folded BatchNorm multiplies
    into `raw`, per output channel.
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
        """(out_channels, in_channels, *kernel), as it reaches the operator: the network's own memory.

        With a folded BatchNorm a new float32 tensor at each access.
        """
        return self.raw if self.scale is None else fold(self.raw, self.scale)

    @property
    def n_filters(self) -> int:
        return self.in_channels * self.out_channels

    def is_finite(self) -> bool:
        """Whether every weight is a finite float32; taken for granted on the meta device."""
        return self.raw.is_meta or is_finite(self.raw, self.scale)


@dataclass(frozen=True)
class Extraction:
    """The live 2-D convolutions in order of execution, and what else convolves, or would, but is none."""

    convolutions: tuple[Convolution, ...]
    skips: tuple[Skip, ...]


def extract(module: nn.Module, input_shape: tuple[int, ...], *, fold_batchnorm: bool = False) -> Extraction:
    """The 2-D convolutions that one eval-mode forward pass uses on an input of (channels, height, width).

    Live is what depends on the input and reaches an output. `conv_depth` ranks the longest paths from
    the input, in operations, among those of all live 2-D convolutions. A convolution that is called
    more than once is listed at its first call; each of its calls is a level. With `fold_batchnorm` the
    BatchNorm that alone uses a convolution's result is multiplied into its weight. Works for modules
    on the meta device; the module stays as it was, and no weight is copied unless it is computed.
    Raises SourceError when the forward pass fails. Cost: tens of milliseconds; nothing is convolved.
    """
    if any(is_lazy(parameter) for parameter in module.parameters()):
        raise SourceError("the network has lazy parameters without a shape; load its weights first")
    reading = Reading(observe(module, tuple(input_shape)))
    scales = _scales(reading) if fold_batchnorm else {}
    convolutions = (_convolution(reading, call, scales.get(call.position)) for call in reading.convolutions)
    return Extraction(tuple(convolutions), tuple(reading.skips(module)))


def _scales(reading: Reading) -> dict[int, Tensor]:
    """What BatchNorms multiply into the convolution at each position, per output channel."""
    folding, batchnorms = folding_batchnorms(reading.graph, reading.trace.outputs), reading.trace.batchnorms
    return {
        convolution: prod(folding_scale(batchnorms[position]) for position in positions)
        for convolution, positions in folding.items()
    }


def _convolution(reading: Reading, call: ConvolutionCall, scale: Tensor | None) -> Convolution:
    conv_depth, levels = reading.conv_depth(call), len(reading.levels)
    out_channels, in_channels, *kernel = call.weight.shape
    return Convolution(
        name=reading.name(call),
        kernel=tuple(kernel),
        in_channels=in_channels,
        out_channels=out_channels,
        groups=call.groups,
        stride=_single(call.stride),
        dilation=_single(call.dilation),
        conv_depth=conv_depth,
        depth=relative_depth(conv_depth, levels),
        depth_decile=depth_decile(conv_depth, levels),
        raw=call.weight,
        scale=scale,
    )


def _single(values: tuple[int, ...]) -> int | None:
    """The one value of all directions; None if they differ."""
    return values[0] if len(set(values)) == 1 else None

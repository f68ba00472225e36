"""One network from an ONNX graph."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from onnx import NodeProto

from filterdb.errors import SourceError
from filterdb.extraction.depth import depth_decile, relative_depth
from filterdb.network import Facts, Layer, Network, Skip
from filterdb.sources.onnx.constants import Constants, NotConstant
from filterdb.sources.onnx.graph import ConvolutionNode, Graph, attribute
from filterdb.sources.onnx.model import one_line, read_model
from filterdb.sources.onnx.reading import Reading, kernel_text
from filterdb.sources.pickles import MALFORMED


def network(path: str | Path, facts: Facts, *, fold_batchnorm: bool = False) -> Network:
    """The graph in `path` as a network of 3×3 layers; every other convolution becomes a skip with its reason.

    It counts what `filterdb.extraction` counts in a module: 2-D convolutions that depend on the input and reach
    an output, each weight once, at its first use; `conv_depth` is the rank of the longest path from the input,
    in nodes. Layers are named after initialisers, which exporters name after the state dict unless they change
    the weight. Weights that the graph computes from constants are computed.

    `fold_batchnorm` multiplies in what BatchNorms are left that fold into a convolution, and puts the facts
    `in_form`. Where none is left (exporters fold them in evaluation mode), `facts.weights` becomes "bn_folded"
    of itself. The optimiser of PyTorch's newer exporter also moves an explicit pad into the convolution behind
    it, which may then lie one level lower than in the module.
    The model without its external data stays in memory while the network does; layers read weights when asked.
    Raises SourceError for a file that is no whole ONNX model, and for a graph without a live 2-D convolution.
    """
    path = Path(path)
    try:
        model = read_model(path)
        graph = Graph(model.graph)
        reading = Reading(graph, Constants(graph, model.opset_import, path.parent))
        described = [_describe(reading, call, fold_batchnorm) for call in reading.convolutions]
        skips = [*(part for part in described if isinstance(part, Skip)), *reading.skips()]
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from error
    except MALFORMED as error:
        raise SourceError(f"{path}: it is damaged ({type(error).__name__}: {one_line(error)})") from error
    if not described:
        raise SourceError(f"{path}: its graph has no live 2-D convolution{_summary(skips)}; there is nothing to ingest")
    return Network(
        facts=replace(facts, weights="raw" if reading.folding else "bn_folded").in_form(fold_batchnorm=fold_batchnorm),
        layers=tuple(part for part in described if isinstance(part, Layer)),
        skips=tuple(skips),
    )


@dataclass(frozen=True, eq=False)
class _Weight:
    """The weight of a convolution, worked out at each reading, and the BatchNorms to multiply into it."""

    constants: Constants
    name: str
    batchnorms: list[NodeProto]

    def read(self) -> np.ndarray:
        """(out_channels, in_channels, *kernel) float32; BatchNorms are multiplied in float64."""
        weight = self.constants.value(self.name)
        for batchnorm in self.batchnorms:
            weight = weight * self._scale(batchnorm, len(weight)).reshape(-1, *[1] * (weight.ndim - 1))
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(weight, dtype=np.float32)

    def filters(self) -> np.ndarray:
        """(n_filters, 9) float32."""
        return self.read().reshape(-1, 9)

    def _scale(self, batchnorm: NodeProto, out_channels: int) -> np.ndarray:
        """γ/√(σ² + ε) per output channel, float64."""
        gamma, variance = (self.constants.value(batchnorm.input[place]).astype(np.float64) for place in (1, 4))
        if gamma.shape != (out_channels,) or variance.shape != (out_channels,):
            raise SourceError(f"its BatchNorm {batchnorm.name!r} does not have {out_channels} channels")
        return gamma / np.sqrt(variance + attribute(batchnorm, "epsilon", 1e-5))


def _describe(reading: Reading, call: ConvolutionNode, fold_batchnorm: bool) -> Layer | Skip:
    """A live 2-D convolution as a layer of filters, or why it is none."""
    weight = _Weight(reading.constants, call.weight, reading.batchnorms(call) if fold_batchnorm else [])
    try:
        values = weight.read()
    except NotConstant as error:
        return reading.skip(call, str(error))
    kernel = values.shape[2:]
    if kernel != (3, 3):
        return reading.skip(call, f"kernel {kernel_text(kernel)}")
    if not np.isfinite([values.min(initial=0), values.max(initial=0)]).all():
        return reading.skip(call, "non-finite weights")
    return _layer(reading, call, weight, values.shape)


def _layer(reading: Reading, call: ConvolutionNode, weight: _Weight, shape: tuple[int, ...]) -> Layer:
    groups, conv_depth, levels = attribute(call.node, "group", 1), reading.conv_depth(call), len(reading.levels)
    out_channels, in_channels = shape[:2]
    if groups < 1 or out_channels % groups:
        raise SourceError(f"{reading.name(call)}: {out_channels} output channels cannot form {groups} groups")
    return Layer(
        name=reading.name(call),
        n_filters=out_channels * in_channels,
        read=weight.filters,
        in_channels=in_channels,
        out_channels=out_channels,
        groups=groups,
        stride=_single(attribute(call.node, "strides", [1])),
        dilation=_single(attribute(call.node, "dilations", [1])),
        conv_depth=conv_depth,
        depth=relative_depth(conv_depth, levels),
        depth_decile=depth_decile(conv_depth, levels),
    )


def _single(values: Iterable[int]) -> int | None:
    """The one value of all directions; None if they differ."""
    different = set(values)
    return different.pop() if len(different) == 1 else None


def _summary(skips: Iterable[Skip]) -> str:
    """What there was instead: " (left out: 53 × transposed)"; nothing without skips."""
    counts = Counter(skip.reason for skip in skips)
    return f" (left out: {', '.join(f'{count} × {reason}' for reason, count in counts.items())})" if counts else ""

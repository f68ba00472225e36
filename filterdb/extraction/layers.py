"""From extracted convolutions to a `Network`: its 3×3 layers, and by name whatever is none."""

from functools import partial

import numpy as np
import torch
from torch import nn

from filterdb.errors import SourceError
from filterdb.extraction.convolutions import Convolution, extract, kernel_text
from filterdb.network import Facts, Layer, Network, Skip


def network(module: nn.Module, facts: Facts, input_shape: tuple[int, ...], *, fold_batchnorm: bool = False) -> Network:
    """`module` as a network of 3×3 layers; every other convolution becomes a skip with its reason.

    Layers hold references to the weights and read them when asked; those of a module on the meta
    device can be planned, not read. The facts are put `in_form`. Raises SourceError when the forward
    pass fails or uses no 2-D convolution at all.
    """
    extraction = extract(module, input_shape, fold_batchnorm=fold_batchnorm)
    if not extraction.convolutions:
        raise SourceError(f"{facts.model}: the forward pass uses no 2-D convolution; nothing to ingest")
    reasons = {convolution: _reason(convolution) for convolution in extraction.convolutions}
    kept = (convolution for convolution, reason in reasons.items() if reason is None)
    skips = (Skip(c.name, kernel_text(c.kernel), reason) for c, reason in reasons.items() if reason is not None)
    return Network(
        facts=facts.in_form(fold_batchnorm=fold_batchnorm),
        layers=tuple(map(_layer, kept)),
        skips=(*skips, *extraction.skips),
    )


def _reason(convolution: Convolution) -> str | None:
    if convolution.kernel != (3, 3):
        return f"kernel {kernel_text(convolution.kernel)}"
    return None if convolution.is_finite() else "non-finite weights"


def _layer(convolution: Convolution) -> Layer:
    return Layer(
        name=convolution.name,
        n_filters=convolution.n_filters,
        read=partial(_read, convolution),
        in_channels=convolution.in_channels,
        out_channels=convolution.out_channels,
        groups=convolution.groups,
        stride=convolution.stride,
        dilation=convolution.dilation,
        conv_depth=convolution.conv_depth,
        depth=convolution.depth,
        depth_decile=convolution.depth_decile,
    )


def _read(convolution: Convolution) -> np.ndarray:
    """(n_filters, 9) float32; shares the weight's memory where that is contiguous float32 on the CPU."""
    if convolution.raw.is_meta:
        raise SourceError(f"{convolution.name}: the weights are on the meta device; load them first")
    return convolution.weight.to("cpu", torch.float32).reshape(-1, 9).contiguous().numpy()

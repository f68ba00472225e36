"""From a module to a `Network`: its 3×3 layers, and by name whatever is none."""

from functools import partial

import numpy as np
import torch
from torch import nn

from filterdb.errors import SourceError
from filterdb.extraction.convolutions import Convolution, extract
from filterdb.extraction.reading import kernel_text
from filterdb.network import Facts, Layer, Network, Skip


def network(module: nn.Module, facts: Facts, input_shape: tuple[int, ...], *, fold_batchnorm: bool = False) -> Network:
    """`module` as a network of 3×3 layers; every other convolution becomes a skip with its reason.

    Layers hold on to the weights and convert them when read; those of a module on the meta device
    can be planned, not read. The facts are put `in_form`: a folded network has an id of its own.
    Raises SourceError when the forward pass fails or uses no 2-D convolution at all.
    """
    extraction = extract(module, input_shape, fold_batchnorm=fold_batchnorm)
    if not extraction.convolutions:
        raise SourceError(f"{facts.model}: the forward pass uses no 2-D convolution; there is nothing to ingest")
    reasons = [(convolution, _reason(convolution)) for convolution in extraction.convolutions]
    skips = [Skip(c.name, kernel_text(c.kernel), reason) for c, reason in reasons if reason is not None]
    return Network(
        facts=facts.in_form(fold_batchnorm=fold_batchnorm),
        layers=tuple(_layer(convolution) for convolution, reason in reasons if reason is None),
        skips=(*skips, *extraction.skips),
    )


def _reason(convolution: Convolution) -> str | None:
    """Why a live convolution is no layer of filters; None if it is one."""
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
    """(n_filters, 9) float32; the weight's own memory where that is contiguous float32 on the CPU."""
    if convolution.raw.is_meta:
        raise SourceError(f"{convolution.name}: no weights, only their shape (meta device); load them first")
    return convolution.weight.to("cpu", torch.float32).contiguous().view(-1, 9).numpy()

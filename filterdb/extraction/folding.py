"""The weight that a convolution has once the BatchNorm behind it is multiplied in."""

import torch
from torch import Tensor

from filterdb.extraction.operators import BatchNormCall


def folding_scale(batchnorm: BatchNormCall) -> Tensor:
    """γ/√(σ² + ε) per output channel, shape (out_channels,), float64; γ = 1 where there is none."""
    deviation = torch.sqrt(batchnorm.variance.detach().double() + batchnorm.epsilon)
    return 1.0 / deviation if batchnorm.gamma is None else batchnorm.gamma.detach().double() / deviation


def fold(weight: Tensor, scale: Tensor) -> Tensor:
    """`weight` (out_channels, in_channels, height, width) times `scale`, multiplied in float64, as float32."""
    return (weight.double() * scale.view(-1, 1, 1, 1)).float()


def is_finite(weight: Tensor, scale: Tensor | None = None) -> bool:
    """Whether every entry of `weight`, times `scale` if given, is a finite float32.

    Looks at the extremes of each output channel, so nothing of the weight's size is allocated; where a
    dimension repeats one value (an expanded tensor), at that value.
    """
    weight = weight[:, *(slice(None if stride else 1) for stride in weight.stride()[1:])]
    extremes = torch.stack([weight.amin((1, 2, 3)), weight.amax((1, 2, 3))]).double()
    return bool(torch.isfinite((extremes if scale is None else extremes * scale).float()).all())

"""Two small convolutional networks for 8×8 grey images: one without and one with shortcuts.

Both begin with a 3×3 convolution and use BatchNorm. The residual one has enough levels of convolutions
that the first layer and all ten depth deciles hold filters.
"""

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64)
CLASSES = 10


def convolution(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias (a BatchNorm follows or precedes it) that keeps the size at stride 1."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)


def head(channels: int) -> list[nn.Module]:
    """Global average pooling and the linear classifier."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]


def plain_network() -> nn.Sequential:
    """Six 3×3 convolutions in three stages (VGG-like), halved by max pooling; 72,666 parameters."""
    layers: list[nn.Module] = []
    channels = 1
    for width in WIDTHS:
        if layers:
            layers.append(nn.MaxPool2d(2))
        for _ in range(2):
            layers += [convolution(channels, width), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers, *head(channels))


class PreActivationBlock(nn.Module):
    """BatchNorm, ReLU, 3×3, twice, beside a shortcut (1×1 where the number of channels changes)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        changes = in_channels != out_channels
        stride = 2 if changes else 1
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = convolution(in_channels, out_channels, stride=stride)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = convolution(out_channels, out_channels)
        self.shortcut = convolution(in_channels, out_channels, 1, stride) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        activated = torch.relu(self.norm1(x))
        residual = x if self.shortcut is None else self.shortcut(activated)
        return residual + self.conv2(torch.relu(self.norm2(self.conv1(activated))))


def residual_network() -> nn.Sequential:
    """Pre-activation ResNet: thirteen 3×3 convolutions, two 1×1 shortcuts; 174,778 parameters."""
    layers: list[nn.Module] = [convolution(1, WIDTHS[0])]
    channels = WIDTHS[0]
    for width in WIDTHS:
        layers += [PreActivationBlock(channels, width), PreActivationBlock(width, width)]
        channels = width
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(), *head(channels))

"""What a source hands to the lake: one network's facts, its layers of 3×3 filters, and what was left out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a network; the columns of the table `models` that a source can fill.

    Accuracies are percentages (0 to 100), `epsilon` is in units of the input range [0, 1].
    `None` means unknown and becomes NULL, never a default.
    """

    model: str
    source: str
    name: str
    dataset: str | None = None
    robust: bool | None = None
    architecture: str | None = None
    threat_model: str | None = None
    epsilon: float | None = None
    clean_accuracy: float | None = None
    robust_accuracy: float | None = None
    corruption_accuracy: float | None = None
    extra_data: bool | None = None
    unreliable: bool | None = None
    venue: str | None = None
    year: int | None = None
    paper: str | None = None
    license: str | None = None
    weights: str = "raw"

    def in_form(self, *, fold_batchnorm: bool) -> "Facts":
        """The network in one of its two forms; that with BatchNorm folded in has an id of its own."""
        if not fold_batchnorm:
            return self
        return replace(self, model=f"{self.model}@bn_folded", weights="bn_folded")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One live 3×3 convolution (or one layer of a table of filters).

    `read()` returns its filters as a C-contiguous float32 array of shape (n_filters, 9), row-major
    over (out_channel, in_channel) unless `channels` says otherwise; it is called when the layer is
    written, so that a network larger than memory can be ingested layer by layer.
    `in_channels` counts the inputs of one group. What a source does not know is None.
    """

    name: str | None
    n_filters: int
    read: "Callable[[], np.ndarray]"
    in_channels: int | None = None
    out_channels: int | None = None
    groups: int | None = None
    stride: int | None = None
    dilation: int | None = None
    conv_depth: int | None = None
    depth: float | None = None
    depth_decile: int | None = None
    channels: "tuple[np.ndarray, np.ndarray] | None" = None


@dataclass(frozen=True)
class Skip:
    """A part of a network that is not in the lake, and why."""

    layer: str | None
    kernel: str | None
    reason: str


@dataclass(frozen=True)
class Network:
    """One network, ready to be planned or written."""

    facts: Facts
    layers: tuple[Layer, ...]
    skips: tuple[Skip, ...] = field(default=())

    @property
    def n_filters(self) -> int:
        return sum(layer.n_filters for layer in self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)


@dataclass(frozen=True)
class Job:
    """A network that is loaded when its turn comes, and may then turn out not to load.

    `plan` gives its layers without the weights, where that is cheaper than `load`.
    """

    model: str
    load: Callable[[], Network]
    plan: Callable[[], Network] | None = None

    def planned(self) -> Network:
        """The network as far as a plan needs it."""
        return (self.plan or self.load)()

"""Networks from architectures alone: planned without weights, or initialised at random."""

from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from filterdb import extraction
from filterdb.errors import SourceError
from filterdb.network import Facts, Network
from filterdb.sources.weightless import on_cpu, on_meta, quiet, untrained, weightless


class Architecture(Protocol):
    """What a zoo knows of one of its networks before it has the weights."""

    @property
    def facts(self) -> Facts: ...

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""

    def build(self) -> nn.Module:
        """Run the network's own constructor; called inside `untrained()` or `weightless()`."""


@dataclass(frozen=True)
class Untrained:
    """An architecture as its own constructor initialises it: what is there before any training.

    Its id ends in `@random`, with another seed than 0 in `@random<seed>`. Of the facts only source, name,
    architecture and the data set that it was made for remain; `robust` is unknown.
    """

    architecture: Architecture
    seed: int = 0

    @property
    def facts(self) -> Facts:
        known = self.architecture.facts
        return Facts(
            model=f"{known.model}@random{self.seed or ''}",
            source=known.source,
            name=known.name,
            architecture=known.architecture,
            dataset=known.dataset,
        )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return self.architecture.input_shape

    def build(self) -> nn.Module:
        return self.architecture.build()


def plan(architecture: Architecture, *, fold_batchnorm: bool = False) -> Network:
    """The network's layers without its weights: reading one raises SourceError.

    Runs on the meta device; a forward pass that looks at values of activations runs on the CPU, with
    zeros as weights. Cost: 0.1 to 0.5 s and no memory to speak of, seconds where values decide.
    """
    try:
        planned = _extract_without_values(architecture, fold_batchnorm)
    except SourceError:
        with weightless():
            module = on_cpu(architecture.build())
        planned = _extract(module, architecture, fold_batchnorm)
    model = planned.facts.model
    layers = (replace(layer, read=partial(_no_weights, model, layer.name)) for layer in planned.layers)
    return replace(planned, layers=tuple(layers))


def plan_layers(architecture: Architecture) -> Network:
    """As `plan`; SourceError, naming the kernels there are, when no convolution is 3×3."""
    planned = plan(architecture)
    if not planned.layers:
        kernels = ", ".join(sorted({skip.kernel for skip in planned.skips if skip.kernel}))
        raise SourceError(f"{planned.facts.model}: nothing to ingest, its convolutions are {kernels}, none 3x3")
    return planned


def initialize(network: Untrained, *, fold_batchnorm: bool = False) -> Network:
    """The network with the weights that its seed gives; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]), untrained():
        torch.manual_seed(network.seed)
        module = network.build()
    return _extract(module, network, fold_batchnorm)


def with_weights(module: nn.Module, architecture: Architecture, *, fold_batchnorm: bool = False) -> Network:
    """The network that `module` is, once the weights of `architecture` were put into it."""
    return _extract(on_cpu(module), architecture, fold_batchnorm)


def _extract_without_values(architecture: Architecture, fold_batchnorm: bool) -> Network:
    with weightless():
        module = on_meta(architecture.build())
    with _NoNaN():
        return _extract(module, architecture, fold_batchnorm)


def _extract(module: nn.Module, architecture: Architecture, fold_batchnorm: bool) -> Network:
    facts, shape = architecture.facts, architecture.input_shape
    with quiet():
        return extraction.network(module, facts, shape, fold_batchnorm=fold_batchnorm)


def _no_weights(model: str, layer: str | None) -> NoReturn:
    raise SourceError(f"{model}: layer {layer} is planned without weights; load the network to read them")


class _NoNaN(TorchFunctionMode):
    """Answers `isnan` of tensors that have no values: none is, so that assertions against it hold."""

    def __torch_function__(self, function, types, args=(), kwargs=None):  # noqa: ANN204
        if function in (Tensor.isnan, torch.isnan) and args[0].is_meta:
            return torch.zeros(args[0].shape, dtype=torch.bool, device="cpu")
        return function(*args, **(kwargs or {}))

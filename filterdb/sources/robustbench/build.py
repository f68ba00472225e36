"""Architectures of the RobustBench zoo from its own constructors, without its weights and its traps.

The package's top level imports what recent environments lack (`autoattack` under that name,
`pkg_resources`), so only `robustbench.model_zoo` is imported. Its constructors partly download
weights, ask for a GPU, or name timm models that are registered under another name.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from torch import nn

from filterdb.errors import SourceError
from filterdb.sources import timm
from filterdb.sources.robustbench.catalogue import Entry
from filterdb.sources.weightless import quiet


def construct(entry: Entry) -> nn.Module:
    """Run the constructor of `entry`; to be called inside `untrained()` or `weightless()`.

    SourceError when robustbench is not installed or does not have the entry.
    """
    record, name = _zoo_entry(entry), timm_name(entry)
    if name:
        return timm.library().create_model(name, pretrained=False)
    with _imagenet_without_weights():
        return record["model"]()


def timm_name(entry: Entry) -> str | None:
    """The name under which `entry` is registered with timm, by the rule of the zoo's own loader; None if it is not."""
    model_id = entry.model_id.lower().replace("-", "_")
    name = f"{model_id}_{entry.dataset}_{entry.threat_model.lower()}"
    _model_zoo()  # registers its networks with timm
    return name if timm.library().is_model(name) else None


def _zoo_entry(entry: Entry) -> dict[str, Any]:
    """The zoo's own record of `entry`: `model` (its constructor), `gdrive_id`, …"""
    zoo = _model_zoo()
    networks = zoo.model_dicts[zoo.BenchmarkDataset(entry.dataset)][zoo.ThreatModel(entry.threat_model)]
    if entry.model_id not in networks:
        raise SourceError(f"{entry.key}: the installed robustbench lacks it; pip install 'robustbench>=1.1.1'")
    return networks[entry.model_id]


@cache
def _model_zoo() -> ModuleType:
    if find_spec("robustbench") is None:
        raise SourceError("robustbench is not installed; pip install 'filterdb[zoo]'")
    with _without_top_level("robustbench"), quiet():
        return importlib.import_module("robustbench.model_zoo.models")


@contextmanager
def _without_top_level(package: str) -> Iterator[None]:
    """Import submodules of `package` inside this block without running the package's own `__init__`."""
    if package in sys.modules:
        yield
        return
    spec = find_spec(package)
    placeholder = ModuleType(package)
    placeholder.__path__ = list(spec.submodule_search_locations)
    sys.modules[package] = placeholder
    try:
        yield
    finally:
        del sys.modules[package]


class _TorchvisionWithoutWeights:
    """`torchvision.models`, with constructors that leave `pretrained` out."""

    def __getattr__(self, name: str) -> Callable[..., nn.Module]:
        constructor = getattr(importlib.import_module("torchvision.models"), name)
        return lambda pretrained=False, **options: constructor(**options)


@contextmanager
def _imagenet_without_weights() -> Iterator[None]:
    zoo = importlib.import_module("robustbench.model_zoo.imagenet")
    models = zoo.pt_models
    zoo.pt_models = _TorchvisionWithoutWeights()
    try:
        yield
    finally:
        zoo.pt_models = models

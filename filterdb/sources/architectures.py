"""Networks by name: `timm:NAME`, or `package.module:factory` for anything that can be imported."""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from torch import Tensor, nn

from filterdb.errors import FilterdbError, SourceError, UsageError
from filterdb.sources.messages import cause
from filterdb.sources.weightless import quiet, weightless

RGB = 3


def build(architecture: str, tensors: Mapping[str, Tensor], input_shape: tuple[int, int, int] | None) -> nn.Module:
    """The untrained network called `architecture`; its large parameters lie on the meta device.

    A timm network gets as many classes as its classifier has in `tensors` (a checkpoint by dotted path) and
    as many input channels as `input_shape` says; a factory is called without arguments, with the current
    directory importable. Raises UsageError for a name that does not exist, with its nearest relatives, and
    SourceError for a factory that fails.
    """
    module_name, _, name = architecture.partition(":")
    if not module_name or not name:
        raise UsageError(f"architecture {architecture!r} is neither timm:NAME nor package.module:factory")
    with _current_directory_importable():
        if module_name == "timm":
            make = _timm_factory(name, tensors, input_shape)
        else:
            make = _imported_factory(module_name, name)
        network = _called(make, architecture)
    if not isinstance(network, nn.Module):
        raise SourceError(f"{architecture} returned {type(network).__name__}, not a torch.nn.Module")
    return network


def known_input_shape(module: nn.Module) -> tuple[int, int, int] | None:
    """The (channels, height, width) that timm notes with its networks; None for others."""
    noted = getattr(module, "pretrained_cfg", None)
    shape = noted.get("input_size") if isinstance(noted, Mapping) else None
    return tuple(shape) if shape else None


def _called(make: Callable[[], object], architecture: str) -> object:
    """Foreign code: whatever it raises is its failure, not ours."""
    try:
        with weightless():
            return make()
    except FilterdbError:
        raise
    except Exception as error:
        raise SourceError(f"{architecture} failed: {cause(error)}") from error


def _timm_factory(
    name: str, tensors: Mapping[str, Tensor], input_shape: tuple[int, int, int] | None
) -> Callable[[], nn.Module]:
    with quiet():
        import timm
    if not timm.is_model(name):
        raise UsageError(f"timm {timm.__version__} has no architecture {name!r}{_hint(name, timm.list_models())}")
    channels = {"in_chans": input_shape[0]} if input_shape and input_shape[0] != RGB else {}

    def make() -> nn.Module:
        classes = _classes(timm.get_pretrained_cfg(name), tensors)
        return timm.create_model(name, pretrained=False, num_classes=classes, **channels)

    return make


def _classes(configuration: object, tensors: Mapping[str, Tensor]) -> int | None:
    """The rows of the checkpoint's classifier; None, timm's own number, where it has none."""
    classifier = getattr(configuration, "classifier", None)
    key = f".{classifier[0] if isinstance(classifier, (tuple, list)) else classifier}.weight"
    found = [path for path in tensors if f".{path}".endswith(key) and tensors[path].ndim >= 2]
    return tensors[min(found, key=len)].shape[0] if found else None


def _imported_factory(module_name: str, name: str) -> Callable[[], object]:
    module = _imported(module_name)
    factory = getattr(module, name, None)
    if not callable(factory):
        known = [each for each in vars(module) if callable(getattr(module, each)) and not each.startswith("_")]
        raise UsageError(f"{module_name} has no factory {name!r}{_hint(name, known)}")
    return factory


def _imported(module_name: str) -> ModuleType:
    try:
        with quiet():
            return importlib.import_module(module_name)
    except Exception as error:
        raise UsageError(
            f"cannot import {module_name!r} ({cause(error)}); it must be installed or lie in the"
            f" current directory, {Path.cwd()}"
        ) from error


@contextmanager
def _current_directory_importable() -> Iterator[None]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _hint(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""

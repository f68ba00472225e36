"""Networks by name: `timm:NAME`, `robustbench:…`, or `package.module:factory` for anything that can be imported."""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import MappingProxyType, ModuleType

from torch import Tensor, nn

from filterdb.errors import FilterdbError, SourceError, UsageError
from filterdb.sources.messages import cause
from filterdb.sources.weightless import quiet, untrained, weightless

RGB = 3

Shape = tuple[int, int, int]


def build(architecture: str, tensors: Mapping[str, Tensor], input_shape: Shape | None) -> nn.Module:
    """The untrained network called `architecture`; its large parameters lie on the meta device.

    A timm network gets as many classes as its classifier has in `tensors` (a checkpoint by dotted path) and
    as many input channels as `input_shape` says; see `constructor` for the names.
    """
    make = constructor(architecture, tensors, input_shape)
    with weightless():
        return make()


def constructor(
    architecture: str, tensors: Mapping[str, Tensor] = MappingProxyType({}), input_shape: Shape | None = None
) -> Callable[[], nn.Module]:
    """What builds the network called `architecture`: timm:NAME, robustbench:DATASET/THREAT_MODEL/ID or
    package.module:factory, which is called without arguments; the current directory is importable for it alone.

    Raises UsageError for a name that does not exist, with its nearest relatives; the constructor raises
    SourceError where foreign code fails.
    """
    kind, _, name = architecture.partition(":")
    if not kind or not name:
        raise UsageError(
            f"architecture {architecture!r} is neither timm:NAME nor package.module:factory"
            " nor robustbench:DATASET/THREAT_MODEL/ID"
        )
    if kind == "timm":
        return partial(_called, _timm_factory(name, tensors, input_shape), architecture)
    if kind == "robustbench":
        return partial(_called, _robustbench_factory(name), architecture)
    with _current_directory_importable():
        make = _imported_factory(kind, name)
    return partial(_called, _current_directory_importable()(make), architecture)


def known_input_shape(architecture: str, module: nn.Module) -> Shape | None:
    """The (channels, height, width) that a zoo notes with its networks; None for others."""
    kind, _, name = architecture.partition(":")
    if kind == "robustbench":
        from filterdb.sources.robustbench import find

        return find(name).input_shape
    noted = getattr(module, "pretrained_cfg", None)
    shape = noted.get("input_size") if isinstance(noted, Mapping) else None
    return tuple(shape) if shape else None


def _called(make: Callable[[], object], architecture: str) -> nn.Module:
    """Foreign code: whatever it raises is its failure, not ours."""
    try:
        with untrained():
            network = make()
    except FilterdbError:
        raise
    except (Exception, SystemExit) as error:
        raise SourceError(f"{architecture} failed: {cause(error)}") from error
    if not isinstance(network, nn.Module):
        raise SourceError(f"{architecture} returned {type(network).__name__}, not a torch.nn.Module")
    return network


def _robustbench_factory(key: str) -> Callable[[], object]:
    from filterdb.sources.robustbench import find

    return find(key).build


def _timm_factory(name: str, tensors: Mapping[str, Tensor], input_shape: Shape | None) -> Callable[[], nn.Module]:
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
    except (Exception, SystemExit) as error:
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

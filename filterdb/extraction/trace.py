"""One eval-mode forward pass, as a graph of the operators it really called."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from filterdb.errors import SourceError
from filterdb.extraction.preserve import preserved
from filterdb.extraction.recorder import META, Recorder, Trace


def observe(module: nn.Module, input_shape: tuple[int, ...]) -> Trace:
    """The trace of one eval-mode forward pass on a single input of `input_shape` (without batch).

    Runs on the meta device, without values, where it can; where values decide (`.item()`, boolean
    masks), with the module's own weights on a fixed random image. The module stays as it was; its
    warnings are left to those who run it for its results. Raises SourceError when neither run gets
    through.
    """
    has_values = not any(parameter.is_meta for parameter in module.parameters())
    try:
        trace = _run(module, input_shape, META)
        if not has_values or not any(call.weight.is_meta for call in trace.convolutions):
            return trace
    except Exception as error:
        if not has_values:
            raise _failure(error, input_shape, "with weights on the meta device") from error
    try:
        return _run(module, input_shape, _home(module))
    except Exception as error:
        raise _failure(error, input_shape, "give the shape it was made for") from error


def _home(module: nn.Module) -> torch.device:
    """Where the module has values: the device of its first parameter off the meta device, else the CPU."""
    devices = (parameter.device for parameter in module.parameters() if not parameter.is_meta)
    return next(devices, torch.device("cpu"))


def _failure(error: Exception, input_shape: tuple[int, ...], hint: str) -> SourceError:
    reason = " ".join(str(error).split())[:300]
    return SourceError(
        f"forward fails on an input of shape {(1, *input_shape)} ({hint}): {type(error).__name__}: {reason}"
    )


def _run(module: nn.Module, input_shape: tuple[int, ...], device: torch.device) -> Trace:
    with preserved(module) as undo, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recorder = Recorder(device, _home(module), undo)
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            recorder.add_constant(tensor, name)
        sample = _sample(module, input_shape, device)
        recorder.add_input(sample)
        _prepare(module)
        with recorder:
            result = module(sample)
        recorder.finish(_tensors(result))
    return recorder.trace


def _prepare(module: nn.Module) -> None:
    """Evaluation mode, on one device."""
    module.eval()
    for submodule in module.modules():
        if isinstance(submodule, nn.DataParallel):
            submodule.device_ids = []


def _sample(module: nn.Module, input_shape: tuple[int, ...], device: torch.device) -> Tensor:
    """One image of uniform noise in [0, 1), always the same, in the type of the module's weights."""
    tensors = (*module.parameters(), *module.buffers())
    types = (tensor.dtype for tensor in tensors if tensor.is_floating_point())
    dtype = next(types, torch.get_default_dtype())
    if device == META:
        return torch.empty(1, *input_shape, dtype=dtype, device=device)
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, *input_shape, generator=generator, device="cpu").to(device, dtype)


def _tensors(value: Any, seen: set[int] | None = None) -> Iterator[Tensor]:
    """Every tensor within what a forward pass returned, however it is wrapped."""
    seen = set() if seen is None else seen
    if isinstance(value, Tensor):
        yield value
    elif id(value) not in seen:
        seen.add(id(value))
        for part in _parts(value):
            yield from _tensors(part, seen)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from value
    yield from getattr(value, "__dict__", {}).values()

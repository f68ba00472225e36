"""Building architectures without memory for their weights, however they were written."""

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from filterdb.errors import SourceError

_SMALL = 2**17
"""Parameters of fewer elements keep their values while a network is built: they cost next to nothing,
and some constructors compute with them (orthogonal parametrisations, scales)."""
_FILLING = frozenset(
    getattr(Tensor, f"{name}_")
    for name in ("add", "clamp", "copy", "erfinv", "fill", "mul", "normal", "uniform", "zero")
)
"""In-place methods that initialisations are made of."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what other people's networks print and warn away from our output."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def untrained() -> Iterator[None]:
    """Build networks quietly, on the CPU, from nothing but code: `.cuda()` stays, downloads raise SourceError."""
    with quiet(), _no_downloads(), _StayOnCpu():
        yield


@contextmanager
def weightless() -> Iterator[None]:
    """As `untrained`; the parameters of networks built inside lie on the meta device, without memory.

    Buffers, small parameters and everything else that a constructor computes with are real, so that
    constructors that look at values work (they fail under `torch.device("meta")`). Parameters that other
    threads make meanwhile are left alone.
    """
    owner = threading.get_ident()

    def to_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if threading.get_ident() != owner or parameter is None or parameter.is_meta or parameter.numel() < _SMALL:
            return None  # it stays as it is
        return nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)

    hook = register_module_parameter_registration_hook(to_meta)
    try:
        with quiet(), _no_downloads(), _WithoutValues():
            yield
    finally:
        hook.remove()


def on_meta(module: nn.Module) -> nn.Module:
    """Move `module`, in place, to the meta device, except scalars (0-dimensional tensors).

    They keep their values, because forward passes branch on them, and mix with tensors of any device.
    """
    return _replace_tensors(module, lambda tensor: tensor.detach().to("meta") if tensor.ndim else tensor)


def on_cpu(module: nn.Module) -> nn.Module:
    """Give the meta tensors of `module`, in place, zeros that take no memory (one zero, expanded).

    For networks whose forward pass looks at values of activations: it can run, and its data flow is
    that of the untrained network.
    """
    return _replace_tensors(module, lambda tensor: _zeros_like(tensor) if tensor.is_meta else tensor)


def _zeros_like(tensor: Tensor) -> Tensor:
    return torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)


def _replace_tensors(module: nn.Module, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    """Convert parameters, buffers and plain attributes; what is shared stays shared."""
    converted: dict[Tensor, Tensor] = {}

    def replacement(tensor: Tensor) -> Tensor:
        if tensor not in converted:
            result = convert(tensor)
            changed = result is not tensor and isinstance(tensor, nn.Parameter)
            converted[tensor] = nn.Parameter(result, requires_grad=False) if changed else result
        return converted[tensor]

    for owner in module.modules():
        for tensors in (owner._parameters, owner._buffers, vars(owner)):
            found = {name: replacement(value) for name, value in tensors.items() if isinstance(value, Tensor)}
            for name in [name for name, value in found.items() if value is not tensors[name]]:
                tensors[name] = found[name]
    return module


class _StayOnCpu(TorchFunctionMode):
    """Makes `tensor.cuda()` return the tensor itself."""

    def __torch_function__(self, function, types, args=(), kwargs=None):  # noqa: ANN204
        if function is Tensor.cuda:
            return args[0]
        return function(*args, **(kwargs or {}))


class _WithoutValues(_StayOnCpu):
    """Besides, initialises nothing that has no values: half the time of building."""

    def __torch_function__(self, function, types, args=(), kwargs=None):  # noqa: ANN204
        if function in _FILLING and args[0].is_meta:
            return args[0]
        return super().__torch_function__(function, types, args, kwargs)


@contextmanager
def _no_downloads() -> Iterator[None]:
    download = torch.hub.download_url_to_file
    torch.hub.download_url_to_file = _refuse_download
    try:
        yield
    finally:
        torch.hub.download_url_to_file = download


def _refuse_download(url: str, *_: object, **__: object) -> NoReturn:
    raise SourceError(f"the constructor tried to download {url}; architectures are built without weights")

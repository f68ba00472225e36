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


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what other people's networks print and warn away from our output."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def untrained() -> Iterator[None]:
    """Build networks quietly, on the CPU, from nothing but code: `.cuda()` stays, downloads raise SourceError."""
    download = torch.hub.download_url_to_file
    torch.hub.download_url_to_file = _refuse_download
    try:
        with quiet(), _StayOnCpu():
            yield
    finally:
        torch.hub.download_url_to_file = download


@contextmanager
def weightless() -> Iterator[None]:
    """As `untrained`; the parameters of networks built inside lie on the meta device, without memory.

    Buffers, small parameters and everything else that a constructor computes with are real, so that
    constructors that look at values work (they fail under `torch.device("meta")`). Only the calling
    thread is affected.
    """
    owner = threading.get_ident()

    def to_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if parameter is None or parameter.numel() < _SMALL or threading.get_ident() != owner:
            return None
        return nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)

    hook = register_module_parameter_registration_hook(to_meta)
    try:
        with untrained():
            yield
    finally:
        hook.remove()


def on_meta(module: nn.Module) -> nn.Module:
    """Move `module`, in place, to the meta device, except scalars (0-dimensional tensors).

    They keep their values, because forward passes branch on them, and mix with tensors of any device.
    """
    return _replace_tensors(module, lambda tensor: tensor.to("meta") if tensor.ndim else tensor)


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
    converted: dict[int, Tensor] = {}

    def replacement(tensor: Tensor) -> Tensor:
        if id(tensor) not in converted:
            result = convert(tensor.detach())
            converted[id(tensor)] = (
                nn.Parameter(result, requires_grad=False) if isinstance(tensor, nn.Parameter) else result
            )
        return converted[id(tensor)]

    for owner in module.modules():
        for tensors in (owner._parameters, owner._buffers, vars(owner)):
            for name, value in tensors.items():
                if isinstance(value, Tensor):
                    tensors[name] = replacement(value)
    return module


class _StayOnCpu(TorchFunctionMode):
    """Makes `tensor.cuda()` return the tensor itself."""

    def __torch_function__(self, function, types, args=(), kwargs=None):  # noqa: ANN204
        if function is Tensor.cuda:
            return args[0]
        return function(*args, **(kwargs or {}))


def _refuse_download(url: str, *_: object, **__: object) -> NoReturn:
    raise SourceError(f"the constructor tried to download {url}; architectures are built without weights")

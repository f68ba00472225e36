"""Weights and training states as safetensors, replaced whole or not at all."""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from filterdb.errors import SourceError


def save_weights(module: nn.Module, path: Path, metadata: dict[str, str] | None = None) -> Path:
    """Write the state dict of `module` to `path` (.safetensors); an interruption leaves the old file."""
    return write_tensors(dict(module.state_dict()), path, metadata or {})


def load_weights(module: nn.Module, path: Path) -> None:
    """Put the state dict in `path` into `module`; names and shapes must all agree."""
    tensors, _ = read_tensors(path)
    put_weights(module, tensors, path)


def put_weights(module: nn.Module, tensors: dict[str, Tensor], origin: Path) -> None:
    """`load_state_dict`, strictly; `origin` is named when it does not fit."""
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise SourceError(f"{origin} holds weights of another architecture: {first[0].strip()}") from error


def write_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> Path:
    """Write tensors (tied ones once per name) and text to `path` through a temporary file."""
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    temporary = path.with_name(path.name + ".part")
    save_file(copies, temporary, metadata)
    return replace_file(temporary, path)


def replace_file(temporary: Path, path: Path) -> Path:
    """Bring `temporary` safely to disk, then let it take the place of `path` in one step."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    return temporary.replace(path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors (on the CPU) and the text of a safetensors file."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise SourceError(f"{path} cannot be read as safetensors: {error}") from error


def momentum_of(module: nn.Module, optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    """SGD's momentum buffers under the names of the parameters; empty before the first step."""
    state = optimizer.state
    return {
        name: state[parameter]["momentum_buffer"]
        for name, parameter in module.named_parameters()
        if state[parameter].get("momentum_buffer") is not None
    }


def put_momentum(module: nn.Module, optimizer: torch.optim.SGD, momentum: dict[str, Tensor]) -> None:
    """The inverse of `momentum_of`."""
    for name, parameter in module.named_parameters():
        if name in momentum:
            optimizer.state[parameter]["momentum_buffer"] = momentum[name].to(parameter.device)

"""A forward pass that leaves no trace: the module and the random numbers are as they were."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

REGISTERS = ("_parameters", "_buffers", "_modules")


class Undo:
    """Remembers values before they are overwritten, and puts them back, the last first."""

    def __init__(self) -> None:
        self._saved: list[tuple[Tensor, Tensor]] = []

    def save(self, tensor: Tensor) -> None:
        """Copies `tensor`; call it before each write into memory that outlives the pass."""
        self._saved.append((tensor.detach(), tensor.detach().clone()))

    def restore(self) -> None:
        while self._saved:
            tensor, value = self._saved.pop()
            tensor.copy_(value)


class _Memo:
    """The state of one submodule: its attributes, its registers, whether it is in training mode."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.training = module, getattr(module, "training", False)
        self.scripted = isinstance(module, torch.jit.ScriptModule)
        self.attributes = {} if self.scripted else dict(vars(module))
        self.registers = {name: dict(self.attributes[name]) for name in REGISTERS if name in self.attributes}

    def restore(self) -> None:
        if self.scripted:
            self.module.training = self.training
            return
        vars(self.module).clear()
        vars(self.module).update(self.attributes)
        for name, content in self.registers.items():
            register = self.attributes[name]
            register.clear()
            register.update(content)


@contextmanager
def preserved(module: nn.Module) -> Iterator[Undo]:
    """Restores on leaving: training mode, attributes, parameters, buffers, the CPU's random state.

    In-place writes are undone where they were reported to the `Undo` this yields. Copies no tensor
    by itself. Within, random numbers follow a fixed seed, so that a pass can be repeated.
    """
    undo = Undo()
    memos = [_Memo(submodule) for submodule in module.modules()]
    memory = [(tensor, tensor.data) for tensor in (*module.parameters(), *module.buffers())]
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            yield undo
    finally:
        for memo in memos:
            memo.restore()
        for tensor, data in memory:
            if tensor.untyped_storage()._cdata != data.untyped_storage()._cdata:
                tensor.data = data
        with torch.no_grad():
            undo.restore()

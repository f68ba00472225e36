"""Watches operators as they are called, and writes down which result came from which."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from filterdb.extraction.depth import Kind, Operation
from filterdb.extraction.operators import (
    CONVOLUTIONS,
    BatchNormCall,
    Call,
    ConvolutionCall,
    is_composite,
    map_tensors,
    tensors_in,
)
from filterdb.extraction.preserve import Undo

META = torch.device("meta")


@dataclass(frozen=True)
class Constant:
    """A tensor that was there before the pass; `name` is its state-dict key, if it has one."""

    name: str | None
    tensor: Tensor


@dataclass
class Trace:
    """What one forward pass did: a graph for `depth`, and by position in it what its nodes stand for."""

    graph: list[Operation] = field(default_factory=list)
    outputs: set[int] = field(default_factory=set)
    constants: dict[int, Constant] = field(default_factory=dict)
    convolutions: list[ConvolutionCall] = field(default_factory=list)
    batchnorms: dict[int, BatchNormCall] = field(default_factory=dict)


class Recorder(TorchDispatchMode):
    """Follows every tensor from operator to operator while it is entered.

    A tensor stands for the operation that made it, or for the last write into its storage, whichever
    came later: in-place operators and writes through views are followed so. On the meta device,
    everything that depends on the input runs without values; constants keep theirs where they have
    any, so that a computed weight is the real one. Storages are referred to weakly: activations are
    freed as in any forward pass.
    """

    def __init__(self, device: torch.device, home: torch.device, undo: Undo) -> None:
        super().__init__()
        self.trace = Trace()
        self._on_meta, self._home, self._undo = device == META, home, undo
        self._depends: list[bool] = []
        self._made = WeakTensorKeyDictionary()
        self._written: dict[StorageWeakRef, int] = {}
        self._outside: set[StorageWeakRef] = set()
        self._originals: dict[StorageWeakRef, StorageWeakRef] = {}
        self._numbers: dict[tuple, int] = {}

    def add_input(self, tensor: Tensor) -> None:
        """`tensor` is what the network is given."""
        self._place(tensor, self._add("input", ()))

    def add_constant(self, tensor: Tensor, name: str | None = None) -> int:
        """`tensor` was there before the pass; returns its position in the graph."""
        position = self._add("constant", ())
        self.trace.constants[position] = Constant(name, tensor)
        self._outside.add(self._storage(tensor))
        self._place(tensor, position)
        return position

    def finish(self, outputs: Iterable[Tensor]) -> None:
        """`outputs` are what the network returned."""
        self.trace.outputs = {self._read(tensor) for tensor in outputs}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN204
        kwargs = kwargs or {}
        if is_composite(func):
            with self:
                return func.decompose(*args, **kwargs)
        call = Call(func, args, kwargs)
        inputs = tuple(map(self._read, call.read))
        depends = any(self._depends[i] for i in inputs)
        result = self._execute(call, depends)
        self._record(call, result, self._position(call, inputs, depends))
        return result

    def _add(self, kind: Kind, inputs: tuple[int, ...]) -> int:
        self.trace.graph.append(Operation(kind, inputs))
        self._depends.append(kind == "input" or any(self._depends[i] for i in inputs))
        return len(self._depends) - 1

    def _storage(self, tensor: Tensor) -> StorageWeakRef:
        reference = StorageWeakRef(tensor.untyped_storage())
        return self._originals.get(reference, reference)

    def _place(self, tensor: Tensor, position: int) -> None:
        self._made[tensor] = position
        self._written.setdefault(self._storage(tensor), position)

    def _read(self, tensor: Tensor) -> int:
        """The operation that the present content of `tensor` comes from."""
        position = max(self._made.get(tensor, -1), self._written.get(self._storage(tensor), -1))
        return position if position >= 0 else self.add_constant(tensor)

    def _record(self, call: Call, result: Any, position: int) -> None:
        for tensor in call.written:
            self._made[tensor] = self._written[self._storage(tensor)] = position
        for tensor in tensors_in(result):
            self._place(tensor, position)

    def _position(self, call: Call, inputs: tuple[int, ...], depends: bool) -> int:
        """The call's place in the graph; the same constant, computed twice, has one."""
        if call.is_copy:
            return inputs[0]
        if depends or call.is_random:
            return self._append(call, inputs)
        key = (call.func, inputs, call.settings)
        if key not in self._numbers:
            self._numbers[key] = self._append(call, inputs)
        return self._numbers[key]

    def _append(self, call: Call, inputs: tuple[int, ...]) -> int:
        position = self._add(call.kind, inputs)
        if call.name in CONVOLUTIONS:
            self.trace.convolutions.append(call.convolution(position, inputs[1]))
        elif call.kind == "batch_norm":
            self.trace.batchnorms[position] = call.batchnorm()
        return position

    def _execute(self, call: Call, depends: bool) -> Any:
        if self._on_meta and (depends or any(tensor.is_meta for tensor in call.tensors)):
            return self._execute_on_meta(call, depends)
        for tensor in call.written:
            if self._storage(tensor) in self._outside:
                self._undo.save(tensor)
        kwargs = call.kwargs
        if self._on_meta and kwargs.get("device") == META:
            kwargs = kwargs | {"device": self._home}
        return call.func(*call.args, **kwargs)

    def _execute_on_meta(self, call: Call, depends: bool) -> Any:
        args = [map_tensors(self._twin, value) for value in call.args]
        kwargs = {name: map_tensors(self._twin, value) for name, value in call.kwargs.items()}
        if depends and kwargs.get("device") is not None:
            kwargs["device"] = META
        return call.without_values(args, kwargs)

    def _twin(self, tensor: Tensor) -> Tensor:
        """`tensor` without values; what is written into it counts as written into `tensor`."""
        if tensor.is_meta:
            return tensor
        twin = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device=META)
        self._originals[StorageWeakRef(twin.untyped_storage())] = self._storage(tensor)
        return twin

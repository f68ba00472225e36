"""What a call of an ATen operator means for the data flow."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor

from filterdb.extraction.depth import Kind

CONVOLUTIONS = {"aten::convolution", "aten::_convolution"}
BATCHNORMS = {
    "aten::_batch_norm_no_update",
    "aten::_native_batch_norm_legit",
    "aten::_native_batch_norm_legit_no_training",
    "aten::cudnn_batch_norm",
    "aten::miopen_batch_norm",
    "aten::native_batch_norm",
}
# The result is the argument itself or a copy of it: no operation of the data flow.
COPIES = {
    "aten::alias",
    "aten::clone",
    "aten::detach",
    "aten::detach_",
    "aten::lift_fresh",
    "aten::lift_fresh_copy",
}
# Only shape and type of the argument matter: the result does not depend on its values.
FACTORIES = {
    "aten::empty_like",
    "aten::full_like",
    "aten::new_empty",
    "aten::new_empty_strided",
    "aten::new_full",
    "aten::new_ones",
    "aten::new_zeros",
    "aten::ones_like",
    "aten::rand_like",
    "aten::randint_like",
    "aten::randn_like",
    "aten::zeros_like",
}


@dataclass(frozen=True)
class ConvolutionCall:
    """One call of a convolution: its place in the graph, the weight that reached it and that one's place."""

    position: int
    source: int
    weight: Tensor
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    transposed: bool


@dataclass(frozen=True)
class BatchNormCall:
    """One call of a BatchNorm with fixed statistics; `gamma` is None where it is not affine."""

    gamma: Tensor | None
    variance: Tensor
    epsilon: float


class Call:
    """One call of an operator, its arguments by name."""

    def __init__(self, func: torch._ops.OpOverload, args: tuple, kwargs: dict[str, Any]) -> None:
        self.func, self.args, self.kwargs = func, args, kwargs
        self.name = func._schema.name
        self.arguments = dict(zip(_names(func), args, strict=False)) | kwargs

    @cached_property
    def tensors(self) -> list[Tensor]:
        return [tensor for value in self.arguments.values() for tensor in tensors_in(value)]

    @property
    def read(self) -> list[Tensor]:
        """The tensors whose values the result depends on, in the order of the operator's arguments."""
        if self.name in FACTORIES:
            return []
        outs = _outs(self.func)
        values = (value for name, value in self.arguments.items() if name not in outs)
        return [tensor for value in values for tensor in tensors_in(value)]

    @cached_property
    def written(self) -> list[Tensor]:
        """The tensors that the call changes."""
        names = _written(self.func)
        if self.name in BATCHNORMS and self._trains:
            names = (*names, "running_mean", "running_var")
        return [tensor for name in names for tensor in tensors_in(self.arguments.get(name))]

    @property
    def kind(self) -> Kind:
        if self.name in CONVOLUTIONS and not self.arguments["transposed"]:
            return "convolution"
        return "batch_norm" if self.name in BATCHNORMS and not self._trains else "other"

    @property
    def is_copy(self) -> bool:
        if self.name != "aten::_to_copy":
            return self.name in COPIES
        dtype = self.arguments.get("dtype")
        return dtype is None or dtype == self.arguments["self"].dtype

    @property
    def is_random(self) -> bool:
        return torch.Tag.nondeterministic_seeded in self.func.tags

    @property
    def settings(self) -> str:
        """All of the arguments but their values, so that equal calls can be recognised."""
        return repr({name: map_tensors(_kind_of, value) for name, value in self.arguments.items()})

    @property
    def _trains(self) -> bool:
        return self.arguments.get("training", False) or self.arguments.get("running_var") is None

    def without_values(self, args: list, kwargs: dict[str, Any]) -> Any:
        """The result for `args` and `kwargs` on the meta device.

        PyTorch works out that of a BatchNorm in Python, operation by operation: half the time of a pass.
        """
        if self.name == "aten::native_batch_norm" and self.kind == "batch_norm":
            data = args[0]
            return torch.empty_like(data), data.new_empty(0), data.new_empty(0)
        return self.func(*args, **kwargs)

    def convolution(self, position: int, source: int) -> ConvolutionCall:
        return ConvolutionCall(
            position=position,
            source=source,
            weight=self.arguments["weight"].detach(),
            stride=tuple(self.arguments["stride"]),
            dilation=tuple(self.arguments["dilation"]),
            groups=self.arguments["groups"],
            transposed=self.arguments["transposed"],
        )

    def batchnorm(self) -> BatchNormCall:
        epsilon = self.arguments["epsilon" if "epsilon" in self.arguments else "eps"]
        return BatchNormCall(self.arguments["weight"], self.arguments["running_var"], epsilon)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of one argument or result of an operator: itself, or those in a list or tuple."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        yield from (item for item in value if isinstance(item, Tensor))


def map_tensors(change: Callable[[Tensor], Any], value: Any) -> Any:
    """`value`, an argument or result of an operator, with `change` applied to its tensors."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)(change(item) if isinstance(item, Tensor) else item for item in value)
    return value


def _kind_of(tensor: Tensor) -> tuple:
    return tuple(tensor.shape), tensor.dtype


@cache
def is_composite(func: torch._ops.OpOverload) -> bool:
    """Whether the operator is only a name for others, which inference mode does not take apart by itself."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


@cache
def _names(func: torch._ops.OpOverload) -> tuple[str, ...]:
    return tuple(argument.name for argument in func._schema.arguments)


@cache
def _written(func: torch._ops.OpOverload) -> tuple[str, ...]:
    arguments = func._schema.arguments
    return tuple(a.name for a in arguments if a.alias_info is not None and a.alias_info.is_write)


@cache
def _outs(func: torch._ops.OpOverload) -> frozenset[str]:
    return frozenset(argument.name for argument in func._schema.arguments if argument.is_out)

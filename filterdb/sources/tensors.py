"""From what a pickle describes to named tensors over the mapped file.

Names are the dotted path through dicts, lists, objects and modules ("state_dict.module.conv1.weight");
a module pickled whole gives the same names as its state_dict.
"""

import math
from collections.abc import Callable, Iterator
from mmap import mmap

import torch
from torch import Tensor

from filterdb.errors import SourceError
from filterdb.sources.messages import MALFORMED, cause
from filterdb.sources.pickles import Stub
from filterdb.sources.torch_files import STORAGE_TYPES, Place, Storage, TorchFile

MAXIMUM_DEPTH = 100
MAXIMUM_NAME = 1000
MAXIMUM_CONTAINERS = 1_000_000
"""A pickle can refer to one list twice in a list, that list twice in another, and so on."""

MAXIMUM_DIMENSIONS = 64
MODULE_PARTS = ("_parameters", "_buffers", "_modules")
MAPPINGS = frozenset({"collections.OrderedDict", "collections.defaultdict", "collections.Counter", "builtins.dict"})
DTYPES = {f"torch.{name}": dtype for name, dtype in vars(torch).items() if isinstance(dtype, torch.dtype)}
ARRAY_DTYPES = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "i1": torch.int8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
    "u1": torch.uint8,
    "b1": torch.bool,
}
PLAIN = frozenset(
    (
        *("torch.Size", "torch.device", "torch.Tensor", "_codecs.encode"),
        *("numpy.dtype", "numpy.ndarray", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"),
    )
)


def named_tensors(file: TorchFile) -> dict[str, Tensor]:
    """Every tensor of the file by its dotted path, as a view of the mapping (a copy where it lies unaligned).

    Raises SourceError for a tensor that its storage cannot hold or whose storage the file does not hold.
    """
    return dict(_Tensors(file).below(file.root, "", frozenset()))


def unread_names(file: TorchFile) -> tuple[str, ...]:
    """The classes and functions a file mentions that were left as inert stubs, sorted."""
    return tuple(sorted(name for name in file.names if not _is_understood(name)))


def _is_understood(name: str) -> bool:
    known = name in REBUILDERS or name in MAPPINGS or name in PLAIN or name in DTYPES
    return known or name.startswith("builtins.") or name.rpartition(".")[2] in STORAGE_TYPES


class _Tensors:
    """The walk through one file's object."""

    def __init__(self, file: TorchFile) -> None:
        self.places, self.mapped = file.places, file.mapped
        self.containers = self.copied = 0
        self.copies: dict[object, bytearray] = {}

    def below(self, node: object, name: str, above: frozenset[int]) -> Iterator[tuple[str, Tensor]]:
        """The tensors in `node` with their names; `above` are the containers that it lies in."""
        if not isinstance(node, (dict, list, tuple, Stub)) or id(node) in above:
            return
        self._check_bounds(name, len(above))
        tensor = self._rebuilt(node, name) if isinstance(node, Stub) else None
        if tensor is not None:
            yield name, tensor
            return
        for key, child in _children(node):
            yield from self.below(child, f"{name}.{key}" if name else str(key), above | {id(node)})

    def _check_bounds(self, name: str, depth: int) -> None:
        self.containers += 1
        if self.containers > MAXIMUM_CONTAINERS or depth > MAXIMUM_DEPTH or len(name) > MAXIMUM_NAME:
            raise SourceError(
                f"its object is nested more than {MAXIMUM_DEPTH} deep, has more than {MAXIMUM_CONTAINERS:,} parts or"
                f" names of more than {MAXIMUM_NAME:,} characters; save the state_dict alone"
            )

    def _rebuilt(self, stub: Stub, name: str) -> Tensor | None:
        try:
            return self.tensor(stub)
        except MALFORMED as error:
            raise SourceError(f"its tensor {name} is malformed ({cause(error)}); download it again") from error

    def tensor(self, stub: object) -> Tensor | None:
        """The tensor that a call would have made; None for any other object."""
        rebuild = REBUILDERS.get(stub.name) if isinstance(stub, Stub) else None
        return rebuild(self, stub) if rebuild else None

    def view(
        self, storage: Storage, offset: int, size: tuple, stride: tuple, *, dtype: torch.dtype | None = None
    ) -> Tensor:
        """`size` and `stride` laid over a storage from its number `offset` on, after proving that they fit."""
        dtype = dtype or storage.dtype
        nbytes, start = storage.length * storage.dtype.itemsize, storage.first * storage.dtype.itemsize
        place = self.places[storage.key]
        if storage.length < 0 or storage.first < 0 or start + nbytes > place.nbytes:
            raise ValueError(f"storage {storage.key} has {place.nbytes:,} bytes, not {start + nbytes:,}")
        length = _extent(size, stride)
        if offset < 0 or (offset + length) * dtype.itemsize > nbytes or math.prod(size) * dtype.itemsize > nbytes:
            raise ValueError(f"shape {size} with stride {stride} from {offset} needs more than its {nbytes:,} bytes")
        if length == 0:
            return torch.empty(size, dtype=dtype)
        buffer, position = self._aligned(place, max(dtype.itemsize, storage.dtype.itemsize))
        position += start + offset * dtype.itemsize
        return torch.frombuffer(buffer, dtype=dtype, count=length, offset=position).as_strided(size, stride)

    def _aligned(self, place: Place, itemsize: int) -> tuple[mmap | bytearray, int]:
        """The bytes of a storage and where they begin: in the mapping, or in a copy where they lie unaligned there."""
        if place.offset % itemsize == 0:
            return self.mapped, place.offset
        if place not in self.copies and self.copied + place.nbytes > len(self.mapped):
            raise ValueError("storages overlap")
        with memoryview(self.mapped) as whole:
            return self.copy(place, whole[place.offset : place.offset + place.nbytes]), 0

    def copy(self, key: object, content: str | bytes | memoryview) -> bytearray:
        """A copy of `content` that torch may write to; the same one for the same key."""
        if key not in self.copies:
            self.copies[key] = bytearray(content.encode("latin-1") if isinstance(content, str) else content)
            self.copied += len(content)
        return self.copies[key]


def _children(node: object) -> Iterator[tuple[object, object]]:
    if isinstance(node, dict):
        yield from (_module_parts(node) or node).items()
    elif isinstance(node, Stub):
        yield from _pairs_of_mapping(node) if node.name in MAPPINGS else enumerate(node.arguments)
        yield from node.items.items()
        yield from enumerate(node.elements)
        yield from _children(node.state) if isinstance(node.state, dict) else ()
    else:
        yield from enumerate(node)


def _module_parts(state: dict) -> dict:
    """What a state_dict would name: the parameters, buffers and children of a pickled module; {} of anything else."""
    if "_parameters" not in state or "_modules" not in state:
        return {}
    parts = [state.get(part) for part in MODULE_PARTS]
    return {key: value for part in parts if isinstance(part, (dict, Stub)) for key, value in _children(part)}


def _pairs_of_mapping(stub: Stub) -> Iterator[tuple[object, object]]:
    """The items given to a mapping's constructor: a dict, or (OrderedDict of Python 2) a list of pairs."""
    for argument in stub.arguments:
        if isinstance(argument, dict):
            yield from argument.items()
        elif isinstance(argument, list):
            yield from (tuple(pair) for pair in argument if isinstance(pair, (list, tuple)) and len(pair) == 2)


def _extent(size: tuple, stride: tuple) -> int:
    """How many numbers a view spans, from its first to its last."""
    if len(size) != len(stride) or len(size) > MAXIMUM_DIMENSIONS or min((*size, *stride, 0)) < 0:
        raise ValueError(f"shape {size} with stride {stride}")
    if 0 in size:
        return 0
    return 1 + sum((length - 1) * step for length, step in zip(size, stride, strict=True))


def _rebuild_tensor(tensors: _Tensors, stub: Stub) -> Tensor | None:
    """None for a tensor that carries its storage within the pickle (pickle.dump of tensors)."""
    storage, offset, size, stride, *_ = stub.arguments
    return tensors.view(storage, offset, size, stride) if isinstance(storage, Storage) else None


def _rebuild_retyped_tensor(tensors: _Tensors, stub: Stub) -> Tensor:
    """Dtypes younger than the typed storages: bytes, and the dtype by name."""
    storage, offset, size, stride, _requires_grad, _hooks, dtype, *_ = stub.arguments
    return tensors.view(storage, offset, size, stride, dtype=DTYPES[dtype.name])


def _rebuild_first_argument(tensors: _Tensors, stub: Stub) -> Tensor | None:
    """Parameters, tensors on other devices, views with another layout: they wrap the tensor they are made of."""
    return tensors.tensor(stub.arguments[0]) if stub.arguments else _rebuild_old_tensor(tensors, stub)


def _rebuild_old_tensor(tensors: _Tensors, stub: Stub) -> Tensor | None:
    """Before torch 0.4 tensors and variables carried what they are made of as their state."""
    state = stub.state if isinstance(stub.state, tuple) else ()
    if len(state) == 4:
        return tensors.view(*state)
    return tensors.tensor(state[0]) if state else None


def _rebuild_subclass(tensors: _Tensors, stub: Stub) -> Tensor | None:
    function, _kind, arguments, *_ = stub.arguments
    return tensors.tensor(Stub(function.name, arguments))


def _rebuild_array(tensors: _Tensors, stub: Stub) -> Tensor | None:
    """A numpy array: its numbers lie in the pickle itself. None for arrays of objects or text."""
    _version, shape, described, in_fortran_order, content = stub.state
    dtype = _array_dtype(described)
    if dtype is None:
        return None
    content = _plain_content(content)
    if len(shape) > MAXIMUM_DIMENSIONS or len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"shape {shape} for {len(content):,} bytes")
    if not content:
        return torch.empty(shape, dtype=dtype)
    numbers = torch.frombuffer(tensors.copy(id(content), content), dtype=dtype)
    if in_fortran_order:
        return numbers.reshape(shape[::-1]).permute(*range(len(shape))[::-1])
    return numbers.reshape(shape)


def _array_dtype(described: Stub) -> torch.dtype | None:
    little_endian = described.state is None or described.state[1] in ("<", "|", "=")
    return ARRAY_DTYPES.get(described.arguments[0]) if little_endian else None


def _plain_content(content: object) -> str | bytes:
    """What an array is made of: bytes, or a latin-1 text (of Python 2, or to be given to `_codecs.encode`)."""
    if isinstance(content, Stub) and content.name == "_codecs.encode":
        content = content.arguments[0]
    if not isinstance(content, (str, bytes)):
        raise TypeError(f"an array made of {type(content).__name__}")
    return content


REBUILDERS: dict[str, Callable[[_Tensors, Stub], Tensor | None]] = {
    **dict.fromkeys(("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"), _rebuild_tensor),
    "torch._utils._rebuild_tensor_v3": _rebuild_retyped_tensor,
    **dict.fromkeys(
        (
            "torch._utils._rebuild_parameter",
            "torch._utils._rebuild_parameter_with_state",
            "torch._utils._rebuild_device_tensor_from_cpu_tensor",
            "torch._utils._rebuild_device_tensor_from_numpy",
            "torch._utils._rebuild_xla_tensor",
            "torch.nn.parameter.Parameter",
            "torch.autograd.variable.Variable",
        ),
        _rebuild_first_argument,
    ),
    **{f"torch.{kind.removesuffix('Storage')}Tensor": _rebuild_old_tensor for kind in STORAGE_TYPES},
    **{f"torch.cuda.{kind.removesuffix('Storage')}Tensor": _rebuild_old_tensor for kind in STORAGE_TYPES},
    "torch._tensor._rebuild_from_type_v2": _rebuild_subclass,
    "numpy.core.multiarray._reconstruct": _rebuild_array,
    "numpy._core.multiarray._reconstruct": _rebuild_array,
}

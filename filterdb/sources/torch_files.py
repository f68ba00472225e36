"""The three formats of `torch.save`, opened without torch.load: what the pickle describes, where the numbers lie.

* zip (since torch 1.6): `NAME/data.pkl` and one uncompressed member `NAME/data/KEY` per storage;
* stream (before): five pickles one after the other, then the storages, each after its length;
* tar (0.1): the members `pickle`, `tensors` and `storages`.

A file that is one plain pickle (pickle.dump of numpy arrays) is read as a stream without storages.
Nothing is allocated here: every storage is a range of the mapped file, proven to lie inside it.
"""

import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from typing import BinaryIO

import torch

from filterdb.errors import SourceError
from filterdb.sources.messages import MALFORMED, cause, listed
from filterdb.sources.pickles import Global, Stub, read_pickle

ZIP_MAGIC = b"PK\3\4"
TAR_BLOCK = 512
STREAM_MAGIC = 0x1950A86A20F9469CFC6C
LOCAL_HEADER = struct.Struct("<4s22xHH")
ENCRYPTED = 0x1
STORAGE_TYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
    "_UntypedStorage": torch.uint8,
    "QInt8Storage": torch.int8,
    "QUInt8Storage": torch.uint8,
    "QInt32Storage": torch.int32,
    "QUInt4x2Storage": torch.uint8,
    "QUInt2x4Storage": torch.uint8,
}


@dataclass(frozen=True, slots=True)
class Place:
    """A range of bytes of the file."""

    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Storage:
    """`length` numbers of a storage, from its number `first` on."""

    key: str
    dtype: torch.dtype
    length: int
    first: int = 0


@dataclass(frozen=True)
class TorchFile:
    """What a file describes: its object, the names it mentions, and the place of each storage in the mapping."""

    root: object
    names: frozenset[str]
    places: Mapping[str, Place]
    mapped: mmap


def storage(identifier: object) -> Storage | Global:
    """The storage that a persistent id of torch stands for; of a module's source it returns the class."""
    kind, what, *rest = identifier
    if kind == "module":
        return what
    key, _device, length, *view = rest
    dtype = STORAGE_TYPES[what.name.rpartition(".")[2]]
    if view and view[0] is not None:
        _view_key, first, length = view[0]
        return Storage(str(key), dtype, int(length), int(first))
    return Storage(str(key), dtype, int(length))


def read_torch_file(path: Path) -> TorchFile:
    """The file at `path`, of any of the three formats; mapped copy-on-write, so that tensors may be views of it.

    Raises SourceError, saying what is wrong, for every file that torch.save did not write.
    """
    with path.open("rb") as file:
        mapped = mmap(file.fileno(), 0, access=ACCESS_COPY)
        try:
            if mapped[: len(ZIP_MAGIC)] == ZIP_MAGIC:
                return _read_zip(file, mapped)
            return _read_tar(file, mapped) if is_tar(mapped[:TAR_BLOCK]) else _read_stream(mapped)
        except MALFORMED as error:
            raise SourceError(f"it is damaged ({cause(error)}); download it again") from error


def is_tar(begin: bytes) -> bool:
    """Whether the first 512 bytes of a file are the header of a tar."""
    return begin[257:262] == b"ustar"


def _read_zip(file: BinaryIO, mapped: mmap) -> TorchFile:
    """A zip of `torch.save`; SourceError for TorchScript, other zips, compressed members, cut-off files."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = {member.filename: member for member in archive.infolist()}
    except zipfile.BadZipFile as error:
        raise SourceError(
            f"it begins like a zip but has no directory at its end ({len(mapped):,} bytes): it was cut off,"
            " download it again"
        ) from error
    folder = _checkpoint_folder(members)
    places = {name.removeprefix(folder): _place(mapped, members[name]) for name in members if name.startswith(folder)}
    if "byteorder" in places and _bytes(mapped, places["byteorder"]) == b"big":
        raise SourceError("it was saved on a big-endian machine; save it again on a little-endian one")
    pickle = read_pickle(io.BytesIO(_bytes(mapped, places["data.pkl"])), storage)
    data = {name.removeprefix("data/"): place for name, place in places.items() if name.startswith("data/")}
    return TorchFile(pickle.root, pickle.names, data, mapped)


def _checkpoint_folder(members: Mapping[str, zipfile.ZipInfo]) -> str:
    names = list(members)
    if any(name.endswith("/constants.pkl") for name in names):
        raise SourceError(
            "it is a TorchScript archive, code and all: load it with torch.jit.load(…) and save its state_dict()"
            " with torch.save or safetensors.torch.save_file"
        )
    folders = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
    if not folders:
        holds = listed(names) or "nothing"
        raise SourceError(f"it is a zip that torch.save did not write (no data.pkl; it holds {holds}); unpack it")
    return folders[0]


def _place(mapped: mmap, member: zipfile.ZipInfo) -> Place:
    """Where a member's bytes lie: behind its local header, which has a name and an extra field of its own length."""
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & ENCRYPTED:
        raise SourceError(
            f"its member {member.filename} is compressed or encrypted, which torch.save never does; unpack it"
            " and save it again with torch.save"
        )
    header = mapped[member.header_offset : member.header_offset + LOCAL_HEADER.size]
    if len(header) < LOCAL_HEADER.size or not header.startswith(ZIP_MAGIC):
        raise SourceError(f"its member {member.filename} is not where the directory says; download it again")
    _, name_length, extra_length = LOCAL_HEADER.unpack(header)
    offset = member.header_offset + LOCAL_HEADER.size + name_length + extra_length
    return _inside(mapped, Place(offset, member.file_size), member.filename)


def _inside(mapped: mmap, place: Place, name: object) -> Place:
    if place.nbytes < 0 or place.offset + place.nbytes > len(mapped):
        raise SourceError(
            f"it is cut off: {name} would end at byte {place.offset + place.nbytes:,}, the file has"
            f" {len(mapped):,}; download it again"
        )
    return place


def _bytes(mapped: mmap, place: Place) -> bytes:
    return mapped[place.offset : place.offset + place.nbytes]


def _read_stream(mapped: mmap) -> TorchFile:
    """A file of torch before 1.6, or one plain pickle."""
    mapped.seek(0)
    first = read_pickle(mapped)
    if first.root != STREAM_MAGIC:
        return TorchFile(first.root, first.names, {}, mapped)
    _version, system = read_pickle(mapped), read_pickle(mapped)
    if system.root.get("little_endian") is False:
        raise SourceError("it was saved on a big-endian machine; save it again on a little-endian one")
    sizes: dict[str, int] = {}
    pickle = read_pickle(mapped, lambda identifier: _measured(storage(identifier), sizes))
    keys = read_pickle(mapped).root
    places = {str(key): _counted(mapped, sizes[str(key)], key) for key in keys}
    return TorchFile(pickle.root, pickle.names, places, mapped)


def _measured(found: Storage | Global, sizes: dict[str, int]) -> Storage | Global:
    if isinstance(found, Storage):
        sizes[found.key] = found.dtype.itemsize
    return found


def _counted(mapped: mmap, itemsize: int, name: object) -> Place:
    """The storage at the reader's position: its length in numbers, then the numbers; moves on behind it."""
    (length,) = struct.unpack("<q", mapped.read(8))
    place = _inside(mapped, Place(mapped.tell(), length * itemsize), f"storage {name}")
    mapped.seek(place.offset + place.nbytes)
    return place


def _read_tar(file: BinaryIO, mapped: mmap) -> TorchFile:
    """A tar of torch 0.1."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            members = {member.name: member.offset_data for member in archive.getmembers()}
    except tarfile.TarError as error:
        raise SourceError(f"it is a damaged tar ({cause(error)}); download it again") from error
    if not {"pickle", "storages", "tensors"} <= set(members):
        raise SourceError(
            f"it is a tar that torch.save did not write (it holds {listed(members) or 'nothing'}); unpack it"
        )
    mapped.seek(members["storages"])
    places, objects = _tar_storages(mapped)
    mapped.seek(members["tensors"])
    objects |= _tar_tensors(mapped, objects)
    mapped.seek(members["pickle"])
    pickle = read_pickle(mapped, lambda key: key[0] if isinstance(key, tuple) else objects[int(key)])
    return TorchFile(pickle.root, pickle.names, places, mapped)


def _tar_storages(mapped: mmap) -> tuple[dict[str, Place], dict[int, object]]:
    places, storages = {}, {}
    for _ in range(read_pickle(mapped).root):
        key, _device, kind = read_pickle(mapped).root
        dtype = STORAGE_TYPES[kind.name.rpartition(".")[2]]
        places[str(key)] = _counted(mapped, dtype.itemsize, key)
        storages[key] = Storage(str(key), dtype, places[str(key)].nbytes // dtype.itemsize)
    for view, key, first, length in read_pickle(mapped).root:
        storages[view] = Storage(str(key), storages[key].dtype, length, first)
    return places, storages


def _tar_tensors(mapped: mmap, storages: Mapping[int, object]) -> dict[int, Stub]:
    tensors = {}
    for _ in range(read_pickle(mapped).root):
        key, storage_key, _kind = read_pickle(mapped).root
        (dimensions,) = struct.unpack("<i4x", mapped.read(8))
        size = struct.unpack(f"<{dimensions}q", mapped.read(8 * dimensions))
        stride = struct.unpack(f"<{dimensions}q", mapped.read(8 * dimensions))
        (offset,) = struct.unpack("<q", mapped.read(8))
        tensors[key] = Stub("torch._utils._rebuild_tensor", (storages[storage_key], offset, size, stride))
    return tensors

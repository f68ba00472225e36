"""`dataset.h5.xz` to `dataset.h5`: HDF5 is read here and there, xz only from front to back."""

import os
import shutil
from collections.abc import Callable, Iterator
from lzma import FORMAT_XZ, LZMADecompressor, LZMAError
from pathlib import Path
from typing import BinaryIO

from filterdb.errors import SourceError

Progress = Callable[[int], None]

CHUNK = 2**20
MAXIMUM_MEMORY = 2**30
"""Bytes that decompression may take: `xz -9` needs 65 MiB, a malicious header asks for 4 GiB."""

SIGNATURE = b"\x89HDF\r\n\x1a\n"
END_OF_FILE_FIELD = {0: 40, 1: 44, 2: 28, 3: 28}
"""Where each version of an HDF5 superblock states the size of the file, in eight bytes."""


def unpacked(path: str | Path, progress: Progress = lambda size: None) -> Path:
    """`path` itself; of an `.xz`, the file in it, unpacked beside it the first time and left there.

    `progress` is called with numbers of bytes as they are written; constant memory. The unpacked file appears
    when it is whole. Raises SourceError for what is no HDF5 file inside, is damaged or cut off, or needs more
    room than there is.
    """
    path = Path(path)
    if path.suffix != ".xz":
        return path
    target = path.with_suffix("")
    if not target.exists():
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            _unpack(path, part, progress)
            part.replace(target)
        except (SourceError, LZMAError, OSError) as error:
            raise SourceError(f"{path}: cannot be unpacked beside it: {error}") from error
        finally:
            part.unlink(missing_ok=True)
    return target


def _unpack(path: Path, part: Path, progress: Progress) -> None:
    with path.open("rb") as packed, part.open("wb") as target:
        chunks = _decompressed(packed)
        first = next(chunks, b"")
        size, written = _stated_size(first), target.write(first)
        free = shutil.disk_usage(part.parent).free
        if size > free:
            raise SourceError(f"it unpacks to {size:,} bytes, {free:,} are free; unpack it where there is room")
        progress(written)
        for chunk in chunks:
            written += target.write(chunk)
            if written > size:
                break
            progress(len(chunk))
        if written != size:
            raise SourceError(f"it does not hold the {size:,} bytes that its header states; download it again")


def _decompressed(packed: BinaryIO) -> Iterator[bytes]:
    """What the xz streams in `packed` hold, in pieces of at most a chunk; ends early where the file does."""
    decompressor = LZMADecompressor(FORMAT_XZ, MAXIMUM_MEMORY)
    data = packed.read(CHUNK)
    while data or not decompressor.needs_input:
        if piece := decompressor.decompress(data, CHUNK):
            yield piece
        data = packed.read(CHUNK) if decompressor.needs_input else b""
        if decompressor.eof:
            data = decompressor.unused_data or packed.read(CHUNK)
            decompressor = LZMADecompressor(FORMAT_XZ, MAXIMUM_MEMORY)


def _stated_size(first: bytes) -> int:
    """The size of an HDF5 file in bytes, as its first ones state it."""
    version = int.from_bytes(first[len(SIGNATURE) : len(SIGNATURE) + 1])
    if not first.startswith(SIGNATURE) or version not in END_OF_FILE_FIELD:
        raise SourceError("it holds no HDF5 file")
    field = END_OF_FILE_FIELD[version]
    return int.from_bytes(first[field : field + 8], "little")

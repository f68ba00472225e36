"""An HDF5 file that may come from a stranger: every dataset is taken only as it lies, whole, in that very file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import h5py

from filterdb.errors import SourceError
from filterdb.sources.pickles import MALFORMED

Member = TypeVar("Member", h5py.Group, h5py.Dataset)

HIGHEST_COMPRESSION = 1100
"""No filter of HDF5 packs tighter than deflate at best (1,032 to 1)."""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file, for reading. Whatever turns out wrong with it meanwhile becomes a SourceError of one line."""
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from error
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise SourceError(f"{path}: {os.strerror(error.errno)}") from error
    except (OSError, *MALFORMED) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{path}: it is damaged or no HDF5 file ({reason}); download it again") from error


def group(parent: h5py.Group, name: str) -> h5py.Group:
    """The group `name` directly in `parent`; SourceError for anything else, links to elsewhere included."""
    return _member(parent, name, h5py.Group)


def dataset(parent: h5py.Group, name: str) -> h5py.Dataset:
    """The dataset `name` directly in `parent`, after proving that its values lie in this file, all of them.

    So a small file cannot make its reader allocate much, nor read other files as if they were data.
    """
    found = _member(parent, name, h5py.Dataset)
    if found.shape is None or found.is_virtual or found.external:
        raise SourceError(f"{found.name} does not hold its values itself; only plain datasets are read")
    nbytes, stored = found.size * found.dtype.itemsize, found.id.get_storage_size()
    is_compressed = found.id.get_create_plist().get_nfilters() > 0
    if nbytes > stored * (HIGHEST_COMPRESSION if is_compressed else 1):
        raise SourceError(f"{found.name} claims {nbytes:,} bytes of values, but {stored:,} are stored")
    return found


def _member(parent: h5py.Group, name: str, kind: type[Member]) -> Member:
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink) or parent.get(name, getclass=True) is not kind:
        held = ", ".join(sorted(parent)[:5]) or "nothing"
        raise SourceError(f"it has no {kind.__name__.lower()} {parent.name.rstrip('/')}/{name} (but {held})")
    return parent[name]

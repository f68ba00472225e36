"""CIFAR-10 and CIFAR-100 in their Python distribution, read without running what a pickle may hold.

The files are pickles of a dict with a uint8 array `data` (n, 3072) and a list of labels. The reader
below knows the five names such a pickle needs and builds inert records for them: no class of numpy or
of anyone else is ever looked up, so a crafted file can at worst be refused.
"""

import io
import math
import pickle
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from filterdb.errors import SourceError

PIXELS = 3 * 32 * 32
FILES = {
    "data_batch_1": {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]},
    "train": {"train": ["train"], "test": ["test"]},
}
LABELS = ("labels", "fine_labels")


def is_cifar(directory: Path) -> bool:
    """Whether `directory` itself holds the files of CIFAR-10 or CIFAR-100."""
    return any((directory / name).is_file() for name in FILES)


def read(directory: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """(pixels uint8 (n, 3072), plane by plane; labels int64 (n,)) of `part`, 'train' or 'test'."""
    names = next(files[part] for first, files in FILES.items() if (directory / first).is_file())
    batches = [_read_batch(directory / name) for name in names]
    return np.concatenate([pixels for pixels, _ in batches]), np.concatenate([labels for _, labels in batches])


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _Reader(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        content = {_text(key): value for key, value in batch.items()}
        labels = next(content[name] for name in LABELS if name in content)
        pixels = content["data"].to_numpy()
        if pixels.shape != (len(labels), PIXELS):
            raise ValueError(f"data is {pixels.shape}, not ({len(labels)}, {PIXELS})")
        return pixels, np.array(labels, dtype=np.int64)
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from error
    except Exception as error:  # a damaged or crafted pickle can raise anything
        raise SourceError(f"{path} is not a CIFAR file for Python: {type(error).__name__}: {error}") from error


def _text(key: str | bytes) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else key


class _Type:
    """Stands for `numpy.dtype('u1')`: keeps the name, ignores the rest."""

    def __init__(self, name: str, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        pass


class _Array:
    """Stands for a numpy array under construction: keeps what the pickle says of it."""

    def __setstate__(self, state: Any) -> None:
        _version, self.shape, self.type, self.column_major, self.content = state

    def to_numpy(self) -> np.ndarray:
        """The array, after checking that it is uint8 and as long as it claims."""
        data = self.content.encode("latin1") if isinstance(self.content, str) else self.content
        if self.type.name != "u1" or len(data) != math.prod(self.shape):
            raise ValueError(f"an array of {self.type.name} {self.shape} in {len(data)} bytes")
        return np.frombuffer(data, np.uint8).reshape(self.shape, order="F" if self.column_major else "C")


def _encode(text: str, encoding: str) -> bytes:
    """Stands for `_codecs.encode`, by which Python 3 writes bytes into old pickles."""
    if encoding != "latin1":
        raise ValueError(f"bytes in the encoding {encoding}")
    return text.encode("latin1")


def _array_class() -> NoReturn:
    """Stands for `numpy.ndarray`, which such a pickle names but never calls."""
    raise ValueError("a call of numpy.ndarray")


KNOWN = {
    "numpy.core.multiarray._reconstruct": lambda *_: _Array(),
    "numpy._core.multiarray._reconstruct": lambda *_: _Array(),
    "numpy.ndarray": _array_class,
    "numpy.dtype": _Type,
    "_codecs.encode": _encode,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (known := KNOWN.get(f"{module}.{name}")) is None:
            raise SourceError(f"refused: the pickle asks for {module}.{name}, which no CIFAR file needs")
        return known

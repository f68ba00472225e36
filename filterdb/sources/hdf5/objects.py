"""Arrays of Python objects as PyTables stores them: pickled. Read as data, nothing is run."""

import io
import math

import numpy as np

from filterdb.errors import SourceError
from filterdb.sources.pickles import Stub, read_pickle

ARRAYS = frozenset({"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"})
SCALARS = frozenset({"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"})
UNDERSTOOD = ARRAYS | SCALARS | {"numpy.ndarray", "numpy.dtype"}
SCALAR_TYPES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})


def object_array(pickled: bytes) -> np.ndarray:
    """The array (dtype object) of texts, numbers, flags and None that a pickle describes.

    Raises SourceError for a pickle of anything else, and for one that asks for code.
    """
    pickle = read_pickle(io.BytesIO(pickled))
    strangers = sorted(pickle.names - UNDERSTOOD)
    if strangers:
        raise SourceError(f"a table holds objects of {', '.join(strangers[:3])}; only texts and numbers are read")
    if not isinstance(pickle.root, Stub) or pickle.root.name not in ARRAYS:
        raise ValueError("a pickle that is no numpy array")
    _version, shape, _dtype, _in_fortran_order, values = pickle.root.state
    if not isinstance(values, list) or math.prod(shape) != len(values):
        raise ValueError(f"an array of shape {shape} without its values")
    result = np.empty(len(values), dtype=object)
    result[:] = [_plain(value) for value in values]
    return result.reshape(shape)


def _plain(value: object) -> object:
    """`value`, a numpy scalar as a number of Python."""
    if not isinstance(value, Stub):
        return value
    dtype, content = value.arguments
    (kind, *_) = dtype.arguments
    if value.name not in SCALARS or kind not in SCALAR_TYPES:
        raise ValueError(f"a value made by {value.name}")
    return np.frombuffer(content, dtype=kind).item()

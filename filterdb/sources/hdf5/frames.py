"""A pandas table in the fixed format of HDFStore, as written since pandas 0.15: columns lie in blocks of one type."""

from collections.abc import Callable

import h5py
import numpy as np

from filterdb.errors import SourceError
from filterdb.sources.hdf5.container import dataset
from filterdb.sources.hdf5.objects import object_array


def read_frame(table: h5py.Group, wanted: Callable[[str], bool]) -> dict[str, list]:
    """The columns and index levels whose name is `wanted`, each a list of Python values; NaN stands for nothing."""
    columns: dict[str, list] = {}
    for block in range(int(table.attrs["nblocks"])):
        names = _array(table, f"block{block}_items")
        positions = {name: position for position, name in enumerate(names) if wanted(name)}
        if positions:
            values = _array(table, f"block{block}_values")
            columns |= {name: values[position].tolist() for name, position in positions.items()}
    columns |= _levels(table, wanted)
    if len({len(column) for column in columns.values()}) > 1:
        raise SourceError(f"the columns of {table.name} differ in length")
    return columns


def _levels(table: h5py.Group, wanted: Callable[[str], bool]) -> dict[str, list]:
    """The levels of the row index: each a list of distinct values, and per row a place in it (−1: missing)."""
    levels = {}
    for number in range(int(table.attrs["axis1_nlevels"])):
        name = _text(dataset(table, f"axis1_level{number}").attrs["name"])
        if wanted(name):
            values = _array(table, f"axis1_level{number}")
            places = _array(table, f"axis1_label{number}")
            levels[name] = [
                value if place >= 0 else np.nan for place, value in zip(places, values[places].tolist(), strict=True)
            ]
    return levels


def _array(table: h5py.Group, name: str) -> np.ndarray:
    """One array of a table, the way pandas had it: texts decoded, object arrays unpickled, transposition undone."""
    stored = dataset(table, name)
    values = object_array(bytes(stored[0])) if h5py.check_vlen_dtype(stored.dtype) else stored[()]
    if values.dtype.kind == "S":
        encoding = _text(table.attrs["encoding"])
        values = np.array([text.decode(encoding) for text in values], dtype=object)
    return values.T if stored.attrs.get("transposed", False) else values


def _text(attribute: str | bytes) -> str:
    return attribute.decode() if isinstance(attribute, bytes) else attribute

"""The published dataset of the paper, one HDF5 file: its networks, their pairs, and a comparison after import.

The layout is that of `dataset.h5` (doi:10.5281/zenodo.6414075): `/filters` (N, 3, 3) or (N, 9); `/meta`, a pandas
table in the fixed format of HDFStore with a row per layer; tables derived from them, which are only compared with.
"""

from filterdb.errors import FilterdbError

try:
    import h5py  # noqa: F401
except ImportError as error:
    raise FilterdbError("reading HDF5 files needs h5py; install it with: pip install 'filterdb[hdf5]'") from error

from filterdb.sources.hdf5.comparison import COMPARED, Comparison, check
from filterdb.sources.hdf5.networks import networks
from filterdb.sources.hdf5.pairs import pairs
from filterdb.sources.hdf5.unpack import unpacked

__all__ = ["COMPARED", "Comparison", "check", "networks", "pairs", "unpacked"]

"""The way of the paper's notebooks, from its description: everything into memory, then scikit-learn and numpy.

The array of all filters is loaded whole, a split is a list of row numbers, scaled filters are copies, the
basis is a PCA of them all, and each axis has a histogram over the range of its values.
"""

import h5py
import numpy as np
from scipy.stats import entropy
from sklearn.decomposition import PCA

import filterdb
from bench.measure import Path, files_of

BINS = 70
EMPTY = np.finfo(np.float32).eps


def export(root: Path, file: Path) -> None:
    """The filters of a lake in one HDF5 file: (n, 3, 3) float32; of each layer first row, last and robustness."""
    import pyarrow.parquet as pq

    with filterdb.open(root) as database, h5py.File(file, "w") as target:
        rows = database.sql("SELECT model, n_filters, robust FROM layers ORDER BY model, layer").fetchall()
        last = np.cumsum([n for _, n, _ in rows])
        target["layers"] = np.column_stack([last - [n for _, n, _ in rows], last, [robust for *_, robust in rows]])
        filters = target.create_dataset("filters", (int(last[-1]), 3, 3), dtype=np.float32)
        start = 0
        for path in sorted(files_of(root), key=lambda path: path.parent.name):
            for batch in pq.ParquetFile(path).iter_batches(1 << 18, columns=[f"w{i}" for i in range(9)]):
                filters[start : start + len(batch)] = np.column_stack(batch.columns).reshape(-1, 3, 3)
                start += len(batch)


def divergence(file: Path) -> float:
    """The symmetric KL of robust and normal filters on their common basis."""
    with h5py.File(file) as source:
        filters, layers = source["filters"][()], source["layers"][()]
    robust, normal = (_scaled(filters, layers[layers[:, 2] == kind]) for kind in (1, 0))
    pca = PCA(9).fit(np.concatenate([robust, normal]))
    p, q = pca.transform(robust), pca.transform(normal)
    bounds = min(p.min(), q.min()), max(p.max(), q.max())
    axes = (_symmetric_kl(p[:, axis], q[:, axis], bounds) for axis in range(9))
    return float(np.dot(pca.explained_variance_ratio_, list(axes)))


def _scaled(filters: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """The non-sparse filters of some layers as rows, each divided by its largest magnitude."""
    rows: list[int] = []
    for first, last, _ in layers:
        largest = np.abs(filters[first:last]).max(axis=(1, 2))
        rows.extend(first + np.flatnonzero(largest > largest.max() / 100))
    chosen = filters[rows].reshape(-1, 9)
    return chosen / np.abs(chosen).max(axis=1, keepdims=True)


def _symmetric_kl(p: np.ndarray, q: np.ndarray, bounds: tuple[float, float]) -> float:
    p, q = (np.histogram(values, BINS, bounds, density=True)[0] for values in (p, q))
    p, q = (np.where(density == 0, EMPTY, density) for density in (p, q))
    return entropy(p, q) + entropy(q, p)

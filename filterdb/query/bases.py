"""Registered bases: PCAs with a name, on which the histograms of all layers are kept; divergences follow at once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from filterdb.analysis import PCA
from filterdb.query import statements

if TYPE_CHECKING:
    import duckdb

    from filterdb.query.database import Split

BINS = 70
COMPONENT = [f"v{i}" for i in range(9)]


@dataclass(frozen=True)
class Basis:
    """A PCA with a name; `split` is what it was computed from, `id` what histograms on it are filed under.

    `is_complete`: they are kept of every network of the lake.
    """

    id: str
    name: str
    split: str
    pca: PCA
    is_complete: bool = False


def id_of(pca: PCA) -> str:
    """A hash of all that histograms depend on: 70 bins over the range that follows from components and mean."""
    numbers = np.concatenate([pca.components.ravel(), pca.mean])
    return hashlib.sha256(numbers.astype("<f8").tobytes()).hexdigest()[:16]


def registered(connection: "duckdb.DuckDBPyConnection") -> dict[str, Basis]:
    """The registered bases by name."""
    rows = connection.sql(statements.BASES).to_arrow_table().to_pylist()
    return {axes[0]["name"]: _basis(axes) for axes in (rows[start : start + 9] for start in range(0, len(rows), 9))}


def rows_of(basis: Basis) -> list[dict[str, object]]:
    """The nine rows of `bases` that `registered` makes `basis` of."""
    pca = basis.pca
    return [
        {
            "basis": basis.id,
            "name": basis.name,
            "split": basis.split,
            "axis": axis,
            "explained_variance": pca.explained_variance[axis],
            "explained_variance_ratio": pca.explained_variance_ratio[axis],
            "mean": pca.mean[axis],
            "n": pca.n,
            **dict(zip(COMPONENT, pca.components[axis], strict=True)),
        }
        for axis in range(9)
    ]


def histograms(split: "Split", by: Sequence[str], basis: str) -> dict[tuple, np.ndarray]:
    """The kept histograms (9, 70) of a split of layers on the basis with this id, added up by the columns `by`."""
    totals: dict[tuple, np.ndarray] = {}
    statement = statements.histograms_of_layers(split.source(by), by, basis)
    with split.database.explained():
        for batch in split.database.connection_for(statement).sql(statement).to_arrow_reader():
            groups = list(zip(*(column.to_pylist() for column in batch.columns[:-1]), strict=True))
            counts = batch.column(len(by)).flatten().to_numpy().reshape(-1, 9, BINS)
            for group, rows in _positions(groups or [()] * len(counts)).items():
                totals[group] = totals.get(group, 0) + counts[rows].sum(axis=0, dtype=np.int64)
    return totals


def _positions(groups: Sequence[tuple]) -> dict[tuple, list[int]]:
    positions: dict[tuple, list[int]] = {}
    for position, group in enumerate(groups):
        positions.setdefault(group, []).append(position)
    return positions


def _basis(axes: list[dict]) -> Basis:
    pca = PCA(
        components=np.array([[axis[weight] for weight in COMPONENT] for axis in axes]),
        explained_variance=np.array([axis["explained_variance"] for axis in axes]),
        explained_variance_ratio=np.array([axis["explained_variance_ratio"] for axis in axes]),
        mean=np.array([axis["mean"] for axis in axes]),
        n=axes[0]["n"],
    )
    return Basis(axes[0]["basis"], axes[0]["name"], axes[0]["split"], pca, axes[0]["is_complete"])

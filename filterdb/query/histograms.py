"""Histograms of coefficients on a basis: from whole row groups where a split is of layers, else in SQL."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from filterdb.analysis import PCA
from filterdb.query import scan, statements
from filterdb.query.split import Level

if TYPE_CHECKING:
    from filterdb.query.database import Split

BINS = 70


def of_split(
    split: "Split", by: Sequence[str], basis: PCA, value_range: tuple[float, float], bins: int = BINS
) -> dict[tuple, np.ndarray]:
    """Histograms (9, bins) int64 of the non-sparse filters' coefficients, keyed by the values of `by`."""
    if split.level is Level.LAYER:
        found = places(split, by)
        split.database.lake.bring({place.file for place in found})
        return scan.histograms(found, basis, value_range, bins, split.database.threads)
    return _in_sql(split, by, basis, value_range, bins)


def places(split: "Split", by: Sequence[str]) -> list[scan.Place]:
    """Where the layers of a layer-level split lie."""
    rows = split.rows(statements.rows_of_layers(split.source(by), by))
    return [scan.Place(tuple(row[:-3]), *row[-3:]) for row in rows]


def _in_sql(
    split: "Split", by: Sequence[str], basis: PCA, value_range: tuple[float, float], bins: int
) -> dict[tuple, np.ndarray]:
    params = {
        "components": basis.components.tolist(),
        "shifts": (basis.components @ basis.mean).tolist(),
        "low": value_range[0],
        "high": value_range[1],
    }
    histograms: dict[tuple, np.ndarray] = {}
    for *group, axis, bin_number, count in split.rows(statements.bins_of_filters(split.source(by), by), params):
        histograms.setdefault(tuple(group), np.zeros((9, bins), np.int64))[axis, bin_number] = count
    return histograms

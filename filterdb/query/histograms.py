"""Histograms of coefficients on a basis: by a scan where a split's filters can be placed, else in SQL."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from filterdb.analysis import PCA
from filterdb.query import places, scan, statements

if TYPE_CHECKING:
    from filterdb.query.database import Split

BINS = 70


def of_splits(
    splits: Sequence["Split"], by: Sequence[str], basis: PCA, value_range: tuple[float, float], bins: int = BINS
) -> list[dict[tuple, np.ndarray]]:
    """Of each split, histograms (9, bins) int64 of its non-sparse filters' coefficients, by the values of `by`.

    Row groups that several splits need are read once.
    """
    found = [places.of_split(split, by) for split in splits]
    numbered = [replace(place, group=(i, *place.group)) for i, own in enumerate(found) for place in own or ()]
    counted = scan.histograms(numbered, basis, value_range, bins, splits[0].database.threads)
    return [
        _in_sql(split, by, basis, value_range, bins)
        if own is None
        else {group[1:]: counts for group, counts in counted.items() if group[0] == i}
        for i, (split, own) in enumerate(zip(splits, found, strict=True))
    ]


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

"""Histograms of coefficients on a basis: by a scan where a split's filters can be placed, else in SQL."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from filterdb.analysis import PCA
from filterdb.query import bases, places, scan, statements
from filterdb.query.bases import BINS, Basis, id_of
from filterdb.query.split import Level

if TYPE_CHECKING:
    from filterdb.query.database import Database, Split


def of_splits(
    splits: Sequence["Split"], by: Sequence[str], basis: PCA, value_range: tuple[float, float], bins: int = BINS
) -> list[dict[tuple, np.ndarray]]:
    """Of each split, histograms (9, bins) int64 of its non-sparse filters' coefficients, by the values of `by`.

    What is kept on a registered basis is not counted again; row groups that several splits need are read once.
    """
    kept_on = _registered(splits[0].database, basis, value_range, bins)
    found = [places.of_split(split, by, beside=kept_on) for split in splits]
    numbered = [replace(place, group=(i, *place.group)) for i, own in enumerate(found) for place in own or ()]
    counted = scan.histograms(numbered, basis, value_range, bins, splits[0].database.threads)
    totals: list[dict[tuple, np.ndarray]] = []
    for split, own in zip(splits, found, strict=True):
        if own is None:
            totals.append(_in_sql(split, by, basis, value_range, bins))
        else:
            is_kept = kept_on is not None and split.level is Level.LAYER
            totals.append(bases.histograms(split, by, kept_on.id) if is_kept else {})
    for (i, *group), counts in counted.items():
        totals[i][tuple(group)] = totals[i].get(tuple(group), 0) + counts
    return totals


def _registered(database: "Database", basis: PCA, value_range: tuple[float, float], bins: int) -> Basis | None:
    """The registered basis that this is, if it is one."""
    known = database.bases.values()
    if not known or bins != BINS or value_range != basis.coefficient_range():
        return None
    own = id_of(basis)
    return next((one for one in known if one.id == own), None)


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

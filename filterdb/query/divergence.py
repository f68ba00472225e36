"""KL divergence between two splits, group by group (Eq. 10)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from filterdb.analysis import PCA, symmetric_kl
from filterdb.errors import UsageError
from filterdb.query import histograms
from filterdb.query.histograms import BINS

if TYPE_CHECKING:
    from filterdb.query.database import Database, Split


def by_group(
    p: "Split", q: "Split", by: Sequence[str], basis: "Split | PCA | str | None", definition: str
) -> pl.DataFrame:
    """See `Database.kl`."""
    common = common_basis(p, q, basis)
    counts_p, counts_q = histograms.of_splits((p, q), by, common, common.coefficient_range())
    groups = sorted(counts_p.keys() | counts_q.keys(), key=_nulls_last)
    nothing = np.zeros((9, BINS), np.int64)
    rows = [
        dict(zip(by, group, strict=True))
        | _divergence(counts_p.get(group, nothing), counts_q.get(group, nothing), common)
        | {"definition": definition}
        for group in groups
    ]
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides={"kl": pl.Float64})


def common_basis(p: "Split", q: "Split", basis: "Split | PCA | str | None") -> PCA:
    """The basis asked for, which may be the name of a registered one; None means that of both splits together."""
    if isinstance(basis, PCA):
        return basis
    if isinstance(basis, str):
        return _registered(p.database, basis)
    return with_structure(PCA.from_moments(p.moments() + q.moments()) if basis is None else basis.pca())


def with_structure(basis: PCA) -> PCA:
    """`basis`, if it is one: raises UsageError for that of too few filters."""
    if not np.isfinite(basis.components).all():
        raise UsageError("no common basis: fewer than two non-sparse filters, or all alike")
    return basis


def _registered(database: "Database", name: str) -> PCA:
    known = database.bases
    if name not in known:
        raise UsageError(
            f"no basis {name!r}; registered are {', '.join(known) or 'none'}: filterdb basis add NAME SPLIT"
        )
    return known[name].pca


def _divergence(counts_p: np.ndarray, counts_q: np.ndarray, basis: PCA) -> dict[str, object]:
    value_range = basis.coefficient_range()
    kl = symmetric_kl(counts_p, counts_q, value_range, basis.explained_variance_ratio)
    return {
        "kl": None if np.isnan(kl) else kl,
        "n_p": int(counts_p[0].sum()),
        "n_q": int(counts_q[0].sum()),
        "bins": BINS,
        "range": list(value_range),
    }


def _nulls_last(group: tuple) -> tuple:
    return tuple((value is None, value if value is not None else 0) for value in group)

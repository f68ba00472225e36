"""Figure 2: the principal components of robust and normal filters, and how much of the variance each explains."""

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from filterdb.report import pictures, published
from filterdb.report.charts import stamped
from filterdb.report.effects import similarity_of_bases
from filterdb.report.part import Part
from filterdb.report.study import KINDS, Study
from filterdb.report.testing import Everyone
from filterdb.report.words import file_name, listed, percent

TITLE = "Figure 2: basis and explained variance"
Rows = Mapping[str, Mapping]
"""Rows of the query by kind of network."""


def part(study: Study) -> Part:
    """Spectra side by side, and the components of each kind of network as filters.

    All data sets together, unless some were chosen: then each by itself.
    """
    groups = {dataset: _rows(study, dataset) for dataset in study.choice.datasets or (None,)}
    stamp = study.stamp(counting="every network once")
    drawn = {name: figure for dataset, rows in groups.items() for name, figure in _figures(dataset, rows)}
    return Part(
        name="fig2",
        title=TITLE,
        caption=" ".join(_caption(study, dataset, rows) for dataset, rows in groups.items()),
        figures={name: stamped(figure, stamp) for name, figure in drawn.items()},
        numbers={"fig2": pl.DataFrame([*_numbers(groups)], infer_schema_length=None)},
        notes=tuple(note for dataset, rows in groups.items() for note in _notes(dataset, rows)),
    )


def _rows(study: Study, dataset: str | None) -> Rows:
    """The query's rows that have a structure at all."""
    rows = study.frame("paper/fig2_basis", dataset=dataset).to_dicts()
    return {row["kind"]: row for row in rows if row["components"] is not None}


def _figures(dataset: str | None, rows: Rows) -> Iterator[tuple[str, Figure]]:
    if not rows:
        return
    suffix = f"-{file_name(dataset)}" if dataset else ""
    spectra = {kind: np.array(rows[kind]["explained_variance_ratio"]) for kind in KINDS if kind in rows}
    yield f"fig2-spectra{suffix}", pictures.spectra(spectra)
    reference = np.array(next(iter(rows.values()))["components"])
    bases = {
        kind: (turned(np.array(row["components"]), reference), np.array(row["explained_variance_ratio"]))
        for kind, row in rows.items()
    }
    yield f"fig2-basis{suffix}", pictures.basis(bases)


def turned(components: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Components (9, 9) with the sign in which each looks most like its nearest one of `reference`.

    The sign of a component is a convention; beside each other they are compared with ease only if it agrees.
    """
    cosines = components @ reference.T
    nearest = np.abs(cosines).argmax(axis=1)
    return components * np.where(cosines[np.arange(9), nearest] < 0, -1.0, 1.0)[:, None]


def _numbers(groups: Mapping[str | None, Rows]) -> Iterator[dict[str, object]]:
    """One row for each mean filter (axis 0) and component (axis 1 to 9)."""
    for dataset, rows in groups.items():
        for kind, row in rows.items():
            known = {"dataset": dataset, "kind": kind, "n_models": row["n_models"], "n_filters": row["n_filters"]}
            ratios = [None, *row["explained_variance_ratio"]]
            for axis, weights in enumerate([row["mean"], *row["components"]]):
                by_place = {f"w{place}": weight for place, weight in enumerate(weights)}
                yield known | {"axis": axis, "explained_variance_ratio": ratios[axis]} | by_place


def _caption(study: Study, dataset: str | None, rows: Rows) -> str:
    where = f" on {dataset}" if dataset else ""
    shares = [f"{percent(row['explained_variance_ratio'][0])} of {kind}" for kind, row in rows.items() if kind in KINDS]
    if not shares:
        return f"Too few filters for a basis{where}. See the notes."
    return (
        f"The first principal component explains {listed(shares)} filters' variance{where} (the paper's normal ones:"
        f" {percent(published.FIRST_COMPONENT, 0)}). {_similarity(study, dataset, rows)}"
    )


def _similarity(study: Study, dataset: str | None, rows: Rows) -> str:
    if not {"robust", "normal"} <= rows.keys():
        return "There are no two kinds of trained networks whose bases could be compared."
    chosen = [one for one in study.collections(pairs=False) if dataset in (None, one.dataset)]
    everyone = Everyone(chosen)
    once = np.ones((1, len(everyone.models)))
    cosine = similarity_of_bases(study.moment_vectors(everyone.models), once, everyone.robust)[0]
    return f"From a robust basis vector to the nearest normal one the cosine is {cosine:.2f}, weighted by variance."


def _notes(dataset: str | None, rows: Rows) -> Iterator[str]:
    missing = [kind for kind in KINDS if kind not in rows]
    if missing:
        yield f"{dataset or 'all data sets'}: no {listed(missing, 'and no')} networks with filters that differ"

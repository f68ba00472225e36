"""The whole report: parts made one after the other, figures and numbers as files, the page last."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from filterdb.errors import UsageError
from filterdb.query.database import Database
from filterdb.report.page import page
from filterdb.report.part import Part
from filterdb.report.parts import claims, coefficients, divergence, mosaics, quality, structure, table1, thresholding
from filterdb.report.study import Choice, Study
from filterdb.report.style import save

if TYPE_CHECKING:
    from filterdb.training.activations import Responses

PARTS: Mapping[str, Callable[[Study], Part]] = {
    "table1": table1.part,
    "fig1": divergence.part,
    "fig2": structure.part,
    "fig3": coefficients.part,
    "fig4": mosaics.first_layer,
    "fig5": mosaics.last_layer,
    "fig6": thresholding.part,
    "fig7": quality.part,
    "claims": claims.part,
}


def write(
    database: Database,
    out: Path,
    choice: Choice | None = None,
    only: Sequence[str] = (),
    *,
    responses: "Mapping[str, Responses] | None" = None,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Make the parts of the report (`only` these, in their order) and write them to `out`; returns the page.

    responses: of networks by name to images, for figure 6. progress is called with each part's name.
    Cost: one pass over the filters, for their histograms, and a few seconds.
    """
    names = _known(only)
    study = Study(database, choice or Choice())
    parts, figures, numbers = [], {}, {}
    for name in names:
        if progress:
            progress(name)
        make = partial(thresholding.part, responses=responses) if name == "fig6" else PARTS[name]
        part = make(study)
        parts.append(part)
        figures |= {key: _relative(out, save(one, out / "figures" / key)) for key, one in part.figures.items()}
        numbers |= {key: _relative(out, _save_numbers(study, one, out, key)) for key, one in part.numbers.items()}
    index = out / "index.html"
    index.write_text(page(study, parts, figures, numbers, out), encoding="utf-8")
    return index


def _known(only: Sequence[str]) -> list[str]:
    unknown = [name for name in only if name not in PARTS]
    if unknown:
        raise UsageError(f"no part {unknown[0]!r} in the report; it has {', '.join(PARTS)}")
    return [name for name in PARTS if not only or name in only]


def _save_numbers(study: Study, frame: pl.DataFrame, out: Path, name: str) -> list[Path]:
    """`name`.parquet and `name`.csv, with how was counted in every row."""
    counted = frame.with_columns(
        pl.lit(study.choice.definition.value).alias("definition"),
        pl.lit(study.weights).alias("weights"),
        pl.lit(study.database.version).alias("lake_version"),
    )
    folder = out / "numbers"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.parquet", folder / f"{name}.csv"]
    counted.write_parquet(files[0])
    counted.write_csv(files[1])
    return files


def _relative(out: Path, files: Sequence[Path]) -> list[str]:
    return [file.relative_to(out).as_posix() for file in files]

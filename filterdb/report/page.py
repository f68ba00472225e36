"""index.html: one page to read from top to bottom, with everything in it that it shows."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import zip_longest
from pathlib import Path
from string import Template
from urllib.parse import quote

import polars as pl

from filterdb import __version__
from filterdb.report.glossary import glossary
from filterdb.report.part import Part, Table
from filterdb.report.study import Study
from filterdb.report.words import counted, dataset_name

HERE = Path(__file__).parent
GROUP = "group"
Files = Mapping[str, Sequence[str]]
"""Paths of files relative to the page, by the name of the figure or of the numbers that they hold."""


def page(study: Study, parts: Sequence[Part], figures: Files, numbers: Files, root: Path) -> str:
    """The page as HTML; `root`: the directory that the paths are relative to, whose SVG files it takes in."""
    title = "Convolution filters, robust and normal"
    sections = [("lake", "What the lake holds", _lake(study))]
    sections += [(part.name, part.title, _part(part, figures, numbers, root)) for part in parts]
    sections += [
        ("definitions", "Definitions used", _definitions(study)),
        ("skips", "What was left out", _skips(study)),
    ]
    return Template((HERE / "page.html").read_text("utf-8")).substitute(
        title=escape(title),
        style=(HERE / "page.css").read_text("utf-8"),
        introduction=_introduction(study),
        navigation=" ".join(f'<a href="#{name}">{escape(_short(heading))}</a>' for name, heading, _ in sections),
        sections="\n".join(
            f'<section id="{name}">\n<h2>{escape(heading)}</h2>\n{"".join(body)}\n</section>'
            for name, heading, body in sections
        ),
    )


def _short(heading: str) -> str:
    return heading.split(":")[0]


def _introduction(study: Study) -> str:
    lake = f"<b>{escape(study.database.lake.root.name)}</b>, version {study.database.version}"
    counted_as = f"definition {study.choice.definition.value}, {study.weights} weights"
    return (
        "Every table and figure of “Adversarial Robustness through the Lens of Convolutional Filters” (Gavrikov and"
        f" Keuper, CVPR Workshops 2022), computed anew from the lake {lake}, beside the paper's own values where both"
        f' exist. <span class="source">filterdb {__version__}, {counted_as}.</span>'
    )


def _lake(study: Study) -> Iterator[str]:
    networks = study.networks.group_by("dataset", "kind", maintain_order=True)
    rows = networks.agg(pl.len().alias("networks"), pl.col("n_filters").sum()).rows()
    yield _paragraph(_counts(study))
    if rows:
        texts = tuple((dataset_name(name), kind, f"{count:,}", f"{filters:,}") for name, kind, count, filters in rows)
        yield _table(Table(head=("data set", "kind", "networks", "3×3 filters"), rows=texts))


def _counts(study: Study) -> str:
    known = len(study.networks)
    (total,) = study.database.sql("SELECT count(*) FROM models").fetchall()[0]
    others = f", of {total:,} in the lake" if total != known else ""
    pairs = counted(len(study.pairs), "pair")
    untrained = " Untrained networks have initial weights, and show what there is before any training."
    return (
        f"This report is about {counted(known, 'network')} of {counted(len(study.datasets), 'data set')}{others}; the"
        f" lake has {pairs} of a robust network and its normal twin."
        f"{untrained if 'untrained' in study.networks['kind'] else ''}"
    )


def _part(part: Part, figures: Files, numbers: Files, root: Path) -> Iterator[str]:
    yield _paragraph(part.caption)
    if part.figures:
        yield '<div class="figures">'
        for name in part.figures:
            links = f'<figcaption class="files">{_links(name, figures[name])}</figcaption>'
            yield f"<figure>{_image(root, figures[name], part.title)}{links}</figure>"
        yield "</div>"
    yield from map(_table, part.tables)
    if part.notes:
        yield '<ul class="notes">' + "".join(f"<li>{escape(note)}</li>" for note in part.notes) + "</ul>"
    links = " ".join(_links(name, numbers[name]) for name in part.numbers)
    yield f'<p class="files">Numbers: {links}</p>' if links else ""


def _image(root: Path, files: Sequence[str], title: str) -> str:
    svg = next(file for file in files if file.endswith(".svg"))
    data = b64encode((root / svg).read_bytes()).decode("ascii")
    return f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,{data}">'


def _links(name: str, files: Sequence[str]) -> str:
    links = " ".join(f'<a href="{quote(file)}">{escape(Path(file).suffix[1:])}</a>' for file in files)
    return f"{escape(name)} {links}"


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.head)
    rows = zip_longest(table.rows, table.kinds, fillvalue="")
    body = "".join(_group(table.head, row) if kind == GROUP else _row(table.head, row, kind) for row, kind in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _group(head: Sequence[str], row: Sequence[str]) -> str:
    return f'<tr class="{GROUP}"><th colspan="{len(head)}">{escape(row[0])}</th></tr>'


def _row(head: Sequence[str], row: Sequence[str], kind: str) -> str:
    """Each cell with its column's name, which a narrow screen shows beside it."""
    named = zip(head, row, strict=True)
    cells = "".join(f'<td data-name="{escape(name)}">{escape(text)}</td>' for name, text in named)
    return f'<tr class="{kind}">{cells}</tr>'


def _paragraph(text: str) -> str:
    return f"<p>{escape(text, quote=False).replace(' %', '&nbsp;%')}</p>"


def _definitions(study: Study) -> Iterator[str]:
    terms = glossary(study.choice).items()
    yield "<dl>" + "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in terms) + "</dl>"


def _skips(study: Study) -> Iterator[str]:
    rows = study.frame("skipped").rows()
    if not rows:
        yield _paragraph("Nothing that the lake knows of: all that it was given is 3×3 convolutions.")
        return
    yield _paragraph("Parts of networks that are not in the lake, by reason; for all networks of the lake.")
    head = ("reason", "parts", "networks")
    yield _table(Table(head=head, rows=tuple((reason, f"{parts:,}", f"{models:,}") for reason, parts, models in rows)))

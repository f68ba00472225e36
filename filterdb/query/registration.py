"""Registering bases, and bringing up to date the histograms that are kept on them: the writing side of `bases`."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from filterdb.errors import FilterdbError, UsageError
from filterdb.lake import schema
from filterdb.lake.files import write_parquet
from filterdb.lake.lake import Lake
from filterdb.lake.log import TableLog
from filterdb.query import bases, scan, statements
from filterdb.query.bases import BINS, Basis
from filterdb.query.database import Database
from filterdb.query.divergence import with_structure
from filterdb.query.scan import Place

NETWORKS_AT_ONCE = 32
"""So many networks' histograms are held in memory before they are written."""


class _Overtaken(FilterdbError):
    """Another process wrote to the same table first."""


def register(root: Path, name: str, split: str, *, threads: int | None = None) -> Basis:
    """Give the basis of a split a name in the lake `root`, and keep the histograms of all layers on it.

    Registering the same again only brings the histograms up to date. Raises UsageError for a name that
    another split's basis has, or that is a split itself. Cost: one pass over the filters.
    """
    with Database(Lake(root).root, threads=threads) as database:
        basis = database.bases.get(name) or _new(database, name, split)

    def missing(database: Database) -> Iterator[pa.Table]:
        present = database.bases.get(name)
        if present is None:
            yield pa.Table.from_pylist(bases.rows_of(basis), schema=schema.table("bases").arrow)
        elif present.split != split:
            raise UsageError(f"the basis {name!r} is that of {present.split!r}: choose another name")

    _append(root, "bases", missing, threads)
    _extend(root, basis, threads)
    return basis


def extend(root: Path, *, threads: int | None = None) -> None:
    """Keep the histograms of the networks that have none yet on the lake's bases.

    Cost: nothing to speak of without bases, else one pass over the filters of these networks for each.
    """
    if Lake(root).files("bases"):
        with Database(root, threads=threads) as database:
            known = database.bases
        for basis in known.values():
            _extend(root, basis, threads)


def _new(database: Database, name: str, split: str) -> Basis:
    if not name.isprintable() or not 0 < len(name) <= 200 or name.endswith(".json"):
        raise UsageError(f"a basis is called by 1 to 200 printable characters, not ending in .json; got {name[:60]!r}")
    if _is_split(database, name):
        raise UsageError(f"the name {name!r} means a split already: choose another")
    pca = with_structure(database.split(split).pca())
    return Basis(bases.id_of(pca), name, split, pca)


def _is_split(database: Database, text: str) -> bool:
    try:
        database.split(text)
    except UsageError:
        return False
    return True


def _extend(root: Path, basis: Basis, threads: int | None) -> None:
    def missing(database: Database) -> Iterator[pa.Table]:
        rows = database.connection.sql(statements.rows_without_histograms(basis.id)).fetchall()
        networks = [[Place(row[:2], *row[2:]) for row in rows] for _, rows in groupby(rows, itemgetter(0))]
        for start in range(0, len(networks), NETWORKS_AT_ONCE):
            yield _counted(database, basis, list(chain(*networks[start : start + NETWORKS_AT_ONCE])))

    _append(root, "histograms", missing, threads)


def _counted(database: Database, basis: Basis, layers: Sequence[Place]) -> pa.Table:
    """The rows of `histograms` for these layers; each place's group is its ingest_id and layer."""
    database.lake.bring({place.file for place in layers})
    counted = scan.histograms(layers, basis.pca, basis.pca.coefficient_range(), BINS, database.threads)
    columns = zip(*((*group, basis.id, counts.ravel()) for group, counts in sorted(counted.items())), strict=True)
    declared = schema.table("histograms").arrow
    return pa.Table.from_arrays(
        [pa.array(list(column), field.type) for column, field in zip(columns, declared, strict=True)], schema=declared
    )


def _append(root: Path, name: str, missing: Callable[[Database], Iterator[pa.Table]], threads: int | None) -> None:
    """Add to a derived table what `missing` finds to be so; it looks again if others wrote meanwhile."""
    declared = schema.table(name).arrow
    log = TableLog.create(root / name, declared, schema.FORMAT_VERSION)
    seen = log.files()
    with Database(root, threads=threads) as database:
        tables = missing(database)
        first = next(tables, None)
        if first is None:
            return
        file = write_parquet(log.directory, f"part-{uuid4().hex}.parquet", chain([first], tables), declared)

    def as_seen() -> None:
        if log.files() != seen:
            raise _Overtaken(name)

    try:
        log.commit(declared, [file], check=as_seen)
    except _Overtaken:
        (log.directory / file.path).unlink()
        _append(root, name, missing, threads)

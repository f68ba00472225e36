"""What a tree holds, in numbers: the computed part of every document in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import islice

from filterdb.lake import schema
from filterdb.lake.release import SMALL_TABLES, Entry, table_path
from filterdb.publish.licences import LeftOut
from filterdb.publish.metadata import Metadata
from filterdb.publish.tables import columns
from filterdb.query import catalogue
from filterdb.query.database import Database

EXAMPLES = (
    "overview",
    "networks",
    "licences",
    "quality_by_depth",
    "sparsest_layers",
    "weight_positions",
    "centre_weight",
    "pairs_compared",
    "largest_filters",
    "skipped",
)
"""Named queries that run in any DuckDB, with the macros of filterdb.sql."""
EXAMPLE_ROWS = 8


@dataclass(frozen=True)
class Table:
    """One table of a tree: where it lies (a pattern), its rows and bytes."""

    name: str
    pattern: str
    meaning: str
    columns: tuple[schema.Column, ...]
    rows: int
    bytes: int


@dataclass(frozen=True)
class Example:
    """One example query, as it runs in any DuckDB, with the beginning of its answer."""

    description: str
    sql: str
    columns: list[str]
    rows: list[tuple]
    is_cut: bool


@dataclass(frozen=True)
class Contents:
    """A tree whose tables are written and whose documents are not; `entries` are those of its tables."""

    database: Database
    entries: list[Entry]
    metadata: Metadata
    left_out: tuple[LeftOut, ...]

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """`filters`, and the small tables."""
        data = [entry for entry in self.entries if entry.model is not None]
        filters = _table("filters", "data/**/*.parquet", data)
        by_path = {entry.path: entry for entry in self.entries}
        return (filters, *(_table(name, table_path(name), [by_path[table_path(name)]]) for name in SMALL_TABLES))

    @property
    def n_bytes(self) -> int:
        """Bytes of all tables."""
        return sum(table.bytes for table in self.tables)

    def rows(self, sql: str) -> list[tuple]:
        """The rows of one SELECT over the tree."""
        return self.database.sql(sql).fetchall()

    @cached_property
    def counts(self) -> dict[str, int]:
        """Networks, robust and normal ones, pairs, layers, filters, sparse filters."""
        sql = (
            "SELECT count(*), count_if(robust), count_if(NOT robust), sum(n_filters)::BIGINT, "
            "(SELECT count(*) FROM pairs), (SELECT count(*) FROM layers), "
            "(SELECT sum(n_sparse)::BIGINT FROM layers) FROM models"
        )
        names = ("networks", "robust", "normal", "filters", "pairs", "layers", "sparse")
        return dict(zip(names, self.rows(sql)[0], strict=True))

    @cached_property
    def licences(self) -> list[tuple[str | None, int, int]]:
        """Licence, networks, filters; the one that covers most filters first."""
        return self.rows(catalogue.load("licences").text)

    @cached_property
    def released(self) -> date:
        """The date of the release: as given, or when the last network was ingested."""
        return self.metadata.released or self.rows("SELECT max(ingested_at)::DATE FROM models")[0][0]

    @property
    def version(self) -> str:
        """The version of the release: as given, or after the version of the lake."""
        return self.metadata.version or f"0.{self.database.version}.0"

    @property
    def description(self) -> str:
        """What the release is, in a few sentences."""
        counts = self.counts
        return self.metadata.description or (
            f"{counts['filters']:,} 3×3 filters of {counts['networks']:,} trained convolutional networks "
            f"({counts['robust']:,} adversarially robust, {counts['normal']:,} normally trained), layer by layer, with "
            "what is known of each network, the depth of each layer, and second moments from which PCA spectra and "
            "quality metrics of any group of layers follow without reading a single filter."
        )

    def examples(self) -> Iterator[Example]:
        """The example queries, each run with the defaults of its parameters."""
        for name in EXAMPLES:
            query = catalogue.load(name)
            sql = query.with_defaults()
            names, answer = self.database.stream(sql)
            rows = list(islice(answer, EXAMPLE_ROWS + 1))
            yield Example(query.description, sql, names, rows[:EXAMPLE_ROWS], len(rows) > EXAMPLE_ROWS)


def _table(name: str, pattern: str, entries: list[Entry]) -> Table:
    rows, size = sum(entry.rows or 0 for entry in entries), sum(entry.bytes for entry in entries)
    return Table(name, pattern, schema.table(name).meaning, columns(name), rows, size)

"""SQL for any DuckDB, without filterdb: the macros alone, or with views over the files of a tree."""

from collections.abc import Iterator

from filterdb import resources
from filterdb.lake import schema
from filterdb.lake.release import table_path
from filterdb.query import connection
from filterdb.query.quoting import literal

DATA = "data/*/*/*/*.parquet"

MACROS_TITLE = "-- The macros of filterdb: moments, scaling, histograms, divergence. They need nothing but DuckDB.\n"
TREE_TITLE = """\
-- The tables of this folder and the macros of filterdb, for any DuckDB:
--   cd THIS_FOLDER && duckdb -init filterdb.sql

"""


def macros() -> str:
    """The pure SQL macros."""
    return "\n".join((MACROS_TITLE, *connection.macros()))


def tree() -> str:
    """filterdb.sql: macros, and the views models, layers, filters, pairs, skips and filter_facts."""
    return TREE_TITLE + "\n".join((*connection.macros(), *_stored(), *_views()))


def _stored() -> Iterator[str]:
    yield "-- The files, as the views below expect them.\nCREATE SCHEMA IF NOT EXISTS stored;"
    yield (
        "CREATE OR REPLACE VIEW stored.commits AS\n"
        "SELECT model AS ingest_id, model, path AS file FROM 'MANIFEST.parquet' WHERE model IS NOT NULL;"
    )
    for name in schema.TABLES:
        source = literal(DATA if name == "filters" else table_path(name))
        yield connection.stored_view(name, source, published=True).replace("CREATE", "CREATE OR REPLACE", 1) + ";"


def _views() -> Iterator[str]:
    """The views over what a tree has; tables derived from these stay in the lake."""
    for name in (*schema.TABLES, "filter_facts"):
        yield (resources.directory("schema") / "views" / f"{name}.sql").read_text("utf-8")

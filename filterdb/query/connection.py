"""The one place that connects DuckDB: settings, macros, stored tables, views, lock, in this order."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import duckdb

from filterdb import memory, resources
from filterdb.errors import LakeError
from filterdb.lake import schema
from filterdb.lake.lake import Lake
from filterdb.lake.release import Release
from filterdb.query.quoting import identifier, literal

VIEWS = (*schema.ALL, "filter_facts")
LEFT_OUT = {
    "models": "model AS ingest_id, ",
    "layers": "model AS ingest_id, (sum(n_filters) OVER before)::BIGINT - n_filters AS first_row, ",
    "skips": "(SELECT ingest_id FROM stored.commits WHERE model = skips.model) AS ingest_id, ",
}
"""The hidden columns, which a published tree does not have, from those that it has."""


def connect(
    lake: Lake | Release, *, threads: int | None = None, memory_limit: str | None = None
) -> duckdb.DuckDBPyConnection:
    """A connection that sees `lake`, and nothing else: no other file, no write, no change of settings."""
    connection = duckdb.connect(config=_settings(threads, memory_limit))
    filters = _FiltersElsewhere(lake)
    if not lake.is_complete:
        connection.create_function(filters.FUNCTION, filters.files, [], "VARCHAR[]")
    with _first_file_checked_on_failure(lake):
        for statement in (*macros(), *_stored_tables(lake)):
            connection.execute(statement)
        _refuse_other_columns(connection, lake)
    for statement in (*views(), *_lock(lake)):
        connection.execute(statement)
    filters.is_asked = True
    return connection


@contextmanager
def _first_file_checked_on_failure(lake: Lake | Release) -> Iterator[None]:
    """Compare the file of filters that DuckDB takes the columns from with its checksum, if it makes trouble.

    The others are compared when a question needs them; to compare it always would cost every question its reading.
    """
    try:
        yield
    except (duckdb.Error, LakeError):
        if lake.is_complete:
            lake.bring(lake.files("filters")[:1])
        raise


def macros() -> Iterator[str]:
    """The pure SQL macros, in an order in which each finds what it uses."""
    folder = resources.directory("schema") / "macros"
    for name in ("scaling", "moments", "metrics", "histogram", "divergence", "basis", "networks"):
        yield (folder / f"{name}.sql").read_text("utf-8")


def views() -> Iterator[str]:
    """The views that users see, over the schema `stored`."""
    for name in VIEWS:
        yield (resources.directory("schema") / "views" / f"{name}.sql").read_text("utf-8")


def stored_view(name: str, source: str, *, published: bool) -> str:
    """The table `name` as it is stored, from `source`: a list of files, or what yields one."""
    parquet = f"read_parquet({source}, hive_partitioning = false)"
    hidden = LEFT_OUT.get(name, "") if published else ""
    window = " WINDOW before AS (PARTITION BY model ORDER BY layer)" if "OVER" in hidden else ""
    return f"CREATE VIEW stored.{identifier(name)} AS SELECT {hidden}* FROM {parquet} AS {identifier(name)}{window}"


@dataclass
class _FiltersElsewhere:
    """The files of filters of a tree elsewhere, as a function that DuckDB calls when it binds the view.

    While the views are made it names a file without rows; afterwards it brings what a query needs.
    """

    FUNCTION = "files_of_filters"
    lake: Lake | Release
    is_asked: bool = False

    def files(self) -> list[str]:
        found = self.lake.files("filters") if self.is_asked else [self.lake.no_filters]
        self.lake.bring(found)
        return [str(file) for file in found]


def _settings(threads: int | None, memory_limit: str | None) -> dict[str, str | int]:
    settings = {
        "threads": threads,
        "memory_limit": None if memory_limit is None else f"{memory.size(memory_limit) / 1000}KB",
        "temp_directory": str(Path(tempfile.gettempdir()) / f"filterdb-{uuid4().hex}"),  # made when it is needed
        "autoinstall_known_extensions": "false",
        "python_enable_replacements": "false",  # else a name may mean a variable of ours
    }
    return {name: value for name, value in settings.items() if value is not None}


def _stored_tables(lake: Lake | Release) -> Iterator[str]:
    yield "CREATE SCHEMA stored"
    yield "CREATE TABLE stored.commits (ingest_id VARCHAR, model VARCHAR, file VARCHAR)"
    commits = lake.commits()
    if commits:
        rows = ", ".join(f"({literal(c.ingest_id)}, {literal(c.model)}, {literal(str(c.file))})" for c in commits)
        yield f"INSERT INTO stored.commits VALUES {rows}"
    for name in schema.ALL:
        if name != "filters":
            lake.bring(lake.files(name))
        yield _stored_table(lake, name)


def _refuse_other_columns(connection: duckdb.DuckDBPyConnection, lake: Lake | Release) -> None:
    rows = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'stored'"
    ).fetchall()
    found = {(table, column): kind for table, column, kind in rows}
    for table in map(schema.table, schema.ALL):
        for column in table.columns:
            kind = found.get((table.name, column.name))
            if kind != column.sql_type:
                wrong = "is missing" if kind is None else f"is {kind}, not {column.sql_type}"
                raise LakeError(
                    f"{lake.root} is no lake that filterdb wrote: column {column.name} of {table.name} {wrong}"
                )


def _stored_table(lake: Lake | Release, name: str) -> str:
    files = [str(file) for file in lake.files(name)]
    if not files:
        declaration = (resources.directory("schema") / f"{name}.sql").read_text("utf-8")
        return declaration.replace(f"CREATE TABLE {name}", f"CREATE TABLE stored.{identifier(name)}", 1)
    elsewhere = name == "filters" and not lake.is_complete
    source = f"{_FiltersElsewhere.FUNCTION}()" if elsewhere else listing(files)
    return stored_view(name, source, published=isinstance(lake, Release))


def listing(files: Sequence[str]) -> str:
    """`files` as a SQL list."""
    return "[" + ", ".join(map(literal, files)) + "]"


def _lock(lake: Lake | Release) -> Iterator[str]:
    yield f"SET allowed_directories = [{literal(str(lake.root.resolve()))}]"
    yield "SET enable_external_access = false"
    yield "SET lock_configuration = true"

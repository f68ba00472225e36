"""The one place that connects DuckDB: settings, macros, stored tables, views, lock, in this order."""

from collections.abc import Iterator
from pathlib import Path

import duckdb

from filterdb import resources
from filterdb.lake import schema
from filterdb.lake.lake import Lake
from filterdb.query.quoting import identifier, literal

VIEWS = ("models", "layers", "filters", "pairs", "skips", "filter_facts")


def connect(lake: Lake, *, threads: int | None = None, memory_limit: str | None = None) -> duckdb.DuckDBPyConnection:
    """A connection that sees `lake`, and nothing else: no other file, no write, no change of settings."""
    connection = duckdb.connect(config=_settings(threads, memory_limit))
    for statement in (*macros(), *_stored_tables(lake), *views(), *_lock(lake)):
        connection.execute(statement)
    return connection


def macros() -> Iterator[str]:
    """The pure SQL macros, in an order in which each finds what it uses."""
    folder = resources.directory("schema") / "macros"
    for name in ("scaling", "moments", "metrics", "histogram", "divergence"):
        yield (folder / f"{name}.sql").read_text("utf-8")


def views() -> Iterator[str]:
    """The views that users see, over the schema `stored`."""
    for name in VIEWS:
        yield (resources.directory("schema") / "views" / f"{name}.sql").read_text("utf-8")


def _settings(threads: int | None, memory_limit: str | None) -> dict[str, str | int]:
    settings = {"threads": threads, "memory_limit": memory_limit, "autoinstall_known_extensions": "false"}
    return {name: value for name, value in settings.items() if value is not None}


def _stored_tables(lake: Lake) -> Iterator[str]:
    yield "CREATE SCHEMA stored"
    yield "CREATE TABLE stored.commits (ingest_id VARCHAR, model VARCHAR, file VARCHAR)"
    commits = lake.commits()
    if commits:
        rows = ", ".join(f"({literal(c.ingest_id)}, {literal(c.model)}, {literal(str(c.file))})" for c in commits)
        yield f"INSERT INTO stored.commits VALUES {rows}"
    for name in schema.TABLES:
        yield _stored_table(name, lake.log(name).files())


def _stored_table(name: str, files: list[Path]) -> str:
    if not files:
        declaration = (resources.directory("schema") / f"{name}.sql").read_text("utf-8")
        return declaration.replace(f"CREATE TABLE {name}", f"CREATE TABLE stored.{identifier(name)}", 1)
    listing = ", ".join(literal(str(file)) for file in files)
    return (
        f"CREATE VIEW stored.{identifier(name)} AS SELECT * FROM read_parquet([{listing}], hive_partitioning = false)"
    )


def _lock(lake: Lake) -> Iterator[str]:
    yield f"SET allowed_directories = [{literal(str(lake.root.resolve()))}]"
    yield "SET enable_external_access = false"
    yield "SET lock_configuration = true"

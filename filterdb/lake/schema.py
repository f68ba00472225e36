"""The columns of every table, read from `schema/*.sql`: types, units and meanings have no other source."""

import re
from dataclasses import dataclass
from functools import cache

import pyarrow as pa

from filterdb import resources

FORMAT_VERSION = 1
TABLES = ("models", "layers", "pairs", "skips", "filters")

ARROW_TYPES = {
    "VARCHAR": pa.string(),
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "TIMESTAMP": pa.timestamp("us"),
}
COLUMN = re.compile(r"^ {4}(\w+) (\w+)( NOT NULL)?,? +-- ([^|]+?) \| (.+)$")


@dataclass(frozen=True)
class Column:
    """One column: `sql_type` as DuckDB writes it, `unit` and `meaning` as the documentation prints them."""

    name: str
    sql_type: str
    nullable: bool
    unit: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """One table of the lake."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema, with the format version in its metadata."""
        fields = [pa.field(c.name, ARROW_TYPES[c.sql_type], c.nullable) for c in self.columns]
        return pa.schema(
            fields, {"filterdb.table": self.name, "filterdb.format_version": str(FORMAT_VERSION)}
        )


@cache
def table(name: str) -> Table:
    """The table `name`, as `schema/<name>.sql` declares it."""
    lines = (resources.directory("schema") / f"{name}.sql").read_text("utf-8").splitlines()
    meaning = lines[0].removeprefix("-- ")
    return Table(name, meaning, tuple(_column(name, line) for line in lines[2:-1]))


def _column(table_name: str, line: str) -> Column:
    match = COLUMN.match(line)
    if match is None:
        raise ValueError(
            f"schema/{table_name}.sql: not of the form 'name TYPE [NOT NULL], -- unit | meaning': {line}"
        )
    name, sql_type, not_null, unit, meaning = match.groups()
    return Column(name, sql_type, not_null is None, unit, meaning)

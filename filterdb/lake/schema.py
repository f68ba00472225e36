"""The columns of every table, read from `schema/*.sql`: types, units and meanings have no other source."""

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from filterdb import resources

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT_VERSION = 1
TABLES = ("models", "layers", "pairs", "skips", "filters")
DERIVED = ("bases", "histograms")
"""Tables that a lake need not have: all that they hold follows from the others."""
ALL = (*TABLES, *DERIVED)

MOMENT_NAMES = ("n", *(f"s{i}" for i in range(9)), *(f"c{i}{j}" for i in range(9) for j in range(i, 9)))
ARROW_TYPES = {
    "VARCHAR": "string",
    "BOOLEAN": "bool",
    "TINYINT": "int8",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "FLOAT": "float32",
    "DOUBLE": "float64",
    "TIMESTAMP": "timestamp[us]",
}
COLUMN = re.compile(r"^ {4}(\w+) (\w+(?:\[\])?)( NOT NULL)?,? +-- ([^|]+?) \| (.+)$")


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
    def arrow(self) -> "pa.Schema":
        """The Arrow schema, with the format version in its metadata."""
        import pyarrow as pa

        types = {sql: pa.type_for_alias(alias) for sql, alias in ARROW_TYPES.items()}
        types |= {f"{sql}[]": pa.list_(kind) for sql, kind in types.items()}
        fields = [pa.field(c.name, types[c.sql_type], c.nullable) for c in self.columns]
        return pa.schema(fields, {"filterdb.table": self.name, "filterdb.format_version": str(FORMAT_VERSION)})


@cache
def table(name: str) -> Table:
    """The table `name`, as `schema/<name>.sql` declares it."""
    lines = (resources.directory("schema") / f"{name}.sql").read_text("utf-8").splitlines()
    meaning = lines[0].removeprefix("-- ")
    return Table(name, meaning, tuple(_column(name, line) for line in lines[2:-1]))


def _column(table_name: str, line: str) -> Column:
    match = COLUMN.match(line)
    if match is None:
        raise ValueError(f"schema/{table_name}.sql: not of the form 'name TYPE [NOT NULL], -- unit | meaning': {line}")
    name, sql_type, not_null, unit, meaning = match.groups()
    return Column(name, sql_type, not_null is None, unit, meaning)

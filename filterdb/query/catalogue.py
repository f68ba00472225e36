"""The named queries in `queries/`: one file each, its name the query's, its first comment what it answers."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import duckdb

from filterdb import resources
from filterdb.errors import UsageError

PARAMETER = re.compile(r"(\w+) (\w+) = ([^,]+)")


@dataclass(frozen=True)
class Parameter:
    """One `$name` of a query: SQL type and default, both as written."""

    name: str
    sql_type: str
    default: str


@dataclass(frozen=True)
class Query:
    """One named query; `text` runs as it is in DuckDB once its parameters have values."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    text: str

    def values(self, connection: duckdb.DuckDBPyConnection, given: Mapping[str, str]) -> dict[str, object]:
        """A value for every parameter: those `given` as text, defaults otherwise, cast to their types."""
        self._refuse_unknown(given)
        return {p.name: self._value(connection, p, given.get(p.name)) for p in self.parameters}

    def with_defaults(self) -> str:
        """The statement alone, with the default of every parameter in its place; a condition on none is left out."""
        defaults = {parameter.name: parameter.default.strip() for parameter in self.parameters}
        unused = tuple(f"WHERE ${name} IS NULL OR" for name, default in defaults.items() if default == "NULL")
        lines = [line for line in self.text.splitlines() if not line.strip().startswith(("--", *unused))]
        return re.sub(r"\$(\w+)", lambda match: defaults[match[1]], "\n".join(lines)).strip().rstrip(";")

    def _value(self, connection: duckdb.DuckDBPyConnection, parameter: Parameter, given: str | None) -> object:
        source = parameter.default if given is None else "$value"
        statement = f"SELECT CAST({source} AS {parameter.sql_type})"
        try:
            return connection.sql(statement, params=None if given is None else {"value": given}).fetchall()[0][0]
        except duckdb.ConversionException as error:
            message = f"{self.name}: {parameter.name} must be {parameter.sql_type}, not {given!r}"
            raise UsageError(message) from error

    def _refuse_unknown(self, given: Mapping[str, str]) -> None:
        names = [p.name for p in self.parameters]
        for name in given:
            if name not in names:
                raise UsageError(f"{self.name} has no parameter {name!r}; it has {', '.join(names) or 'none'}")


def names() -> list[str]:
    """All query names, e.g. `overview` or `paper/table1`, sorted."""
    folder = resources.directory("queries")
    return sorted(file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.sql"))


def queries() -> Iterator[Query]:
    """All queries, by name."""
    return map(load, names())


def load(name: str) -> Query:
    """The query `name`; UsageError with close matches if there is none."""
    known = names()
    if name not in known:
        close = get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"
        raise UsageError(f"no query {name!r}; {hint}")
    return parse(name, (resources.directory("queries") / f"{name}.sql").read_text("utf-8"))


def parse(name: str, text: str) -> Query:
    """The query in `text`; ValueError names the file if it has no description or its parameters disagree."""
    comments = re.match(r"(?:--[^\n]*\n)*", text).group().splitlines()
    declared = [line.removeprefix("-- params:") for line in comments if line.startswith("-- params:")]
    description = " ".join(line[2:].strip() for line in comments if not line.startswith("-- params:"))
    parameters = tuple(Parameter(*match) for match in PARAMETER.findall(declared[0] if declared else ""))
    body = text[sum(len(line) + 1 for line in comments) :]
    used = set(re.findall(r"\$(\w+)", body))
    if not description or used != {p.name for p in parameters}:
        file = Path("queries") / f"{name}.sql"
        raise ValueError(f"{file}: needs a description, and a '-- params:' line that declares {sorted(used)}")
    return Query(name, description, parameters, text)

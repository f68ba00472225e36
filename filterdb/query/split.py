"""Splits: the sets of filters that analyses are asked of, written in SQL.

A split is a predicate (`robust AND dataset = 'cifar10'`) or one SELECT over the views. If it speaks
of whole layers it is answered from their summaries; only what looks at single filters scans. Where
a name means a column of both (max_abs), a predicate means that of the layer.
"""

from dataclasses import dataclass
from enum import StrEnum

import duckdb

from filterdb.errors import UsageError
from filterdb.query.conjuncts import binds
from filterdb.query.sandbox import check_depth, check_single_select

PREDICATE_VIEWS = ("layers", "filters", "filter_facts")
FILTER_COLUMNS = frozenset({"sparse", "max_abs", *(f"w{i}" for i in range(9))})


class Level(StrEnum):
    """What a split is made of: whole layers (summaries answer) or single filters (a scan answers)."""

    LAYER = "layer"
    FILTER = "filter"


@dataclass(frozen=True)
class Resolved:
    """A split that was found to bind: what the user wrote, its level, and a SELECT of its rows.

    `with_facts` selects the same rows with everything known of their layers and networks, where
    `sql` does not have that. `condition` is what the user wrote where that is a condition on filters.
    """

    text: str
    level: Level
    sql: str
    with_facts: str | None = None
    condition: str | None = None


def resolve(connection: duckdb.DuckDBPyConnection, text: str) -> Resolved:
    """Find out what `text` asks for; nothing is executed.

    Raises UsageError on anything but one predicate or one SELECT, and on a SELECT that yields neither
    layers (columns model, layer, or model alone) nor filters (w0 … w8, max_abs, sparse); duckdb.Error
    on what DuckDB does not understand, such as unknown columns.
    """
    check_depth(text)
    return _resolve_predicate(connection, text) if _is_expression(text) else _resolve_select(connection, text)


def shorten(text: str) -> str:
    """`text` quoted, in one line of bearable length."""
    line = " ".join(text.split())
    return repr(line if len(line) <= 80 else line[:77] + "…")


def _is_expression(text: str) -> bool:
    try:
        duckdb.SQLExpression(text)
    except duckdb.Error:
        return False
    return True


def _resolve_predicate(connection: duckdb.DuckDBPyConnection, text: str) -> Resolved:
    layers, filters, facts = (f"SELECT * FROM {view} WHERE (\n{text}\n)" for view in PREDICATE_VIEWS)
    check_single_select(connection, layers, "a split")
    if binds(connection, layers):
        return Resolved(text, Level.LAYER, layers)
    connection.sql(facts)  # raises what is wrong, if anything is
    return Resolved(text, Level.FILTER, filters if binds(connection, filters) else facts, facts, text)


def _resolve_select(connection: duckdb.DuckDBPyConnection, text: str) -> Resolved:
    check_single_select(connection, text, "a split")
    select = text.strip().rstrip(";")
    columns = set(connection.sql(select).columns)
    if columns >= FILTER_COLUMNS:
        return Resolved(text, Level.FILTER, select)
    keys = [key for key in ("model", "layer") if key in columns]
    if "model" not in keys:
        raise UsageError(
            f"split {shorten(text)}: a SELECT must yield model and layer, model alone, "
            f"or w0 … w8, max_abs and sparse; it yields {', '.join(sorted(columns))}"
        )
    return Resolved(text, Level.LAYER, f"SELECT * FROM layers SEMI JOIN (\n{select}\n) USING ({', '.join(keys)})")

"""What users may say in SQL: one SELECT, in which nothing writes, and nothing runs SQL that is not there to be read.

DuckDB itself keeps the connection from files outside the lake. But its SELECT may hold INSERT, DELETE
and even COPY in a WITH clause, and some table functions run text as SQL; so the parsed statement is looked at.
"""

import json
import re
from collections.abc import Iterator
from itertools import accumulate

import duckdb

from filterdb.errors import UsageError

EXPLAIN = re.compile(r"\s*EXPLAIN\s+(?:ANALYZE\s+)?(.*)", re.IGNORECASE | re.DOTALL)
QUERIES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
DEEPEST = 1_000
"""Parentheses within each other that a statement may have; DuckDB's own limit on expressions."""
TOO_DEEP = "the statement is nested too deeply"
TABLE_FUNCTIONS = frozenset(
    {
        *("range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"),
        *("histogram", "histogram_values", "summary"),
        *("read_parquet", "parquet_scan", "parquet_metadata", "parquet_schema", "parquet_file_metadata"),
        *("duckdb_columns", "duckdb_functions", "duckdb_keywords", "duckdb_memory", "duckdb_schemas"),
        *("duckdb_settings", "duckdb_tables", "duckdb_temporary_files", "duckdb_types", "duckdb_views"),
    }
)


def check_single_select(connection: duckdb.DuckDBPyConnection, text: str, what: str) -> None:
    """Refuse everything but one SELECT, or EXPLAIN of one; `what` it was to be begins the message.

    Nothing is executed. Raises UsageError, or duckdb.Error for what cannot be parsed.
    """
    check_depth(text)
    kinds = [_kind(statement) for statement in connection.extract_statements(text)]
    explained = EXPLAIN.fullmatch(text)
    if kinds == ["EXPLAIN"] and explained is not None:
        return check_single_select(connection, explained[1], what)
    if kinds != ["SELECT"]:
        raise UsageError(f"{what} must be one SELECT; got {', '.join(kinds) or 'nothing'}")
    for problem in _problems(parsed(connection, text)):
        raise UsageError(f"{what} {problem}")
    return None


def check_depth(text: str) -> None:
    """Refuse what DuckDB's parser would take minutes for, or crash at: from about 5,000 and 50,000 parentheses on."""
    if text.count("(") > DEEPEST and _depth(text) > DEEPEST:
        raise UsageError(TOO_DEEP)


def _kind(statement: duckdb.Statement) -> str:
    try:
        return statement.type.name
    except ValueError:  # a kind that is newer than DuckDB's own list of them
        return "another statement"


def _depth(text: str) -> int:
    return max(accumulate(1 if sign == "(" else -1 for sign in re.findall("[()]", text)))


def parsed(connection: duckdb.DuckDBPyConnection, text: str) -> dict:
    """What DuckDB makes of a statement, as `json_serialize_sql` gives it."""
    serialized = connection.sql("SELECT json_serialize_sql($text)", params={"text": text}).fetchall()[0][0]
    try:
        return json.loads(serialized)
    except RecursionError as error:
        raise UsageError(TOO_DEEP) from error


def nodes(tree: object) -> Iterator[dict]:
    """All objects within a parsed statement, however deep."""
    rest = [tree]
    while rest:
        node = rest.pop()
        if isinstance(node, dict):
            yield node
            rest.extend(node.values())
        elif isinstance(node, list):
            rest.extend(node)


def _problems(parsed: dict) -> Iterator[str]:
    """What is wrong with a parsed statement, node by node."""
    if parsed["error"]:
        yield f"must be one SELECT: {parsed['error_message']}"
    for node in nodes(parsed):
        yield from _problem(node)


def _problem(node: dict) -> Iterator[str]:
    if "cte_map" in node and node["type"] not in QUERIES:
        yield f"must be one SELECT; {node['type'].split('_')[0]} is within it"
    if node.get("type") == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name")).lower()
        if name not in TABLE_FUNCTIONS:
            yield f"cannot use the table function {name}; there are {', '.join(sorted(TABLE_FUNCTIONS))}"

"""The part of a condition on filters that speaks of whole layers: it says which layers a scan can pass over."""

import json

import duckdb

from filterdb.query.sandbox import nodes, parsed

LAYERS = "SELECT * FROM (SELECT * EXCLUDE (max_abs) FROM layers) AS layers"
"""All layers, by what means the same in a condition on filters; `max_abs` there is the filter's."""


def layers_that_may_meet(connection: duckdb.DuckDBPyConnection, condition: str) -> str:
    """A SELECT of the layers that meet those terms of `condition`, joined by AND, that bind to layers.

    No filter of another layer meets the whole. Terms that chance decides are left to the filters.
    """
    statement = parsed(connection, f"{LAYERS} WHERE (\n{condition}\n)")
    where = statement["statements"][0]["node"]["where_clause"]
    terms = where["children"] if where["type"] == "CONJUNCTION_AND" else [where]
    volatile = _volatile_functions(connection)
    of_layers = [
        term
        for term in terms
        if not any(node.get("function_name") in volatile for node in nodes(term))
        and binds(connection, _with_terms(connection, statement, [term]))
    ]
    return _with_terms(connection, statement, of_layers) if of_layers else LAYERS


def binds(connection: duckdb.DuckDBPyConnection, sql: str) -> bool:
    """Whether all names in a statement mean something."""
    try:
        connection.sql(sql)
    except duckdb.BinderException:
        return False
    return True


def _with_terms(connection: duckdb.DuckDBPyConnection, statement: dict, terms: list[dict]) -> str:
    """The text of a parsed statement with `terms` in place of its WHERE clause."""
    both = {"class": "CONJUNCTION", "type": "CONJUNCTION_AND", "alias": "", "children": terms}
    node = statement["statements"][0]["node"] | {"where_clause": terms[0] if len(terms) == 1 else both}
    tree = json.dumps({"error": False, "statements": [{"node": node}]})
    return connection.sql("SELECT json_deserialize_sql($tree::JSON)", params={"tree": tree}).fetchall()[0][0]


def _volatile_functions(connection: duckdb.DuckDBPyConnection) -> set[str]:
    names = connection.sql("SELECT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE'").fetchall()
    return {name for (name,) in names}

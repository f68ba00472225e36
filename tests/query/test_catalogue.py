"""The named queries: described, declared, and runnable in plain SQL."""

import pytest

from filterdb.errors import UsageError
from filterdb.query import catalogue


@pytest.mark.parametrize("name", catalogue.names())
def test_every_query_runs_with_its_defaults(db, name):
    query = catalogue.load(name)
    assert query.description.endswith(".")
    relation = db.sql(query.text, query.values(db.connection, {}))
    assert relation.columns
    relation.fetchall()


def test_parameters_are_cast_to_their_types(db):
    query = catalogue.load("sparsest_layers")
    assert query.values(db.connection, {"n": "3"}) == {"n": 3}
    assert len(db.sql(query.text, {"n": 3}).fetchall()) == 3
    with pytest.raises(UsageError, match="n must be BIGINT, not 'many'"):
        query.values(db.connection, {"n": "many"})
    with pytest.raises(UsageError, match="has no parameter 'm'; it has n"):
        query.values(db.connection, {"m": "1"})


def test_an_unknown_query_is_answered_with_its_neighbours():
    with pytest.raises(UsageError, match="did you mean sparsest_layers"):
        catalogue.load("sparsest")
    with pytest.raises(UsageError, match="there are centre_weight"):
        catalogue.load("zzz")


@pytest.mark.parametrize(
    "text",
    ["SELECT 1;\n", "-- Says.\nSELECT $n;\n", "-- Says.\n-- params: n BIGINT = 1\nSELECT 1;\n"],
)
def test_undescribed_queries_and_wrong_declarations_are_refused(text):
    with pytest.raises(ValueError, match=r"queries/x\.sql: needs a description"):
        catalogue.parse("x", text)

"""`schema/` is the single source of columns: what we read from it is what DuckDB reads from it."""

import duckdb
import pyarrow as pa
import pytest

from filterdb import resources
from filterdb.lake import rows, schema


@pytest.mark.parametrize("name", schema.ALL)
def test_columns_are_those_that_duckdb_creates(name):
    with duckdb.connect() as connection:
        connection.execute((resources.directory("schema") / f"{name}.sql").read_text("utf-8"))
        found = connection.sql(
            "SELECT column_name, data_type, is_nullable FROM duckdb_columns() WHERE NOT internal ORDER BY column_index"
        ).fetchall()
    assert [(c.name, c.sql_type, c.nullable) for c in schema.table(name).columns] == found


@pytest.mark.parametrize("name", schema.ALL)
def test_every_column_has_a_unit_and_a_meaning(name):
    table = schema.table(name)
    assert table.meaning.endswith(".") or table.meaning
    for column in table.columns:
        assert column.unit.strip(), column.name
        assert len(column.meaning) > 3, column.name


def test_arrow_types_follow_from_the_sql_types():
    fields = {field.name: field for field in schema.table("filters").arrow}
    assert fields["w4"].type == pa.float32()
    assert not fields["w4"].nullable
    assert fields["depth_decile"].type == pa.int8()
    assert schema.table("layers").arrow.metadata[b"filterdb.format_version"] == b"1"


def test_written_filters_differ_from_the_declared_ones_only_in_dictionaries():
    for written, declared in zip(rows.filters_schema(), schema.table("filters").arrow, strict=True):
        assert written.name == declared.name
        assert written.nullable == declared.nullable
        assert written.type == declared.type or written.type.value_type == declared.type


def test_a_malformed_column_is_named(monkeypatch, tmp_path):
    (tmp_path / "odd.sql").write_text("-- Odd.\nCREATE TABLE odd (\n    x INTEGER -- no unit\n);\n")
    monkeypatch.setattr(resources, "directory", lambda name: tmp_path)
    with pytest.raises(ValueError, match=r"schema/odd\.sql.*x INTEGER"):
        schema.table("odd")

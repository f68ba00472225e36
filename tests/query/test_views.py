"""What the views show: every declared column, only what is committed, nothing outside the lake."""

import duckdb
import pytest

import filterdb
from filterdb.errors import LakeError, UsageError
from filterdb.lake import schema
from filterdb.lake.lake import Lake
from filterdb.lake.log import TableLog
from filterdb.lake.writer import write_failures, write_network, write_pairs
from tests.networks import random_network

HIDDEN = {"ingest_id", "first_row"}


@pytest.mark.parametrize("name", schema.TABLES)
def test_views_show_every_column_that_is_not_hidden(db, name):
    declared = {c.name for c in schema.table(name).columns} - HIDDEN
    shown = set(db.sql(f"FROM {name}").columns)
    packed = {c for c in declared if c.startswith(("raw_", "scaled_"))} if name == "layers" else set()
    assert declared - packed <= shown
    assert not HIDDEN & shown


def test_layers_carry_what_is_known_of_their_networks(db):
    facts = {c.name for c in schema.table("models").columns} - HIDDEN
    counted = {"name", "n_layers", "n_filters", "weights_sha256", "ingested_at", "filterdb_version"}
    assert facts - counted <= set(db.sql("FROM layers").columns)


def test_packed_moments_are_in_the_order_of_the_vector(db):
    struct = db.sql("SELECT scaled_moments FROM layers LIMIT 1").fetchall()[0][0]
    assert tuple(struct) == schema.MOMENT_NAMES


def test_a_new_lake_is_empty_and_can_be_asked(tmp_path):
    Lake.create(tmp_path / "new.lake")
    with filterdb.open(tmp_path / "new.lake") as db:
        for name in schema.TABLES:
            assert db.sql(f"SELECT count(*) FROM {name}").fetchall() == [(0,)]
        assert db.split("robust").count() == 0


def test_rows_of_a_write_that_was_not_committed_do_not_show(tmp_path, monkeypatch):
    lake = Lake.create(tmp_path / "a.lake")
    write_network(lake, random_network("kept"))
    commit = TableLog.commit

    def crash(self, *args, **kwargs):
        if self.directory.name == "filters":
            raise KeyboardInterrupt
        return commit(self, *args, **kwargs)

    monkeypatch.setattr(TableLog, "commit", crash)
    with pytest.raises(KeyboardInterrupt):
        write_network(lake, random_network("lost"))
    with filterdb.open(lake.root) as db:
        for name in ("models", "layers", "filters", "skips"):
            assert db.sql(f"SELECT DISTINCT model FROM {name}").fetchall() == [("local/kept",)]


def test_time_travel_shows_the_lake_as_it_was(tmp_path):
    lake = Lake.create(tmp_path / "a.lake")
    for name in ("one", "two"):
        write_network(lake, random_network(name))
    with filterdb.open(lake.root, version=1) as db:
        assert db.sql("SELECT model FROM models").fetchall() == [("local/one",)]
        assert db.split("true").count() == random_network("one").n_filters
    with pytest.raises(LakeError, match="version 9"):
        filterdb.open(lake.root, version=9)


def test_pairs_show_when_both_networks_are_there(tmp_path):
    lake = Lake.create(tmp_path / "a.lake")
    pair = {"robust_model": "local/robust", "normal_model": "local/plain", "architecture": "Toy", "dataset": "cifar10"}
    write_pairs(lake, [pair])
    write_pairs(lake, [pair])
    write_network(lake, random_network("robust"))
    with filterdb.open(lake.root) as db:
        assert db.sql("FROM pairs").fetchall() == []
    write_network(lake, random_network("plain"))
    with filterdb.open(lake.root) as db:
        assert db.sql("FROM pairs").fetchall() == [tuple(pair.values())]


def test_a_failure_shows_until_the_network_is_there(tmp_path):
    lake = Lake.create(tmp_path / "a.lake")
    write_failures(lake, [("local/late", "download failed")])
    with filterdb.open(lake.root) as db:
        assert db.sql("FROM skips").fetchall() == [("local/late", None, None, "download failed")]
    write_network(lake, random_network("late"))
    with filterdb.open(lake.root) as db:
        assert db.sql("SELECT reason FROM skips").fetchall() == [("kernel 1x1",)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
    ],
)
def test_nothing_outside_the_lake_can_be_read(db, query):
    with pytest.raises((UsageError, duckdb.Error)):
        db.sql(query).fetchall()


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO 'x.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.csv'",
        "CREATE TABLE x (a INT)",
        "ATTACH 'x.db'",
        "SET threads = 1",
        "INSTALL httpfs",
        "PRAGMA database_list",
        "SELECT 1; SELECT 2",
        "",
        "DELETE FROM stored.commits",
    ],
)
def test_only_one_select_is_taken(db, query):
    with pytest.raises(UsageError):
        db.sql(query)


def test_explain_is_taken(db):
    assert db.sql("EXPLAIN SELECT 1").fetchall()


def test_a_lake_that_is_not_there(tmp_path):
    with pytest.raises(LakeError, match=r"no lake in .*nowhere: ingest something first"):
        filterdb.open(tmp_path / "nowhere")

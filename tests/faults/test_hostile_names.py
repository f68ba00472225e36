"""Names of networks and data sets with everything in them that once broke something: kept as they are, or refused."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import filterdb
from filterdb import cli
from filterdb.errors import UsageError
from filterdb.lake.lake import Lake
from filterdb.lake.verify import verify
from filterdb.lake.writer import write_network
from filterdb.query.quoting import identifier, literal
from tests.networks import random_network

NAMES = [
    "it's",
    '"quoted"',
    "a\nb\r\nc\t",
    "Größe ✓ 模型 🦆",
    "e\u0301",
    "..",
    ".",
    "../../etc/passwd",
    "/absolute/path",
    "C:\\windows\\path",
    "-rf",
    "--lake",
    "~root",
    "$(reboot) `id`",
    "*?[a-z]{b}",
    "a%2Fb%00c",
    "model=x/robust=true",
    "__HIVE_DEFAULT_PARTITION__",
    " ",
    "NULL",
    "'; DROP VIEW models; --",
    "#fragment?query=1&x",
    "part-0-0123456789abcdef0123456789abcdef.parquet",
    "x" * 190,
]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_come_back_as_they_were(tmp_path, name):
    lake = Lake.create(tmp_path / "a.lake")
    network = random_network(name, n_layers=2, dataset=name)
    write_network(lake, network)
    model = network.facts.model
    with filterdb.open(lake.root) as db:
        for table in ("models", "layers", "filters"):
            assert set(db.sql(f"SELECT model, dataset FROM {table}").fetchall()) == {(model, name)}
        for split in (f"model = {literal(model)}", f"dataset = {literal(name)} AND w4 = w4"):
            assert db.split(split).count() == network.n_filters
        basis = db.split("true").pca()
        assert db.kl(f"model = {literal(model)}", "true", by="dataset", basis=basis)["dataset"].to_list() == [name]
    assert not verify(lake.root).damage
    assert {path.name for path in tmp_path.iterdir()} == {"a.lake"}


@pytest.mark.parametrize("name", ["x" * 10_000, "é" * 100, "\ud800"])
def test_names_that_no_file_system_takes_are_refused_in_one_line(tmp_path, name):
    lake = Lake.create(tmp_path / "a.lake")
    for network in (random_network(name), random_network("a", dataset=name)):
        with pytest.raises(UsageError) as refusal:
            write_network(lake, network)
        assert len(str(refusal.value)) < 300
        assert "\n" not in str(refusal.value)
    assert Lake(lake.root).commits() == []
    assert not list((lake.root / "filters").rglob("*.parquet"))


def test_names_from_a_strangers_table_go_through_the_command(tmp_path, capsys):
    n = len(NAMES)
    columns = {"model": NAMES, "dataset": NAMES[::-1], "robust": [True] * n, "layer": [0] * n}
    weights = {f"w{i}": np.full(n, i / 9, np.float32) for i in range(9)}
    pq.write_table(pa.table(columns | weights), tmp_path / "table.parquet")
    root = tmp_path / "a.lake"
    assert cli.run(["ingest", "table", str(tmp_path / "table.parquet"), "--lake", str(root)]) == 0
    capsys.readouterr()
    with filterdb.open(root) as db:
        found = dict(db.sql("SELECT name, dataset FROM models").fetchall())
    assert found == dict(zip(NAMES, NAMES[::-1], strict=True))


def test_a_name_that_cannot_be_stops_no_other_network(tmp_path, capsys):
    names = ["good", "x" * 300, "better"]
    columns = {"model": names, "dataset": ["d"] * 3, "robust": [True] * 3}
    weights = {f"w{i}": np.full(3, i / 9, np.float32) for i in range(9)}
    pq.write_table(pa.table(columns | weights), tmp_path / "table.parquet")
    root = tmp_path / "a.lake"
    assert cli.run(["ingest", "table", str(tmp_path / "table.parquet"), "--lake", str(root)]) == 3
    assert "must be 1 to 200 bytes long" in capsys.readouterr().err
    with filterdb.open(root) as db:
        assert {name for (name,) in db.sql("SELECT name FROM models").fetchall()} == {"good", "better"}
        assert db.sql("SELECT reason LIKE '%1 to 200 bytes%' FROM skips").fetchall() == [(True,)]


@pytest.fixture(scope="module")
def db(made):
    with filterdb.open(made, threads=1) as database:
        yield database


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_quoting_is_undone_by_duckdb(db, text):
    relation = db.sql(f"SELECT {literal(text)} AS {identifier(text)}")
    assert relation.columns == [text]
    assert relation.fetchall() == [(text,)]

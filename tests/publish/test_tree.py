"""The tree: the same bytes every time, nothing hidden in it, networks only under licences that allow it."""

import subprocess

import duckdb
import pyarrow.parquet as pq
import pytest

import filterdb
from filterdb.errors import LakeError, UsageError
from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_network
from filterdb.publish import card, licences, metadata
from filterdb.publish.metadata import Metadata
from filterdb.publish.names import Profile
from filterdb.publish.tree import write_tree
from tests.networks import random_network
from tests.publish.conftest import digests

OTHERS = "model != 'local/plain-c'"


def test_the_same_lake_gives_the_same_bytes(lake_root, release_file, tree, tmp_path):
    write_tree(lake_root, tmp_path / "again", metadata.load(release_file))
    assert digests(tmp_path / "again") == digests(tree)


def test_an_older_version_of_the_lake_gives_its_own_tree(lake_root, tmp_path):
    write_tree(lake_root, tmp_path / "old", Metadata(), version=2)
    with filterdb.open(tmp_path / "old") as db:
        assert db.sql("SELECT model FROM models ORDER BY 1").fetchall() == [("local/plain-a",), ("local/robust-a",)]
        assert db.version == 2


def test_data_are_the_files_of_the_lake_under_names_without_chance(lake_root, tree):
    committed = {commit.model: commit.file.read_bytes() for commit in Lake(lake_root).commits()}
    manifest = {row["path"]: row for row in pq.read_table(tree / "MANIFEST.parquet").to_pylist()}
    data = {path: row for path, row in manifest.items() if path.startswith("data/")}
    assert sorted(data) == [
        "data/dataset=cifar10/robust=false/model=local%2Fplain-a/part-0.parquet",
        "data/dataset=cifar10/robust=true/model=local%2Frobust-a/part-0.parquet",
        "data/dataset=o%27hara%2Fx%7Cy/robust=__HIVE_DEFAULT_PARTITION__/model=local%2Frobust%2Fb%20100%25/part-0.parquet",
    ]
    for path, row in data.items():
        assert (tree / path).read_bytes() == committed[row["model"]]


@pytest.mark.parametrize("name", ["models", "layers", "pairs", "skips"])
def test_small_tables_hold_what_views_show(lake_root, tree, name):
    file = tree / "meta" / f"{name}.parquet"
    assert not {"ingest_id", "first_row"} & set(pq.read_schema(file).names)
    kept = {"pairs": "normal_model != 'local/plain-c'", "skips": "model NOT IN ('local/plain-c', 'local/broken')"}
    licence = "* REPLACE (lower(license) AS license)" if name in ("models", "layers") else "*"
    text = f"SELECT {licence} FROM {name} WHERE {kept.get(name, OTHERS)} ORDER BY ALL"
    with filterdb.open(lake_root) as lake, filterdb.open(tree) as published:
        assert published.sql(text).fetchall() == lake.sql(text).fetchall()


def test_every_file_is_in_the_manifest_and_in_the_checksums(tree):
    listed = set(pq.read_table(tree / "MANIFEST.parquet")["path"].to_pylist())
    assert listed == set(digests(tree)) - {"MANIFEST.parquet", "SHA256SUMS"}
    done = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=tree, capture_output=True, check=False)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == len(listed) + 1


def test_nothing_tells_of_the_machine_or_the_clock(tree):
    for path, content in ((file, file.read_bytes()) for file in tree.rglob("*") if file.is_file()):
        assert b"/secret/place" not in content, path
        assert b"/tmp/" not in content, path


def test_a_network_under_another_licence_is_left_out_by_name(lake_root, tmp_path):
    gate = write_tree(lake_root, tmp_path / "open", Metadata())
    assert [(out.model, out.license) for out in gate.left_out] == [("local/plain-c", "CC-BY-NC-4.0")]
    assert "| local/plain-c | CC-BY-NC-4.0 |" in (tmp_path / "open" / "LICENSES.md").read_text()
    with filterdb.open(tmp_path / "open") as db:
        assert db.sql("SELECT reason FROM skips WHERE model = 'local/plain-c'").fetchall() == [
            ("licence CC-BY-NC-4.0",)
        ]
        assert db.sql("SELECT count(*) FROM pairs").fetchall() == [(1,)]
    everything = write_tree(lake_root, tmp_path / "all", Metadata(), allow=["cc-by-nc-4.0"])
    assert everything.left_out == ()
    assert len(everything.passed) == 4


def test_an_unknown_licence_is_an_error_unless_allowed(tmp_path):
    lake = Lake.create(tmp_path / "new.lake")
    write_network(lake, random_network("a"))
    with pytest.raises(UsageError, match=r"no licence is known of local/a: ingest with --license, or publish with"):
        write_tree(lake.root, tmp_path / "out", Metadata())
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["new.lake"]
    gate = write_tree(lake.root, tmp_path / "out", Metadata(), allow=["unknown"])
    assert gate.passed == ("local/a",)
    assert 'license: "other"' in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("networks", "allow", "message"),
    [
        ([("a", "GPL-3.0-only")], [], "no network to publish: --license-allow one of GPL-3.0-only"),
        ([], [], "no network to publish: ingest some first"),
        ([(f"n{i}", None) for i in range(7)], ["MIT"], r"n0, n1, n2, n3, n4, … \(7 in all\)"),
    ],
)
def test_a_release_without_networks_is_refused(networks, allow, message):
    with pytest.raises(UsageError, match=message):
        licences.gate(networks, allow)


def test_licences_are_told_by_their_spdx_names():
    assert licences.canonical("apache-2.0") == "Apache-2.0"
    assert licences.canonical("Own licence") == "Own licence"
    assert licences.canonical("  ") == licences.canonical(None) == "unknown"
    assert licences.gate([("a", "own"), ("b", "mit")], ["OWN"]).passed == ("a", "b")


def test_an_older_tree_is_replaced_and_nothing_else(lake_root, tmp_path):
    target = tmp_path / "out"
    write_tree(lake_root, target, Metadata(), allow=["CC-BY-NC-4.0"])
    write_tree(lake_root, target, Metadata())
    assert len(list(target.rglob("part-0.parquet"))) == 3
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="no published tree: name a folder that is new or empty"):
        write_tree(lake_root, other, Metadata())
    assert [file.name for file in other.iterdir()] == ["thesis.tex"]


def test_a_failure_leaves_the_older_tree(lake_root, tmp_path, monkeypatch):
    target = tmp_path / "out"
    write_tree(lake_root, target, Metadata())
    before = digests(target)
    monkeypatch.setattr(card, "text", lambda contents: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_tree(lake_root, target, Metadata(), allow=["CC-BY-NC-4.0"])
    assert digests(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_tree_is_no_lake_to_publish_or_to_write_to(tree, tmp_path):
    with pytest.raises(UsageError, match="is a published tree already"):
        write_tree(tree, tmp_path / "out", Metadata())
    with pytest.raises(LakeError, match="is a published tree, which is read only"):
        Lake.create(tree)


def test_files_for_viewers_hold_the_same_rows(lake_root, tree, tmp_path):
    write_tree(lake_root, tmp_path / "viewer", Metadata(), profile=Profile.VIEWER)
    with duckdb.connect() as connection:
        query = "SELECT * FROM read_parquet('{}/data/**/*.parquet', hive_partitioning = false) ORDER BY ALL"
        found = connection.sql(query.format(tmp_path / "viewer")).fetchall()
        assert found == connection.sql(query.format(tree)).fetchall()

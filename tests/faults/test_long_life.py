"""Years of use: compaction and vacuum change no answer of a kept version; old lakes stay readable."""

import csv
import shutil
import threading
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import filterdb
from bench.faults import contents
from filterdb import cli
from filterdb.errors import IntegrityError, LakeError
from filterdb.lake import commits
from filterdb.lake.compact import compact
from filterdb.lake.ingestion import ingest
from filterdb.lake.lake import Lake
from filterdb.lake.log import TableLog, tables
from filterdb.lake.vacuum import superfluous
from filterdb.lake.verify import verify
from filterdb.lake.writer import write_network, write_pairs
from filterdb.network import Job
from tests.networks import random_network

ARCHIVE = Path(__file__).parents[1] / "data" / "archive"
WEEK = timedelta(days=7).total_seconds()


def all_versions(root):
    return [contents(root, version) for version in range(Lake(root).version + 1)]


def vacuum(root, **when):
    found = superfluous(Lake(root), **when)
    for file in found:
        file.path.unlink()
    return {file.path.relative_to(root).as_posix() for file in found}


def first_replaced(root):
    """When a file was first replaced by another, in seconds since 1970."""
    times = [
        commit.timestamp / 1000
        for name in tables(root)
        for commit in commits.read_all(root / name, commits.newest(root / name))
        if commit.removed
    ]
    return min(times)


def test_compaction_changes_no_answer_at_any_version(root):
    before = all_versions(root)
    done = compact(Lake(root))
    assert {name: done[name] for name in ("models", "layers", "skips", "pairs")} == {
        "models": (4, 1),
        "layers": (4, 1),
        "skips": (4, 1),
        "pairs": (0, 0),
    }
    assert all_versions(root) == before
    assert not verify(root).damage
    assert compact(Lake(root))["layers"] == (1, 1)


def test_the_compact_command(root, capsys):
    assert cli.run(["compact", "--lake", str(root), "--format", "csv"]) == 0
    assert "layers,4,1\n" in capsys.readouterr().out


def test_rows_that_are_appended_during_compaction_are_kept(root, monkeypatch):
    from filterdb.lake import compact as module

    write = module.write_parquet

    def slow(*args):
        file = write(*args)
        write_pairs(Lake(root), [{"robust_model": "a", "normal_model": "b", "architecture": None, "dataset": None}])
        write_network(Lake(root), random_network(f"late-{file.rows}", n_layers=file.rows % 7 + 1))
        return file

    monkeypatch.setattr(module, "write_parquet", slow)
    compact(Lake(root))
    models = {model.rpartition("/")[2].split("-")[0] for model in contents(root)}
    assert models == {"robust", "plain", "third", "late"}
    assert not verify(root).damage


def test_compactions_at_once_do_not_disturb_each_other(root):
    before = contents(root)
    threads = [threading.Thread(target=compact, args=(Lake(root),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents(root) == before
    assert not verify(root).damage
    assert len(Lake(root).log("layers").files()) == 1


@pytest.mark.parametrize("n_commits", range(3))
def test_a_compaction_that_is_cut_off_changes_no_answer(root, monkeypatch, n_commits):
    before = all_versions(root)
    commit, done = TableLog.commit, []

    def cut_off(self, *args, **kwargs):
        if len(done) == n_commits:
            raise KeyboardInterrupt
        done.append(self.directory.name)
        commit(self, *args, **kwargs)

    monkeypatch.setattr(TableLog, "commit", cut_off)
    with pytest.raises(KeyboardInterrupt):
        compact(Lake(root))
    monkeypatch.undo()
    assert all_versions(root) == before
    assert not verify(root).damage
    assert len(verify(root).leftovers) == 1
    compact(Lake(root))
    assert all_versions(root) == before


def test_compaction_does_not_carry_damage_on(root):
    file = min((root / "layers").glob("*.parquet"))
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(IntegrityError, match="layers/part-"):
        compact(Lake(root))


def test_an_ingestion_compacts_when_files_are_many(tmp_path, monkeypatch):
    monkeypatch.setattr("filterdb.lake.ingestion.MANY", 4)
    jobs = [Job(f"local/n{i}", lambda i=i: random_network(f"n{i}", n_layers=1)) for i in range(5)]
    assert [report.outcome for report in ingest(tmp_path / "a.lake", jobs)] == ["written"] * 5
    assert len(Lake(tmp_path / "a.lake").log("layers").files()) == 1
    assert [report.outcome for report in ingest(tmp_path / "a.lake", jobs)] == ["unchanged"] * 5
    assert len(contents(tmp_path / "a.lake")) == 5


def test_vacuum_removes_nothing_that_a_kept_version_needs(compacted):
    before = all_versions(compacted)
    assert vacuum(compacted) == set()
    assert vacuum(compacted, now=first_replaced(compacted) + WEEK - 1) == set()
    assert all_versions(compacted) == before
    assert vacuum(compacted, now=first_replaced(compacted) + WEEK + 1) != set()


def test_vacuum_removes_what_was_replaced_a_week_ago(compacted):
    now = contents(compacted)
    removed = vacuum(compacted, now=time.time() + WEEK + 60)
    assert len([name for name in removed if name.startswith("filters/")]) == 1
    assert len(removed) == 1 + 3 * 4
    assert contents(compacted) == now
    assert not verify(compacted).damage
    for version in (2, 3):
        with pytest.raises(LakeError, match=f"version {version} of .* cannot be read any more"):
            contents(compacted, version)
    assert contents(compacted, 1).keys() == {"local/robust"}


def test_vacuum_leaves_writes_under_way_alone(root):
    half_written = {"filters/dataset=x/part-0-under-way.parquet", "models/.part-x.parquet.tmp"}
    (root / "filters" / "dataset=x").mkdir()
    for name in half_written:
        (root / name).write_bytes(b"half")
    assert not vacuum(root, retention=timedelta(0)) & half_written
    assert vacuum(root, now=time.time() + timedelta(days=8).total_seconds()) >= half_written
    assert not verify(root).leftovers


def test_vacuum_removes_nothing_where_a_commit_cannot_be_read(root):
    commits.location(root / "layers", 2).write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"layers/_delta_log/0+2\.json is not a commit"):
        superfluous(Lake(root))


def test_the_vacuum_command_lists_and_removes(root, capsys):
    command = ["vacuum", "--lake", str(root), "--keep-days", "0", "--format", "csv"]
    assert cli.run([*command, "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].endswith(",only versions need it that are no longer kept")
    assert err.startswith("1 file, ")
    file = root / out.splitlines()[1].split(",")[0]
    assert file.exists()
    assert cli.run(command) == 0
    assert not file.exists()
    assert not verify(root).damage


def test_what_a_reader_has_open_stays_readable_through_all_of_it(root):
    with filterdb.open(root) as db:
        query = "SELECT model, layer, n_filters FROM layers ORDER BY ALL"
        before = db.sql(query).fetchall()
        compact(Lake(root))
        write_network(Lake(root), random_network("later"))
        vacuum(root)
        assert db.sql(query).fetchall() == before
        assert db.split("w4 > -9").count() == db.split("true").count()


@pytest.mark.parametrize("archive", sorted(ARCHIVE.glob("v*")), ids=lambda path: path.name)
def test_lakes_of_every_format_version_stay_readable(tmp_path, archive):
    root = Path(shutil.copytree(archive / "zoo", tmp_path / "zoo"))
    assert not verify(root).damage
    with (archive / "filters.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    weights = [f"w{i}" for i in range(9)]
    with filterdb.open(root) as db:
        found = db.sql(
            f"SELECT model, layer, out_channel, in_channel, sparse, {', '.join(weights)} FROM filters ORDER BY ALL"
        ).fetchall()
        assert db.split("robust").count() == 10
        assert db.split("robust").pca().n == 10 - sum(row[4] for row in found if row[0] == "local/robust")
        np.testing.assert_allclose(
            db.split("true").moments(scaled=False).to_vector(),
            db.split("w4 = w4").moments(scaled=False).to_vector(),
            rtol=1e-9,
        )
    expected = sorted(
        (f"local/{row['model']}", *(int(row[name]) for name in ("layer", "out_channel", "in_channel"))) for row in rows
    )
    assert [row[:4] for row in found] == expected
    by_key = {(f"local/{r['model']}", int(r["layer"]), int(r["out_channel"]), int(r["in_channel"])): r for r in rows}
    for row in found:
        np.testing.assert_array_equal(
            np.array(row[5:], np.float32), np.array([by_key[row[:4]][name] for name in weights], np.float32)
        )
    assert contents(root, 1).keys() == {"local/robust"}
    write_network(Lake(root), random_network("new"))
    assert contents(root).keys() == {"local/robust", "local/normal", "local/new"}

"""Disks that are full, and lakes that must not be written to: one clear line, exit code 1, the lake as before."""

import os
import resource
import shutil
import subprocess

import pytest

from bench.faults import contents, write_table
from filterdb.errors import LakeError
from filterdb.lake import writer
from filterdb.lake.ingestion import ingest
from filterdb.lake.lake import Lake
from filterdb.lake.verify import verify
from filterdb.network import Job
from tests.networks import random_network


def mounted(options, *place):
    """Mount, or skip the test where that is not allowed."""
    done = subprocess.run(["mount", *options, *map(str, place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 kB."""
    place = tmp_path / "small"
    place.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted(["-t", "tmpfs", "-o", "size=400k", "none"], place)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def read_only(root, tmp_path):
    """The lake where nobody can write to it: mounted so for root, without the permission for others."""
    if os.geteuid() == 0:
        place = tmp_path / "read-only.lake"
        place.mkdir()
        mounted(["--bind"], root, place)
        mounted(["-o", "remount,bind,ro"], place)
        yield place
        subprocess.run(["umount", str(place)], check=True)
    else:
        folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
        for folder in folders:
            folder.chmod(0o555)
        yield root
        for folder in folders:
            folder.chmod(0o755)


def one_line(done, *parts):
    assert done.returncode == 1, done
    assert done.stderr.startswith("filterdb: ")
    assert done.stderr.count("\n") == 1
    assert all(part in done.stderr for part in parts), done.stderr


def test_a_full_disk_ends_in_one_line_and_the_lake_is_whole(small_disk, run, table, tmp_path):
    root = small_disk / "a.lake"
    one_line(run("ingest", "table", table, "--lake", root), "No space left on device")
    there = contents(root)
    assert 0 < len(there) < 8
    assert not verify(root).damage
    assert not list(root.rglob("*.tmp"))
    larger = tmp_path / "larger.lake"
    shutil.copytree(root, larger)
    assert run("ingest", "table", table, "--lake", larger).returncode == 0
    found = contents(larger)
    assert len(found) == 8
    assert there.items() <= found.items()


def test_a_lake_on_a_full_disk_can_still_be_asked(small_disk, run, table):
    root = small_disk / "a.lake"
    run("ingest", "table", table, "--lake", root)
    subprocess.run(["dd", "if=/dev/zero", f"of={small_disk / 'rest'}", "bs=4k"], capture_output=True, check=False)
    assert shutil.disk_usage(small_disk).free == 0
    assert run("sql", "SELECT sum(w4) FROM filters", "--lake", root).returncode == 0
    assert run("verify", "--lake", root).returncode == 0
    one_line(run("ingest", "table", table, "--lake", root), "No space left on device")


@pytest.mark.parametrize("size", [3_000, 20_000, 26_000])
def test_a_quota_ends_in_one_line_and_the_lake_is_as_before(root, run, tmp_path, size):
    """Files may not grow beyond `size`: the disk fills in different steps of a write."""
    table = write_table(tmp_path / "table.parquet", 2, n_filters=300)
    before = contents(root)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    one_line(run("ingest", "table", table, "--lake", root, preexec_fn=limit), "File too large")
    assert contents(root) == before
    assert not verify(root).damage
    assert run("ingest", "table", table, "--lake", root).returncode == 0
    assert len(contents(root)) == 5


def test_a_read_only_lake_can_be_asked_but_not_changed(read_only, run, tmp_path):
    before = contents(read_only)
    table = write_table(tmp_path / "table.parquet", 2)
    one_line(run("ingest", "table", table, "--lake", read_only), "Read-only file system" if os.geteuid() == 0 else "")
    one_line(run("compact", "--lake", read_only))
    assert run("verify", "--lake", read_only).returncode == 0
    assert run("vacuum", "--lake", read_only).returncode == 0
    assert run("sql", "SELECT count(*) FROM filters", "--lake", read_only).returncode == 0
    assert contents(read_only) == before


def test_a_place_where_no_lake_can_be_made(read_only, run, table):
    one_line(run("ingest", "table", table, "--lake", read_only / "new.lake"), "cannot create the table")
    one_line(run("ingest", "table", table, "--lake", table / "new.lake"), "cannot create the table")


def test_what_was_finished_before_the_disk_was_full_is_kept(root, monkeypatch):
    """The same within one process: the second network fails, the first stays, the third is not tried."""
    before = contents(root)
    write = writer.write_parquet

    def full(folder, path, *rest):
        if folder.name == "models" and len(Lake(root).commits()) > 3:
            raise OSError(28, "No space left on device")
        return write(folder, path, *rest)

    monkeypatch.setattr(writer, "write_parquet", full)
    jobs = [Job(f"local/n{i}", lambda i=i: random_network(f"n{i}")) for i in range(3)]
    with pytest.raises(LakeError, match="No space left on device; finished networks are kept, run the same command"):
        list(ingest(root, jobs))
    assert {commit.model for commit in Lake(root).commits()} - before.keys() == {"local/n0"}
    assert len(list((root / "filters").rglob("model=local%2Fn?/*.parquet"))) == 1
    assert not verify(root).damage

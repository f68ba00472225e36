"""Bounds on memory and threads: questions spill to disk instead of failing, ingestion works layer by layer."""

import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import filterdb
from bench.faults import EVERYTHING, contents, group_larger_than_memory, write_table
from filterdb import cli, memory
from filterdb.errors import LakeError, UsageError
from filterdb.lake.ingestion import ingest
from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_network
from filterdb.network import Facts, Job, Layer, Network
from filterdb.query import connection

ROOT = Path(__file__).parents[2]
N_FILTERS = 3_000_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A lake of three million filters, 120 MB."""
    filters = np.random.default_rng(0).normal(size=(N_FILTERS, 9)).astype(np.float32)
    layer = Layer(name="a", n_filters=N_FILTERS, read=lambda: filters, in_channels=1000)
    lake = Lake.create(tmp_path_factory.mktemp("large") / "a.lake")
    write_network(lake, Network(Facts(model="local/large", source="local", name="large"), (layer,)))
    return lake.root


def test_settings_are_honoured_and_locked(root):
    with filterdb.open(root, threads=3, memory_limit="300MB") as db:
        found = dict(db.sql("SELECT name, value FROM duckdb_settings()").fetchall())
        assert found["threads"] == "3"
        assert found["memory_limit"] == "286.1 MiB"
        assert found["lock_configuration"] == "true"
        assert found["enable_external_access"] == "false"


def test_groups_larger_than_memory_spill(large, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert len(EVERYTHING.split(",")) == 16
    query = f"SELECT count(*), sum(n) FROM (SELECT count(*) AS n FROM filters GROUP BY {EVERYTHING})"
    with filterdb.open(large, threads=2, memory_limit="250MB") as db:
        assert list(db.stream(query)[1]) == [(N_FILTERS, N_FILTERS)]
    assert list(tmp_path.iterdir()) == []
    settings = connection._settings
    monkeypatch.setattr(connection, "_settings", lambda *limits: settings(*limits) | {"temp_directory": ""})
    with filterdb.open(large, threads=2, memory_limit="250MB") as db, pytest.raises(LakeError, match="memory"):
        list(db.stream(query)[1])


@pytest.mark.slow
def test_a_process_keeps_to_its_limit(large):
    _, peak = group_larger_than_memory(large, "250MB")
    assert peak < 0.5


def test_too_little_memory_is_said_in_one_line(large, capsys):
    query = "SELECT list(w0), list(w1), list(w2), list(w3), list(w4) FROM filters"
    assert cli.run(["sql", query, "--lake", str(large), "--memory-limit", "20MB", "--threads", "1"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("filterdb: too little memory: ")
    assert err.count("\n") == 1
    with filterdb.open(large, memory_limit="20MB") as db, pytest.raises(LakeError, match="allow more"):
        list(db.stream(query)[1])


@pytest.mark.parametrize("limit", ["0", "lots", "10", "-5 apples", "1KB", "99999999TB"])
def test_limits_that_are_none_are_refused(root, limit):
    with pytest.raises((UsageError, LakeError)) as refusal:
        filterdb.open(root, memory_limit=limit)
    assert "\n" not in str(refusal.value)


def test_nothing_is_left_in_the_temporary_folder_or_the_working_one(root, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with filterdb.open(root) as db:
        assert db.split("w4 > -9").count() > 0
    assert not (tmp_path / "temporary").exists()
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(("text", "size"), [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("300mb", 3 * 10**8)])
def test_sizes_mean_what_they_say(text, size):
    assert memory.size(text) == size


def test_fewer_threads_where_layers_are_large():
    threads = [memory.threads_within(10**9, layer * 10**6, 8) for layer in (1, 40, 80, 150)]
    assert threads == sorted(threads, reverse=True)
    assert threads[0] == 8
    assert threads[-1] == 1


def test_an_ingestion_keeps_to_its_limit_or_says_what_it_needs(tmp_path, run):
    table = write_table(tmp_path / "table.parquet", 2, n_filters=400_000)
    root = tmp_path / "a.lake"
    done = run("ingest", "table", table, "--lake", root, "--memory-limit", "300MB")
    assert done.returncode == 3
    assert "a layer of 14 MB needs a memory limit of at least 579MB; it is 300MB" in done.stderr
    assert "Traceback" not in done.stderr
    assert run("ingest", "table", table, "--lake", root, "--memory-limit", "600MB").returncode == 0
    assert len(Lake(root).commits()) == 2


def test_workers_bound_the_layers_in_work_and_change_no_row(tmp_path):
    lock, reading, most = threading.Lock(), set(), {}

    def read(threads, seed):
        with lock:
            reading.add(seed)
            most[threads] = max(most.get(threads, 0), len(reading))
        time.sleep(0.02)
        with lock:
            reading.remove(seed)
        return np.random.default_rng(seed).normal(size=(60, 9)).astype(np.float32)

    def network(threads):
        layers = [
            Layer(name=f"{i}", n_filters=60, read=partial(read, threads, i), in_channels=6, out_channels=10, groups=1)
            for i in range(12)
        ]
        return Network(Facts(model="m", source="local", name="m"), tuple(layers))

    found = []
    for threads in (1, 3):
        root = tmp_path / f"{threads}.lake"
        (report,) = ingest(root, [Job("m", lambda threads=threads: network(threads))], threads=threads)
        assert report.outcome == "written"
        assert most[threads] <= threads
        found.append(contents(root))
    assert found[0] == found[1]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [650_000_000, 1_500_000_000])
def test_memory_of_an_ingestion_stays_below_its_limit(tmp_path, limit):
    """Six layers of 36 MB, as in the largest networks of the paper, in a process of its own."""
    program = f"""
from pathlib import Path
import numpy as np
from bench.measure import peak_memory
from filterdb.lake.ingestion import ingest
from filterdb.network import Facts, Job, Layer, Network

def layer(seed):
    return Layer(
        name=str(seed), n_filters=10**6, in_channels=1000, out_channels=1000, groups=1,
        read=lambda: np.random.default_rng(seed).standard_normal(size=(10**6, 9), dtype=np.float32),
    )

network = Network(Facts(model="m", source="local", name="m"), tuple(map(layer, range(6))))
(report,) = ingest(Path({str(tmp_path / "a.lake")!r}), [Job("m", lambda: network)], threads=8, memory_limit={limit})
assert report.outcome == "written", report
print(peak_memory())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout) < limit

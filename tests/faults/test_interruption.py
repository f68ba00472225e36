"""Ctrl-C: exit code 130, one line that says how to go on, finished networks kept."""

import random
import signal
import subprocess
import sys
import threading
import time

import pytest

import filterdb
from bench.faults import contents, write_table
from filterdb.lake.log import exists
from filterdb.lake.verify import verify

LINE = "filterdb: interrupted; what was finished is kept, run the same command again to go on\n"


def interrupted(command, ready, seconds):
    """Run `command`, press Ctrl-C so many seconds after `ready()`: exit code, stderr, seconds until the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "filterdb", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not ready():
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, stderr = process.communicate()
    return process.returncode, stderr, time.monotonic() - began


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("many") / "many.parquet", 24, n_filters=20)


@pytest.mark.parametrize("seed", range(2))
def test_an_ingestion_is_interrupted_and_goes_on(many, tmp_path, run, seed):
    root = tmp_path / "a.lake"
    command = ["ingest", "table", str(many), "--lake", str(root)]
    code, stderr, _ = interrupted(command, lambda: exists(root / "filters"), random.Random(seed).uniform(0, 0.5))
    assert (code, stderr) == (130, LINE)
    there = contents(root)
    assert 0 <= len(there) < 24
    assert not verify(root).damage
    assert run(*command).returncode == 0
    assert len(contents(root)) == 24
    assert there.items() <= contents(root).items()


@pytest.mark.parametrize(
    "query", ["SELECT count(*) FROM range(100000000000) t(a) WHERE a % 7 = 1", "FROM range(100000000000)"]
)
def test_a_question_without_end_is_interrupted(root, query):
    code, stderr, seconds = interrupted(["sql", query, "--lake", str(root), "--format", "csv"], lambda: True, 3)
    assert (code, stderr) == (130, LINE)
    assert seconds < 10


def test_a_question_asked_in_python_can_be_ended_from_another_thread(root):
    with filterdb.open(root) as db:
        threading.Timer(0.5, db.interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            list(db.stream("SELECT count(*) FROM range(100000000000) t(a) WHERE a % 7 = 1")[1])
        assert db.split("true").count() > 0

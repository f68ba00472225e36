"""Lakes to be damaged, and the command line run as a user runs it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.faults import write_table
from filterdb.lake.compact import compact
from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_network
from tests.networks import random_network

NAMES = ("robust", "plain", "third")


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A lake of three networks, of which only copies are touched; the second was replaced once."""
    root = tmp_path_factory.mktemp("made") / "a.lake"
    lake = Lake.create(root)
    for seed, name in enumerate(NAMES):
        write_network(lake, random_network(name, seed=seed, n_layers=3))
    write_network(lake, random_network("plain", seed=9, n_layers=3), replace=True)
    return root


@pytest.fixture
def root(made, tmp_path):
    """A copy of that lake."""
    return Path(shutil.copytree(made, tmp_path / "a.lake"))


@pytest.fixture
def compacted(root):
    """The same, after compaction."""
    compact(Lake(root))
    return root


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """A table of eight networks that `filterdb ingest table` takes."""
    return write_table(tmp_path_factory.mktemp("table") / "networks.parquet", 8, n_filters=100)


@pytest.fixture
def run():
    """The command `filterdb` in a process of its own."""

    def call(*arguments, **settings):
        command = [sys.executable, "-m", "filterdb", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, **settings)

    return call


def ingest_again(root):
    """What made the lake, once more."""
    lake = Lake.create(root)
    for name, seed in zip(NAMES, (0, 9, 2), strict=True):
        write_network(lake, random_network(name, seed=seed, n_layers=3), replace=True)

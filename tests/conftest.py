"""Fixtures shared by all rooms."""

import csv
import os
from contextlib import chdir, redirect_stdout
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from filterdb import cli
from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_pairs

PROCESS = os.environ.get("PYTEST_XDIST_WORKER")
if PROCESS:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: processes share the cores

settings.register_profile("steady", deadline=None)  # machines are shared; time is measured in bench/
settings.load_profile("steady")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def reference_data():
    """Folder of reference facts and real filters; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("FILTERDB_REFERENCE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}; set FILTERDB_REFERENCE_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """`once(name, make)`: the folder `name` that `make(folder)` has filled, once for all processes of a run."""
    place = tmp_path_factory.getbasetemp()
    shared = place.parent if PROCESS else place

    def made(name, make):
        folder = shared / name
        with FileLock(shared / f"{name}.lock"):
            if not folder.exists():
                under_way = shared / f"{name}-under-way"
                under_way.mkdir()
                make(under_way)
                under_way.rename(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def demo(once):
    """Where `filterdb demo` ran: its folder `demo`, and `printed`, what it said. Only copies may be changed."""

    def run(folder):
        with (folder / "printed").open("w") as printed, chdir(folder), redirect_stdout(printed):
            assert cli.run(["demo"]) == 0

    return once("demo", run)


@pytest.fixture(scope="session")
def reference_lake(reference_data, once):
    """The real filters as `filterdb ingest table` takes them, with the paper's pairs."""

    def ingest(folder):
        root, table = folder / "reference.lake", reference_data / "real_filters_cifar10.parquet"
        assert cli.run(["ingest", "table", str(table), "--lake", str(root), "--output", str(folder / "printed")]) == 0
        with (reference_data / "paper_pairs.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["dataset"] == "cifar10"]
        names = [(f"robustbench_{row['robust_model']}_cifar10_linf_13", row["normal_model"]) for row in rows]
        write_pairs(
            Lake(root),
            [
                {"robust_model": f"local/{r}", "normal_model": f"local/{n}", "architecture": "any", "dataset": "any"}
                for r, n in names
            ],
        )

    return once("reference", ingest) / "reference.lake"

"""The built wheel works in an environment that has nothing else: schema and queries travel in it."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from filterdb import resources
from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_network
from tests.networks import random_network

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    return next(folder.glob("*.whl"))


def run(*command: object, **options: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_schema_and_queries_are_in_the_wheel(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    for name in ("schema", "queries"):
        folder = resources.directory(name)
        for file in folder.rglob("*"):
            if file.is_file():
                assert f"filterdb/{name}/{file.relative_to(folder).as_posix()}" in packed


def test_an_installed_filterdb_needs_no_checkout(wheel, tmp_path):
    lake = Lake.create(tmp_path / "toy.lake")
    write_network(lake, random_network("robust"))
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel)
    filterdb = tmp_path / "venv" / "bin" / "filterdb"
    query = "SELECT variance_entropy(merge_moments(scaled_moments)) > 0 AS defined FROM layers"
    out = run(filterdb, "--lake", lake.root, "sql", query, "--format", "json", cwd=tmp_path)
    assert json.loads(out) == [{"defined": True}]
    out = run(filterdb, "--lake", lake.root, "queries", "run", "overview", "--format", "json", cwd=tmp_path)
    assert json.loads(out)[0]["n_models"] == 1
    assert (
        "No module named 'torch'"
        in subprocess.run([str(python), "-c", "import torch"], capture_output=True, text=True, check=False).stderr
    )

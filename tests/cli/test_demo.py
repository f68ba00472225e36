"""The demo, whole: real images, real training, one lake, answers and pictures."""

import shutil

import pytest

import filterdb
from filterdb import cli

pytestmark = pytest.mark.slow


def test_the_demo_trains_ingests_asks_and_draws_and_goes_on(demo, tmp_path, monkeypatch, capsys):
    shutil.copytree(demo, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    first = (demo / "printed").read_text()
    with filterdb.open("demo/digits.lake") as db:
        rows = db.sql(
            "SELECT architecture, robust, clean_accuracy, robust_accuracy FROM models ORDER BY ALL"
        ).fetchall()
        assert db.sql("SELECT count(*) FROM pairs").fetchall() == [(2,)]
        version = db.version
    assert [row[:2] for row in rows] == [(a, r) for a in ("plain", "residual") for r in (False, True)]
    for normal, robust in (rows[:2], rows[2:]):
        assert min(normal[2], robust[2]) > 90
        assert robust[3] > normal[3] + 40
    assert "What to notice" in first
    for name in ("first_layer", "spectra", "divergence_by_depth", "metrics_by_depth"):
        assert (tmp_path / "demo" / "pictures" / f"{name}.png").stat().st_size > 1000
    assert cli.run(["demo"]) == 0
    assert capsys.readouterr().out == first
    with filterdb.open("demo/digits.lake") as db:
        assert db.version == version

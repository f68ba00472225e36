"""A tree in the hands of other tools: the same rows and the same structure, without filterdb."""

import duckdb
import numpy as np
import polars as pl
import pyarrow.dataset
import pytest

import filterdb
from filterdb.lake import schema

pytestmark = [  # what mlcroissant's own dependencies say to it
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame"),
]
COLUMNS = [column.name for column in schema.table("filters").columns]
WEIGHTS = [f"w{i}" for i in range(9)]
ROWS = 378


@pytest.fixture(scope="module")
def expected(tree):
    with filterdb.open(tree) as db:
        moments = db.split("true").moments()
        assert db.split("true").count() == ROWS
        return moments.to_vector()


def moments(frame):
    """The 55 second moments of scaled, non-sparse filters, in plain numpy."""
    weights = np.column_stack([frame[name].to_numpy() for name in WEIGHTS]).astype(float)
    dense = ~frame["sparse"].to_numpy().astype(bool)
    scaled = weights[dense] / np.abs(weights[dense]).max(axis=1, keepdims=True)
    cross = scaled.T @ scaled
    return np.array([len(scaled), *scaled.sum(axis=0), *cross[np.triu_indices(9)]])


def check(frame, expected):
    assert list(frame.columns) == COLUMNS
    assert len(frame) == ROWS
    assert set(frame["dataset"].to_list()) == {"cifar10", "o'hara/x|y"}
    assert frame["robust"].null_count() == 162
    np.testing.assert_allclose(moments(frame), expected, rtol=1e-9, atol=1e-9)


def test_duckdb(tree, monkeypatch, expected):
    monkeypatch.chdir(tree)
    with duckdb.connect() as connection:
        connection.execute((tree / "filterdb.sql").read_text("utf-8"))
        check(connection.sql("FROM filters").pl(), expected)
        merged = connection.sql("SELECT merge_moments(scaled_moments) FROM layers").fetchall()[0][0]
    np.testing.assert_allclose(list(merged.values()), expected, rtol=1e-9, atol=1e-9)


def test_polars(tree, expected):
    check(pl.scan_parquet(tree / "data/**/*.parquet", hive_partitioning=False).collect(), expected)
    assert pl.scan_parquet(tree / "data").select(pl.len()).collect().item() == ROWS


def test_pyarrow(tree, expected):
    found = pyarrow.dataset.dataset(tree / "data")
    assert found.count_rows() == ROWS
    check(pl.from_arrow(found.to_table()), expected)


def test_datasets(tree, expected, tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    datasets.disable_progress_bars()
    found = {
        name: datasets.load_dataset(str(tree), name, split="train", cache_dir=str(tmp_path))
        for name in ("filters", "models", "layers", "pairs", "skips")
    }
    check(pl.from_arrow(found["filters"].data.table), expected)
    assert {name: len(table) for name, table in found.items()} == {
        "filters": ROWS,
        "models": 3,
        "layers": 12,
        "pairs": 1,
        "skips": 4,
    }


@pytest.fixture(scope="module")
def croissant(tree):
    import mlcroissant

    return mlcroissant.Dataset(tree / "croissant.json")


def test_mlcroissant_accepts_it(croissant):
    assert not croissant.metadata.ctx.issues.errors
    assert not croissant.metadata.ctx.issues.warnings
    assert croissant.metadata.ctx.is_v1_1()
    assert croissant.metadata.version == "1.2.0"
    assert len(croissant.metadata.file_objects) == 7
    assert all(len(file.sha256) == 64 for file in croissant.metadata.file_objects)


def test_mlcroissant_reads_the_same(croissant, expected):
    records = list(croissant.records("filters/records"))
    text = {f"filters/{name}" for name in ("dataset", "model")}
    rows = [{k.removeprefix("filters/"): v.decode() if k in text and v else v for k, v in r.items()} for r in records]
    check(pl.DataFrame(rows, schema_overrides=dict.fromkeys(WEIGHTS, pl.Float64)), expected)


@pytest.mark.parametrize(("name", "rows"), [("models", 3), ("layers", 12), ("pairs", 1), ("skips", 4)])
def test_mlcroissant_reads_the_small_tables(croissant, name, rows):
    assert len(list(croissant.records(f"{name}/records"))) == rows

"""A published tree is a lake to whoever asks: here, over http, on the hub; and it is read only."""

import json
import logging
import shutil
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest

import filterdb
from filterdb import cli
from filterdb.errors import IntegrityError, LakeError, SourceError, UsageError
from filterdb.lake import schema
from filterdb.publish.metadata import Metadata
from filterdb.publish.tree import write_tree
from filterdb.sources import download
from tests.loopback import File, Refusal, loopback
from tests.publish.conftest import digests
from tests.publish.hub import Hub
from tests.publish.web import serve

QUESTIONS = (
    "SELECT count(*), count(DISTINCT model) FROM filters",
    "SELECT model, layer, sparsity, dataset FROM layers ORDER BY ALL",
    "SELECT model, n_filters FROM models ORDER BY 1",
    "FROM pairs",
    "FROM skips ORDER BY ALL",
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FILTERDB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "PAUSE", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def web(tree, cache):
    files = {
        f"/toys/{quote(p.relative_to(tree).as_posix())}": File(p.read_bytes()) for p in tree.rglob("*") if p.is_file()
    }
    with loopback(files) as server:
        yield server


def fetched(server):
    return sorted({path for method, path, _ in server.requests if path.endswith(".parquet") and "/data/" in path})


def test_splits_of_a_tree_are_those_of_its_lake(lake_root, tree):
    others = "model <> 'local/plain-c'"
    with filterdb.open(lake_root) as lake, filterdb.open(tree) as published:
        for split in (others, f"w4 > 0 AND {others}", f"robust AND {others}"):
            mine, theirs = published.split(split), lake.split(split)
            assert mine.count() == theirs.count()
            np.testing.assert_allclose(mine.moments().to_vector(), theirs.moments().to_vector(), rtol=1e-12)
        mine, theirs = (db.kl(f"robust AND {others}", f"NOT robust AND {others}") for db in (published, lake))
        assert mine["kl"][0] == pytest.approx(theirs["kl"][0], rel=1e-12)


def test_a_tree_over_http_answers_like_one_here(web, tree):
    with filterdb.open(f"{web.url}/toys") as remote, filterdb.open(tree) as local:
        for question in QUESTIONS:
            assert remote.sql(question).fetchall() == local.sql(question).fetchall()
        assert remote.version == local.version


def test_filters_are_fetched_when_a_question_looks_at_them_and_only_once(web, caplog):
    with filterdb.open(f"{web.url}/toys/") as db:
        db.split("robust").pca()
        db.sql("FROM layers").fetchall()
        assert fetched(web) == []
        db.kl("layer = 0 AND dataset = 'cifar10'", "layer = 1 AND dataset = 'cifar10'")
        assert len(fetched(web)) == 2
        with caplog.at_level(logging.WARNING, "filterdb"):
            assert db.split("w4 > 0").count() == 186
        assert "fetching 1 file (" in caplog.text
        assert len(fetched(web)) == 3
    before = len(web.requests)
    with filterdb.open(f"{web.url}/toys") as db:
        assert db.split("w4 > 0").count() == 186
    assert [path for _, path, _ in web.requests[before:]] == ["/toys/MANIFEST.parquet"]


def test_a_transfer_that_breaks_goes_on_and_a_busy_server_is_waited_for(web):
    data = [path for path in web.files if "/data/" in path]
    web.files[data[0]].drops, web.files[data[0]].drop_after = 2, 1000
    web.files[data[1]] = Refusal(503, 1, then=web.files[data[1]])
    with filterdb.open(f"{web.url}/toys") as db:
        assert db.split("w4 > 0").count() == 186


def test_a_file_that_is_not_the_published_one_is_refused(web):
    models = web.files["/toys/meta/models.parquet"]
    web.files["/toys/meta/models.parquet"] = File(models.content[:-1] + b"?")
    with pytest.raises(SourceError, match="not the published file"):
        filterdb.open(f"{web.url}/toys")


def test_filters_that_cannot_be_had_end_the_question(web):
    for path in web.files:
        if "/data/" in path:
            web.files[path] = Refusal(403, 99)
    with filterdb.open(f"{web.url}/toys") as db:
        assert db.split("robust").count() == 90
        with pytest.raises(SourceError, match="403"):
            db.split("w4 > 0")
        with pytest.raises(SourceError, match="403"):
            db.sql("FROM filters")


def test_another_release_at_the_same_address_is_noticed(web, lake_root, tmp_path):
    with filterdb.open(f"{web.url}/toys") as db:
        assert db.sql("SELECT count(*) FROM models").fetchall() == [(3,)]
    write_tree(lake_root, tmp_path / "larger", Metadata(), allow=["CC-BY-NC-4.0"])
    for file in (tmp_path / "larger").glob("*.parquet"):
        web.files[f"/toys/{file.name}"] = File(file.read_bytes(), etag='"2"')
    for file in (tmp_path / "larger" / "meta").iterdir():
        web.files[f"/toys/meta/{file.name}"] = File(file.read_bytes(), etag='"2"')
    with filterdb.open(f"{web.url}/toys") as db:
        assert db.sql("SELECT count(*) FROM models").fetchall() == [(4,)]


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("{url}/nothing", SourceError, "404"),
        ("hf:no-owner", UsageError, "write hf://datasets/NAME/NAME"),
        ("hf://datasets/a", UsageError, "write hf://datasets/NAME/NAME"),
        ("hf://a/b", UsageError, "write hf://datasets/NAME/NAME"),
    ],
)
def test_addresses_that_lead_nowhere(web, address, error, message):
    with pytest.raises(error, match=message):
        filterdb.open(address.format(url=web.url))


def test_the_hub_is_asked_through_its_own_client(tree, cache, monkeypatch):
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    disable_progress_bars()
    with serve(Hub()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.repositories["toys/filters"] = {
            file.relative_to(tree).as_posix(): file.read_bytes() for file in tree.rglob("*") if file.is_file()
        }
        for address in ("hf://datasets/toys/filters", "hf:toys/filters", "hf://datasets/toys/filters@main"):
            with filterdb.open(address) as db:
                assert db.sql("SELECT count(*) FROM filters").fetchall() == [(378,)]
        with pytest.raises(SourceError, match="hf:toys/others"):
            filterdb.open("hf:toys/others")
        hub.repositories["toys/filters"]["meta/models.parquet"] += b"?"
        shutil.rmtree(cache)
        with pytest.raises(SourceError, match=r"meta/models\.parquet is not the file that the manifest names"):
            filterdb.open("hf:toys/filters")
    enable_progress_bars()


def test_there_is_one_version(tree, web):
    with filterdb.open(tree, version=4) as db:
        assert db.version == 4
    for place in (tree, f"{web.url}/toys"):
        with pytest.raises(LakeError, match="there is no version 2"):
            filterdb.open(place, version=2)


def test_damage_is_noticed_by_its_looks(tree, tmp_path):
    damaged = shutil.copytree(tree, tmp_path / "damaged")
    next(damaged.rglob("part-0.parquet")).write_bytes(b"PAR1")
    with pytest.raises(IntegrityError, match=r"part-0\.parquet has 4 bytes"), filterdb.open(damaged) as db:
        db.sql("FROM filters").fetchall()
    (damaged / "meta/layers.parquet").unlink()
    with pytest.raises(IntegrityError, match=r"meta/layers\.parquet is missing"):
        filterdb.open(damaged)


def test_a_tree_of_a_newer_format_says_what_to_do(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "FORMAT_VERSION", 0)
    with pytest.raises(LakeError, match="newer than this filterdb reads"):
        filterdb.open(tree)


def test_the_command_line_takes_trees_and_addresses(tree, web, capsys):
    answers = []
    for place in (str(tree), f"{web.url}/toys"):
        assert cli.run(["--lake", place, "metrics", "w4 > 0", "--by", "dataset", "--format", "json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]


def test_nothing_can_be_written_to_a_tree(tree, one_filter, capsys):
    before = digests(tree)
    for place, code in ((str(tree), 1), ("https://example.org/toys", 2), ("hf:toys/filters", 2)):
        assert cli.run(["ingest", "table", "--lake", place, str(one_filter)]) == code
        assert "read only" in capsys.readouterr().err
    assert cli.run(["compact", "--lake", str(tree)]) == 1
    assert "filterdb publish verify checks it" in capsys.readouterr().err
    assert digests(tree) == before


@pytest.fixture
def one_filter(tmp_path):
    columns = {"model": ["m"], "dataset": ["d"], "robust": [True], **{f"w{i}": [float(i)] for i in range(9)}}
    pl.DataFrame(columns).write_parquet(tmp_path / "filters.parquet")
    return tmp_path / "filters.parquet"


def test_queries_cannot_leave_a_tree_elsewhere(web, tmp_path):
    (tmp_path / "other.csv").write_text("a\n1\n")
    with filterdb.open(f"{web.url}/toys") as db, pytest.raises(UsageError, match="disabled by configuration"):
        db.sql(f"FROM '{tmp_path}/other.csv'")

"""Uploads to a hub on the loopback, through the real client: whole, resumed, compared, told."""

import logging
import shutil

import pytest

from filterdb import cli
from filterdb.errors import IntegrityError, UsageError
from filterdb.publish.huggingface import UploadError, upload
from filterdb.publish.metadata import Metadata
from filterdb.publish.tree import write_tree
from tests.publish.hub import Hub
from tests.publish.web import Fault, serve

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own
TOKEN = "hf_secretsecretsecret"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    with serve(Hub()) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("FILTERDB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        disable_progress_bars()
        yield server
        enable_progress_bars()


@pytest.fixture
def own_tree(tree, tmp_path):
    return shutil.copytree(tree, tmp_path / "toys")


def files(root):
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_a_tree_arrives_whole_and_is_compared(hub, tree):
    done = upload(tree, "toys/filters")
    assert hub.repositories["toys/filters"] == files(tree)
    assert done.n_files == len(files(tree))
    assert done.url == f"{hub.url}/datasets/toys/filters"
    assert hub.tokens == {f"Bearer {TOKEN}", None}  # no token for the storage


def test_the_manifest_and_the_card_come_last(hub, tree):
    hub.faults = [Fault(r"POST /api/datasets/.*/commit/main", 403, 1)]
    with pytest.raises(UploadError, match=r"0 of \d+ files are up"):
        upload(tree, "toys/filters")
    hub.faults = [Fault(r"POST /api/validate-yaml", 403, 1)]
    with pytest.raises(UploadError, match="run the same command again"):
        upload(tree, "toys/filters")
    assert {path.split("/")[0] for path in hub.repositories["toys/filters"]} == {"data", "meta"}


def test_a_dropped_line_is_tried_again_at_once(hub, tree):
    hub.faults = [
        Fault(r"PUT /lfs/.*", 0, 2),
        Fault(r"POST .*/batch", 500, 1),
        Fault(r"POST .*/preupload/main", 429, 1),
    ]
    upload(tree, "toys/filters")
    assert hub.repositories["toys/filters"] == files(tree)


def test_an_upload_that_broke_off_goes_on_where_it_was(hub, tree):
    put = hub.put_object
    sent = []

    def one_then_dead(oid, *, body):
        sent.append(oid)
        if len(sent) == 3:
            hub.faults = [Fault(r"PUT /lfs/.*", 0, 1000)]
        return put(oid, body=body)

    hub.put_object = one_then_dead
    with pytest.raises(UploadError) as failure:
        upload(tree, "toys/filters")
    assert "0 of 15 files are up, not CITATION.cff" in str(failure.value)
    assert "run the same command again, it goes on" in str(failure.value)
    assert TOKEN not in str(failure.value)
    before = set(hub.objects)
    assert len(before) >= 3
    hub.faults.clear()
    upload(tree, "toys/filters")
    assert hub.repositories["toys/filters"] == files(tree)
    assert len(sent) == len(set(sent))  # nothing was sent twice


def test_a_second_upload_sends_nothing(hub, tree):
    upload(tree, "toys/filters")
    puts, commits = hub.count(r"PUT /lfs/.*"), hub.commits
    logging.disable(logging.WARNING)  # the client says that there is nothing to commit
    upload(tree, "toys/filters")
    logging.disable(logging.NOTSET)
    assert (hub.count(r"PUT /lfs/.*"), hub.commits) == (puts, commits)


def test_tables_of_an_older_release_are_removed_and_other_files_left(hub, tree, lake_root, tmp_path):
    write_tree(lake_root, tmp_path / "larger", Metadata(), allow=["CC-BY-NC-4.0"])
    upload(tmp_path / "larger", "toys/filters")
    hub.repositories["toys/filters"]["NOTES.md"] = b"mine"
    upload(tree, "toys/filters")
    assert hub.repositories["toys/filters"] == {**files(tree), "NOTES.md": b"mine"}


def test_what_arrives_altered_is_noticed(hub, tree):
    commit = hub.commit

    def spoil(name, *, body):
        reply = commit(name, body=body)
        if "README.md" in hub.repositories[name]:
            hub.repositories[name]["meta/models.parquet"] += b"?"
        return reply

    hub.commit = spoil
    with pytest.raises(IntegrityError, match=r"hf:toys/filters differs from .* in meta/models\.parquet"):
        upload(tree, "toys/filters")


@pytest.mark.parametrize(("name", "message"), [("filters", "name the owner too"), ("a/b/c", "no name of a repository")])
def test_names_that_cannot_be(hub, tree, name, message):
    with pytest.raises(UsageError, match=message):
        upload(tree, name)
    assert hub.requests == []


def test_without_a_token_nothing_is_asked(hub, tree, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UsageError, match="set HF_TOKEN"):
        upload(tree, "toys/filters")
    assert hub.requests == []


def test_a_server_that_is_not_there(hub, tree, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UploadError, match="how much of its 15 files is up is not known"):
        upload(tree, "toys/filters")


def test_the_command_makes_uploads_and_verifies(hub, lake_root, capsys):
    command = ["--lake", str(lake_root), "publish", "hf", "toys/filters", "--format", "json"]
    assert cli.run([*command, "--dry-run"]) == 0
    assert '"path": "README.md"' in capsys.readouterr().out
    assert hub.requests == []
    assert cli.run(command) == 0
    captured = capsys.readouterr()
    assert f'"url": "{hub.url}/datasets/toys/filters"' in captured.out
    assert "left out: local/plain-c (CC-BY-NC-4.0;" in captured.err
    assert TOKEN not in captured.out + captured.err
    assert cli.run(["publish", "verify", "hf:toys/filters"]) == 0
    assert "3 networks, 378 filters: all as published" in capsys.readouterr().err
    assert not list(lake_root.parent.glob(".publish-*"))

"""`publish dir` as a user sees it; the other commands are beside their servers."""

import json
import shutil

import pytest

import filterdb
from filterdb import cli
from tests.publish.conftest import digests


@pytest.fixture
def run(capsys, lake_root):
    def call(*arguments):
        code = cli.run(["--lake", str(lake_root), "publish", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_tree_is_written_and_listed(run, tmp_path, release_file, tree):
    code, out, err = run("dir", str(tmp_path / "out"), "--release", str(release_file), "--format", "json")
    assert code == 0
    assert {row["path"] for row in json.loads(out)} == set(digests(tmp_path / "out"))
    assert err == "left out: local/plain-c (CC-BY-NC-4.0; --license-allow 'CC-BY-NC-4.0' lets it out)\n"
    assert digests(tmp_path / "out") == digests(tree)


def test_options_reach_the_tree(run, tmp_path, release_file):
    target = tmp_path / "out"
    arguments = ("--anonymous", "--license-allow", "cc-by-nc-4.0", "--for", "viewer", "--at-version", "4")
    code, _, err = run("dir", str(target), "--release", str(release_file), *arguments)
    assert (code, err) == (0, "")
    assert "Lovelace" not in (target / "CITATION.cff").read_text()
    with filterdb.open(target) as db:
        assert db.sql("SELECT count(*) FROM models").fetchall() == [(4,)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dir", "{tmp}/out", "--release", "{tmp}/none.toml"), "none.toml"),
        (("dir", "{tmp}/out", "--for", "nobody"), "'nobody' is not one of 'analysis', 'viewer'"),
        (("dir", "{tmp}"), "is no published tree"),
        (("hf", "x/y", "--tree", "{tmp}", "--dry-run"), "no published tree is there; 'filterdb publish dir"),
        (("zenodo", "--tree", "{tmp}"), "no published tree is there"),
        (("zenodo", "--tree", "{edited}"), "README.md has "),
        (("hf", "x/y", "--tree", "{littered}"), "notes.txt is not in the manifest; publish the lake again"),
    ],
)
def test_mistakes_are_one_line(run, tree, tmp_path, arguments, message):
    edited, littered = (shutil.copytree(tree, tmp_path / name) for name in ("edited", "littered"))
    (edited / "README.md").write_text("mine")
    (littered / "notes.txt").write_text("mine")
    code, out, err = run(*(argument.format(tmp=tmp_path, edited=edited, littered=littered) for argument in arguments))
    assert code != 0
    assert out == ""
    assert message in err
    assert err.count("\n") == 1

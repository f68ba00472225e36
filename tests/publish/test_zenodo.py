"""Deposits at a Zenodo on the loopback: whole, resumed, compared, as a draft or for good."""

import json
import tarfile

import pytest

from filterdb import cli
from filterdb.errors import FilterdbError, IntegrityError, UsageError
from filterdb.publish import archives, http, zenodo
from filterdb.publish.archives import packages
from filterdb.publish.http import Refused
from tests.publish.conftest import digests
from tests.publish.invenio import Invenio
from tests.publish.web import Fault, Reply, serve

TOKEN = "zenodo-secret"
BINARY = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def server(monkeypatch):
    with serve(Invenio()) as invenio:
        monkeypatch.setenv("ZENODO_URL", invenio.url)
        monkeypatch.setenv("ZENODO_TOKEN", TOKEN)
        monkeypatch.setattr(http, "PAUSE", 0.0)
        yield invenio


@pytest.fixture
def pauses(monkeypatch):
    taken = []
    monkeypatch.setattr(http.time, "sleep", taken.append)
    return taken


def names(root):
    return {package.name for package in packages(root)}


def test_a_tree_becomes_a_draft_with_everything_in_it(server, tree):
    done = zenodo.deposit(tree, zenodo.api())
    assert set(server.stored[done.id]) == names(tree) == server.committed[done.id]
    assert server.stored[done.id]["README.md"] == (tree / "README.md").read_bytes()
    assert done.url == f"{server.url}/uploads/{done.id}"
    assert (done.n_sent, done.is_published, server.published) == (done.n_files, False, set())
    assert server.tokens == {f"Bearer {TOKEN}"}


def test_the_record_says_what_release_toml_says(server, tree):
    done = zenodo.deposit(tree, zenodo.api())
    metadata = server.metadata[done.id]["metadata"]
    assert metadata["title"] == "Filters of toys: a | test"
    assert (metadata["version"], metadata["publication_date"]) == ("1.2.0", "2025-03-31")
    assert metadata["creators"] == [
        {
            "person_or_org": {
                "type": "personal",
                "given_name": "Ada",
                "family_name": "Lovelace",
                "identifiers": [{"scheme": "orcid", "identifier": "0000-0002-1825-0097"}],
            },
            "affiliations": [{"name": "Analytical Engines"}],
        },
        {"person_or_org": {"type": "organizational", "name": "The toy makers"}},
    ]
    assert [right.get("id") or right["title"]["en"] for right in metadata["rights"]] == [
        "cc-by-4.0",
        "MIT",
        "Apache-2.0",
    ]
    related = {(r["scheme"], r["identifier"], r["relation_type"]["id"]) for r in metadata["related_identifiers"]}
    assert related == {
        ("doi", "10.5281/zenodo.6414075", "references"),
        ("arxiv", "arXiv:2204.02481", "references"),
    }


def test_what_is_published_can_be_fetched_and_verified(server, tree, tmp_path, capsys):
    done = zenodo.deposit(tree, zenodo.api(), publish=True)
    assert server.published == {done.id}
    assert done.url == f"{server.url}/records/{done.id}"
    root = tmp_path / "back"
    root.mkdir()
    zenodo.download(done.id, zenodo.api(), root)
    assert digests(root) == digests(tree)
    assert cli.run(["publish", "verify", f"zenodo:{done.id}"]) == 0
    assert "all as published" in capsys.readouterr().err
    server.download = lambda id, key, *, body: Reply(server.stored[id][key] + b"?", 200, BINARY)
    assert cli.run(["publish", "verify", f"zenodo:{done.id}"]) == 4
    assert "is not what the record says: its MD5 differs" in capsys.readouterr().err


def test_busy_and_broken_lines_are_waited_for(server, tree, pauses):
    server.faults = [
        Fault(r"POST /api/records", 429, 1, {"Retry-After": "7"}),
        Fault(r"PUT .*/README\.md/content", 0, 2),
        Fault(r"PUT .*/data-01\.tar/content", 500, 1),
        Fault(r"POST .*/commit", 503, 1),
        Fault(r"POST .*/files", 429, 1, {"X-RateLimit-Reset": "0"}),
    ]
    done = zenodo.deposit(tree, zenodo.api())
    assert set(server.stored[done.id]) == names(tree)
    assert 7.0 in pauses
    assert len(pauses) == 6
    assert all(fault.times == 0 for fault in server.faults)


def test_pauses_double(server, tree, pauses, monkeypatch):
    monkeypatch.setattr(http, "PAUSE", 1.0)
    server.faults = [Fault(r"POST /api/records", 503, 5)]
    zenodo.deposit(tree, zenodo.api())
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_a_wrong_md5_is_sent_again_and_at_last_refused(server, tree):
    server.spoil = {"meta.tar": 1}
    done = zenodo.deposit(tree, zenodo.api())
    assert server.count(rf"PUT /api/records/{done.id}/draft/files/meta\.tar/content") == 2
    server.spoil = {"README.md": 99}
    with pytest.raises(IntegrityError, match=r"README\.md arrives with another MD5, 3 times now; \d of 10 files"):
        zenodo.deposit(tree, zenodo.api())


def test_a_deposit_that_broke_off_goes_on_with_its_draft(server, tree):
    server.faults = [Fault(r"PUT .*/croissant\.json/content", 0, 6)]
    with pytest.raises(Refused) as failure:
        zenodo.deposit(tree, zenodo.api())
    message = str(failure.value)
    assert "6 of 10 files are in the draft, not croissant.json, filterdb.sql, meta.tar …" in message
    assert message.endswith("go on with --draft r1")
    assert TOKEN not in message
    server.stored["r1"]["stray.bin"] = None
    done = zenodo.deposit(tree, zenodo.api(), draft="r1")
    assert (done.id, done.n_sent) == ("r1", 4)
    assert set(server.stored["r1"]) == names(tree) == server.committed["r1"]
    assert server.count(r"PUT .*/README\.md/content") == 1


def test_a_new_version_of_a_record_is_a_draft_of_its_own(server, tree):
    first = zenodo.deposit(tree, zenodo.api(), publish=True)
    second = zenodo.deposit(tree, zenodo.api(), new_version_of=first.id)
    assert second.id != first.id
    assert set(server.stored[second.id]) == names(tree)


def test_what_cannot_be(server, tree, monkeypatch):
    with pytest.raises(FilterdbError, match="The persistent identifier does not exist"):
        zenodo.deposit(tree, zenodo.api(), draft="r9")
    monkeypatch.delenv("ZENODO_TOKEN")
    with pytest.raises(UsageError, match="set ZENODO_TOKEN"):
        zenodo.deposit(tree, zenodo.api())


def test_a_refusal_says_which_fields_are_wrong(server, tree):
    def refuse(*, body):
        return Reply({"message": "Validation error.", "errors": [{"field": "title", "messages": ["Too odd."]}]}, 400)

    server.create = refuse
    with pytest.raises(Refused, match=r"400 Validation error\.; title: Too odd\."):
        zenodo.deposit(tree, zenodo.api())


def test_a_token_follows_no_redirect(server, tree):
    server.faults = [Fault(r"POST /api/records", 302, 1, {"Location": "http://127.0.0.1:9/elsewhere"})]
    with pytest.raises(Refused, match="302"):
        zenodo.deposit(tree, zenodo.api())


def test_a_token_is_in_no_representation():
    assert TOKEN not in repr(http.Api("https://zenodo.org/api", TOKEN))


def test_tars_are_the_same_every_time_and_hold_everything_once(tree, tmp_path):
    found = []
    for package in packages(tree):
        if package.is_tar:
            (tmp_path / "a").mkdir(exist_ok=True)
            (tmp_path / "b").mkdir(exist_ok=True)
            first, second = (archives.pack(tree, package, tmp_path / folder) for folder in "ab")
            assert first.read_bytes() == second.read_bytes()
            with tarfile.open(first) as tar:
                found += tar.getnames()
        else:
            found.append(package.name)
    assert sorted(found) == sorted(digests(tree))


@pytest.mark.parametrize("sizes", [[1] * 3000, [3_000_000_000] * 200, [10, 5_000_000_000] * 500, [1_100_000_000] * 46])
def test_never_more_than_ninety_tars_of_data(sizes):
    paths = [f"data/{i}.parquet" for i in range(len(sizes))]
    made = list(archives._data_packages(paths, sizes))
    assert [path for package in made for path in package.members] == paths
    assert len(made) <= archives.MOST_TARS
    assert len({package.name for package in made}) == len(made)


def test_a_tar_cannot_reach_outside(tmp_path):
    bad = tmp_path / "bad.tar"
    with tarfile.open(bad, "w") as tar:
        tar.addfile(tarfile.TarInfo("../escaped"))
    with pytest.raises(IntegrityError, match=r"bad\.tar"):
        archives.unpack(bad, tmp_path / "root")
    assert not (tmp_path / "escaped").exists()


def test_too_large_a_tree_is_warned_of(tree, monkeypatch):
    assert zenodo.size_warning(tree) is None
    monkeypatch.setattr(zenodo, "MOST_BYTES", 1000)
    assert "ask it for more first" in zenodo.size_warning(tree)


def test_the_command(server, lake_root, tree, capsys):
    command = ["--lake", str(lake_root), "publish", "zenodo", "--format", "json"]
    assert cli.run([*command, "--dry-run"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"data-01.tar", "meta.tar", "README.md"} <= {row["name"] for row in listed}
    assert server.requests == []
    assert cli.run([*command, "--tree", str(tree), "--publish"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)[0]["is_published"] is True
    assert "sending data-01.tar" in captured.err
    assert TOKEN not in captured.out + captured.err

"""Downloads: resumed, retried, checked, and there only when they are whole; against a server that misbehaves."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from filterdb.errors import SourceError
from filterdb.sources import download
from filterdb.sources.download import fetch, google_drive_url, hugging_face_file, remote_name, sha256_of
from tests.loopback import File, Refusal, loopback

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FORM = b"""<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<form id="download-form" action="%s" method="get"><input type="submit" value="Download anyway"/>
<input type="hidden" name="id" value="abc"><input type="hidden" name="confirm" value="t">
<input type="hidden" name="uuid" value="1-2"></form></body></html>"""
QUOTA = b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Pauses are recorded, not waited for."""
    pauses: list[float] = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    return pauses


@pytest.fixture
def server():
    with loopback({"/net.pt": File(CONTENT)}) as server:
        yield server


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_file_and_its_checksum(server, tmp_path):
    target = tmp_path / "deep" / "net.pt"
    received: list[int] = []
    assert fetch(f"{server.url}/net.pt", target, progress=received.append) == target
    assert target.read_bytes() == CONTENT
    assert sum(received) == len(CONTENT)
    assert (target.parent / "net.pt.sha256").read_text() == f"{DIGEST}  net.pt\n"
    assert names(target.parent) == {"net.pt", "net.pt.sha256"}


def test_what_is_there_is_not_asked_for(server, tmp_path):
    (tmp_path / "net.pt").write_bytes(b"mine")
    fetch(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert (tmp_path / "net.pt").read_bytes() == b"mine"
    assert server.requests == []


def test_dropped_connections_are_resumed(server, tmp_path, no_waiting):
    server.files["/net.pt"] = File(CONTENT, drops=9, drop_after=100_000)
    fetch(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert (tmp_path / "net.pt").read_bytes() == CONTENT
    assert server.sent["/net.pt"] == len(CONTENT), "no byte is sent twice"
    assert server.log("Range") == [None, *(f"bytes={100_000 * n}-" for n in range(1, 10))]
    assert server.log("If-Range") == [None, *['"1"'] * 9]
    assert no_waiting == [1.0] * 9, "progress resets the back-off"


def test_a_later_run_goes_on(server, tmp_path):
    server.files["/net.pt"] = File(CONTENT, drops=99, drop_after=0)
    (tmp_path / "net.pt.part").write_bytes(CONTENT[:1000])
    (tmp_path / "net.pt.part.tag").write_text('"1"')
    with pytest.raises(SourceError, match=r"ended at 1000 of 1048576 bytes; gave up after 6 .* on at byte 1000$"):
        fetch(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert not (tmp_path / "net.pt").exists()
    server.files["/net.pt"] = File(CONTENT)
    fetch(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert server.log("Range")[-1] == "bytes=1000-"
    assert names(tmp_path) == {"net.pt", "net.pt.sha256"}
    assert sha256_of(tmp_path / "net.pt") == DIGEST


@pytest.mark.parametrize(
    ("tag", "server_file"),
    [
        pytest.param('"0"', File(CONTENT), id="the file changed"),
        pytest.param('"1"', File(CONTENT, ranges=False), id="the server knows no ranges"),
        pytest.param(None, File(CONTENT), id="nothing says that it is the same file"),
        pytest.param('"1"', File(CONTENT[:500]), id="the file is shorter now"),
    ],
)
def test_what_does_not_fit_is_begun_again(server, tmp_path, tag, server_file):
    server.files["/net.pt"] = server_file
    (tmp_path / "net.pt.part").write_bytes(b"x" * 1000)
    if tag:
        (tmp_path / "net.pt.part.tag").write_text(tag)
    fetch(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert (tmp_path / "net.pt").read_bytes() == server_file.content


def test_a_wrong_part_is_not_appended(server, tmp_path):
    server.files["/net.pt"] = File(CONTENT, serves_from=7)
    (tmp_path / "net.pt.part").write_bytes(CONTENT[:1000])
    (tmp_path / "net.pt.part.tag").write_text('"1"')
    fetch(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert (tmp_path / "net.pt").read_bytes() == CONTENT


def test_file_that_changes_while_it_comes(server, tmp_path):
    old = File(b"old" * 1000, drops=1, drop_after=1000)
    server.files["/net.pt"] = old

    def change(size: int) -> None:
        old.content, old.etag = CONTENT, '"2"'

    fetch(f"{server.url}/net.pt", tmp_path / "net.pt", progress=change)
    assert (tmp_path / "net.pt").read_bytes() == CONTENT


def test_busy_servers_are_asked_again(server, tmp_path, no_waiting):
    server.files["/net.pt"] = Refusal(429, 2, {"Retry-After": "7"}, Refusal(503, 2, then=File(CONTENT)))
    server.files["/net.pt"].then = File(CONTENT)
    fetch(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert no_waiting == [7.0, 7.0]


def test_back_off_doubles_and_ends(server, tmp_path, no_waiting):
    server.files["/net.pt"] = Refusal(503, 99)
    with pytest.raises(SourceError, match=r"/net\.pt: 503 Service Unavailable; gave up after 6 attempts"):
        fetch(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert no_waiting == [1.0, 2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize(("status", "reason"), [(404, "Not Found"), (403, "Forbidden"), (410, "Gone")])
def test_refusals_are_final(server, tmp_path, status, reason):
    server.files["/net.pt"] = Refusal(status, 9)
    with pytest.raises(SourceError, match=f"/net.pt: the server says {status} {reason}"):
        fetch(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert len(server.requests) == 1


def test_no_such_server(tmp_path):
    with pytest.raises(SourceError, match=r"^http://nowhere\.invalid/a\.pt: no such server, or no network connection$"):
        fetch("http://nowhere.invalid/a.pt", tmp_path / "a.pt")


def test_nobody_listens(server, tmp_path):
    server_url = server.url
    with loopback({}) as other:
        gone = other.url
    assert gone != server_url
    with pytest.raises(SourceError, match="Connection refused; gave up after 6 attempts"):
        fetch(f"{gone}/net.pt", tmp_path / "net.pt")


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/octet-stream"])
def test_page_instead_of_a_file(server, tmp_path, content_type):
    server.files["/net.pt"] = File(QUOTA, content_type=content_type)
    with pytest.raises(SourceError, match=r"a web page \(Google Drive - Quota exceeded\) instead of a file; try later"):
        fetch(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert names(tmp_path) == set()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("action", "confirmed"),
    [
        (b"https://drive.usercontent.google.com/download", "?id=abc&confirm=t&uuid=1-2"),
        (b"/download", "?id=abc&confirm=t&uuid=1-2"),
        (b"/download?at=x&amp;by=y", "?at=x&by=y&id=abc&confirm=t&uuid=1-2"),
    ],
)
def test_google_drive_asks_back(tmp_path, monkeypatch, action, confirmed):
    drive = "/drive.usercontent.google.com/download"
    files = {
        f"{drive}?id=abc&export=download&confirm=t": File(FORM % action, etag=None, content_type="text/html"),
        f"{drive}{confirmed}": File(CONTENT, drops=1, drop_after=5000),
    }
    with loopback(files) as server:
        monkeypatch.setenv("FILTERDB_MIRROR", f"{server.url}/")
        fetch(google_drive_url("abc"), tmp_path / "net.pt")
        assert server.sent[f"{drive}{confirmed}"] == len(CONTENT)
    assert (tmp_path / "net.pt").read_bytes() == CONTENT


def test_google_drive_asks_back_without_end(tmp_path, monkeypatch):
    page = FORM % b"https://drive.usercontent.google.com/download"
    with loopback({"/drive.usercontent.google.com/download": File(page, content_type="text/html")}) as server:
        monkeypatch.setenv("FILTERDB_MIRROR", server.url)
        with pytest.raises(SourceError, match="a web page even after confirming"):
            fetch(google_drive_url("abc"), tmp_path / "net.pt")


def test_checksum(server, tmp_path):
    fetch(f"{server.url}/net.pt", tmp_path / "net.pt", checksum=DIGEST[:8])
    with pytest.raises(SourceError, match=rf"SHA-256 {DIGEST[:16]}… instead of 00000000…; not the published file"):
        fetch(f"{server.url}/net.pt", tmp_path / "other.pt", checksum="00000000")
    assert not (tmp_path / "other.pt").exists()


def test_file_is_fetched_once_for_many(server, tmp_path):
    barrier = threading.Barrier(4)

    def ask(_: int) -> bytes:
        barrier.wait()
        return fetch(f"{server.url}/net.pt", tmp_path / "net.pt").read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [CONTENT] * 4
    assert server.sent["/net.pt"] == len(CONTENT)
    assert names(tmp_path) == {"net.pt", "net.pt.sha256"}


def test_target_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SourceError, match=r"^cannot write .*file/net\.pt: "):
        fetch(f"{server.url}/net.pt", tmp_path / "file" / "net.pt")


def test_names_and_checksums_in_addresses():
    assert remote_name("https://download.pytorch.org/models/resnet50-0676ba61.pth") == (
        "resnet50-0676ba61.pth",
        "0676ba61",
    )
    assert remote_name("https://github.com/x/releases/download/v1/net-0676ba61.pth") == ("net-0676ba61.pth", "")


def test_cache_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("FILTERDB_CACHE", raising=False)
    assert download.cache_directory() == tmp_path / "filterdb"
    monkeypatch.setenv("FILTERDB_CACHE", str(tmp_path / "mine"))
    assert download.cache_directory() == tmp_path / "mine"


@pytest.fixture
def hub(monkeypatch):
    """A Hugging Face hub with one repository, timm/net, that holds pytorch_model.bin alone."""
    commit = {"X-Repo-Commit": "0" * 40, "ETag": '"abc"'}
    path = "/timm/net/resolve/main"
    missing = Refusal(404, 99, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": "0" * 40})
    files = {f"{path}/model.safetensors": missing, f"{path}/pytorch_model.bin": File(CONTENT, headers=commit)}
    with loopback(files) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_hugging_face_file(hub, tmp_path):
    path = hugging_face_file("timm/net", "model.safetensors", "pytorch_model.bin", cache=tmp_path)
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / "huggingface")


def test_hugging_face_repository_without_the_file(hub, tmp_path):
    with pytest.raises(SourceError, match=r"^hf\.co/timm/net has none of: model\.safetensors$"):
        hugging_face_file("timm/net", "model.safetensors", cache=tmp_path)


def test_hugging_face_repository_that_is_not_public(hub, tmp_path):
    hub.files["/timm/net/resolve/main/pytorch_model.bin"] = Refusal(401, 9, {"X-Error-Code": "RepoNotFound"})
    with pytest.raises(SourceError, match=r"^hf\.co/timm/net/pytorch_model\.bin: 401"):
        hugging_face_file("timm/net", "pytorch_model.bin", cache=tmp_path)


def test_hugging_face_out_of_reach(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match="not in the cache, and the hub is out of reach"):
        hugging_face_file("timm/net", "model.safetensors", cache=tmp_path)

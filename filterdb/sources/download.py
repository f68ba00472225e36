"""Files from the web into a cache: resumed, retried, checked, and there only when they are whole.

`FILTERDB_MIRROR=https://host/path` takes every file from a mirror instead: `https://a.b/c?d` is then
asked for as `https://host/path/a.b/c?d`. Hugging Face has `HF_ENDPOINT` for that.
"""

import fcntl
import hashlib
import http.client
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from pathlib import Path
from typing import IO

from filterdb import __version__
from filterdb.errors import SourceError
from filterdb.resources import cache_directory as cache_directory

ATTEMPTS = 6
"""How often in a row a transfer may fail without a single new byte."""
PAUSE = 1.0
"""Seconds before the second attempt; doubled before each further one."""
LONGEST_PAUSE = 60.0
TIMEOUT = 60.0
"""Seconds that a server may stay silent."""

Progress = Callable[[int], None]

_CHUNK = 2**20
_LARGEST_PAGE = 2**20
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_HEADERS = {"User-Agent": f"Mozilla/5.0 (compatible; filterdb/{__version__})"}


class _Transient(Exception):
    """A transfer failed in a way that may pass, after `pause` seconds if the server said so."""

    def __init__(self, reason: str, *, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def ignore(size: int) -> None:
    """Take no notice of progress."""


def google_drive_url(file_id: str) -> str:
    """Where Google Drive hands out the public file `file_id`, large ones without asking back."""
    query = urllib.parse.urlencode({"id": file_id, "export": "download", "confirm": "t"})
    return f"https://drive.usercontent.google.com/download?{query}"


def fetch(url: str, target: Path, *, checksum: str = "", progress: Progress = ignore) -> Path:
    """Bring `url` to `target` unless it is there, and return `target`.

    `checksum` is the SHA-256 or its first digits; the whole one is written to `<target>.sha256`.
    `progress` is called with numbers of bytes as they arrive. A transfer that was cut off goes on
    where it stopped, in this call or a later one; several processes may ask for the same target.
    SourceError: the server refuses, sends a page instead of a file, stays out of reach, or the
    checksum differs.
    """
    if not target.exists():
        try:
            _bring(url, target, checksum, progress)
        except OSError as error:
            raise SourceError(f"cannot write {target}: {error.strerror}") from error
    return target


def hugging_face_file(repository: str, *filenames: str, cache: Path | None = None) -> Path:
    """The first of these files that a Hugging Face repository has, through the hub's own client.

    `cache` is the folder to keep it in, by default the hub's own cache. SourceError when the repository
    has none of them, is not public, or the hub is out of reach.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    folder = cache / "huggingface" if cache else None
    for filename in filenames:
        try:
            return Path(hf_hub_download(repository, filename, cache_dir=folder, endpoint=os.environ.get("HF_ENDPOINT")))
        except LocalEntryNotFoundError as error:
            raise SourceError(
                f"hf.co/{repository}/{filename}: not in the cache, and the hub is out of reach"
            ) from error
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError) as error:
            raise SourceError(f"hf.co/{repository}/{filename}: {str(error).strip().splitlines()[0]}") from error
    raise SourceError(f"hf.co/{repository} has none of: {', '.join(filenames)}")


def remote_name(url: str) -> tuple[str, str]:
    """The file name in `url`, and the first digits of its SHA-256 where the name promises them.

    Files on PyTorch's own server are named so: `resnet50-0676ba61.pth`.
    """
    digits = re.match(r"https://download\.pytorch\.org/.*-([0-9a-f]{8})\.", url)
    return url.rpartition("/")[2], digits.group(1) if digits else ""


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class _Part:
    """A file being transferred: `<target>.part`, with what identifies its content in `<target>.part.tag`."""

    target: Path

    @property
    def path(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def tag(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part.tag")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no other process works on this target; leave nothing empty behind."""
        with _locked(self.path):
            try:
                yield
            finally:
                if not self.size:
                    self.path.unlink(missing_ok=True)

    def range_headers(self) -> dict[str, str]:
        """Ask for the rest, provided that the content is still what was begun."""
        if not self.size or not self.tag.exists():
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self.tag.read_text()}

    def restart(self, validator: str | None) -> None:
        self.discard()
        if validator:
            self.tag.write_text(validator)

    def discard(self) -> None:
        if self.path.exists():
            os.truncate(self.path, 0)
        self.tag.unlink(missing_ok=True)

    def finish(self, url: str, checksum: str) -> None:
        """Check, record and rename the whole file."""
        digest = sha256_of(self.path)
        if not digest.startswith(checksum):
            self.discard()
            raise SourceError(f"{url}: SHA-256 {digest[:16]}… instead of {checksum}…; not the published file")
        record = self.target.with_name(f"{self.target.name}.sha256")
        record.write_text(f"{digest}  {self.target.name}\n")
        with self.path.open("rb") as stream:
            os.fsync(stream.fileno())
        self.path.rename(self.target)
        self.tag.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file `path` alone; where another process renamed or removed it meanwhile, a new one."""
    while True:
        with path.open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if _is_at(path, stream):
                yield
                return


def _is_at(path: Path, stream: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _bring(url: str, target: Path, checksum: str, progress: Progress) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(target)
    with part.locked():
        if not target.exists():
            _transfer_all(url, part, progress)
            part.finish(url, checksum)


def _transfer_all(url: str, part: _Part, progress: Progress) -> None:
    failures = 0
    while True:
        before = part.size
        try:
            return _transfer(url, part, progress)
        except _Transient as error:
            failures = 1 if part.size > before else failures + 1
            if failures == ATTEMPTS:
                raise SourceError(
                    f"{url}: {error}; gave up after {ATTEMPTS} attempts, the next run goes on at byte {part.size}"
                ) from error
            time.sleep(min(max(error.pause, PAUSE * 2 ** (failures - 1)), LONGEST_PAUSE))


def _transfer(url: str, part: _Part, progress: Progress) -> None:
    """One attempt at the rest of the file; follows the page by which Google Drive asks back."""
    with _opened(url, part) as response:
        begin = response.read(_CHUNK) if response.status == 200 else b""
        page = _Page.of(response, begin)
        if page is None:
            return _receive(response, begin, part, progress)
    if page.form is None:
        raise SourceError(
            f"{url}: a web page ({page.title.strip() or 'untitled'}) instead of a file; try later, or with a browser"
        )
    with _opened(urllib.parse.urljoin(url, page.form), part) as response:
        begin = response.read(_CHUNK) if response.status == 200 else b""
        if _Page.of(response, begin) is not None:
            raise SourceError(f"{url}: a web page even after confirming the download; try later")
        _receive(response, begin, part, progress)


@contextmanager
def _opened(url: str, part: _Part) -> Iterator[http.client.HTTPResponse]:
    """The server's answer to a request for what `part` lacks; what the network does to it is a `_Transient`."""
    request = urllib.request.Request(_mirrored(url), headers=_HEADERS | part.range_headers())
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    try:
        with opener.open(request, timeout=TIMEOUT) as response:
            yield response
    except urllib.error.HTTPError as error:
        raise _refusal(url, error, part) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, socket.gaierror) and error.reason.errno == socket.EAI_NONAME:
            raise SourceError(f"{url}: no such server, or no network connection") from error
        raise _Transient(str(error.reason)) from error
    except (ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException) as error:
        raise _Transient(f"{type(error).__name__}: {error}") from error


def _refusal(url: str, error: urllib.error.HTTPError, part: _Part) -> Exception:
    if error.code == 416:
        part.discard()
        return _Transient("the file is shorter than what was there of it")
    if error.code not in _TRANSIENT:
        return SourceError(f"{url}: the server says {error.code} {error.reason}")
    wait = error.headers.get("Retry-After", "")
    return _Transient(f"{error.code} {error.reason}", pause=float(wait) if wait.isdigit() else 0.0)


def _mirrored(url: str) -> str:
    mirror = os.environ.get("FILTERDB_MIRROR")
    return f"{mirror.rstrip('/')}/{url.partition('://')[2]}" if mirror else url


def _receive(response: http.client.HTTPResponse, begin: bytes, part: _Part, progress: Progress) -> None:
    if response.status != 206:
        part.restart(response.headers.get("ETag") or response.headers.get("Last-Modified"))
    elif not response.headers.get("Content-Range", "").startswith(f"bytes {part.size}-"):
        part.discard()
        raise _Transient("the server sent another part of the file than it was asked for")
    length = response.headers.get("Content-Length")
    total = part.size + int(length) if length else None
    with part.path.open("ab") as stream:
        for chunk in _chunks(begin, response):
            stream.write(chunk)
            progress(len(chunk))
    if total is not None and part.size != total:
        raise _Transient(f"the connection ended at {part.size} of {total} bytes")


def _chunks(begin: bytes, response: IO[bytes]) -> Iterator[bytes]:
    yield begin
    while chunk := response.read(_CHUNK):
        yield chunk


class _Page(HTMLParser):
    """A web page that came instead of a file: its title, and where its download form leads, if it has one."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.title = ""
        self._in_title = False
        self._action: str | None = None
        self._fields: dict[str, str] = {}
        self.feed(text)

    @classmethod
    def of(cls, response: http.client.HTTPResponse, begin: bytes) -> "_Page | None":
        """The page, or None when `response` is a file."""
        start = begin[:512].lstrip().lower()
        if response.headers.get_content_type() != "text/html" and not start.startswith((b"<!doctype html", b"<html")):
            return None
        return cls((begin + response.read(_LARGEST_PAGE)).decode(errors="replace"))

    @property
    def form(self) -> str | None:
        """The address that its download form leads to, perhaps relative to the page's own."""
        if not self._action:
            return None
        return f"{self._action}{'&' if '?' in self._action else '?'}{urllib.parse.urlencode(self._fields)}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self._in_title = tag == "title"
        if tag == "form" and values.get("id") == "download-form":
            self._action = values.get("action")
        elif tag == "input" and self._action and values.get("type") == "hidden":
            self._fields[values.get("name", "")] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False

    def handle_data(self, data: str) -> None:
        self.title += data if self._in_title else ""

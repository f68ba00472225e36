"""A web server on 127.0.0.1 that misbehaves as told: drops connections, changes files, answers with pages."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class File:
    """What lies at one address.

    `drops` is how many transfers end after `drop_after` bytes; `serves_from` is where the server begins,
    whatever part was asked for.
    """

    content: bytes
    etag: str | None = '"1"'
    content_type: str = "application/octet-stream"
    drops: int = 0
    drop_after: int = 0
    ranges: bool = True
    serves_from: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Refusal:
    """An answer without a file, `times` times; then what `then` is."""

    status: int
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    then: File | None = None


@dataclass
class Loopback:
    """`files` by path with query; `requests` is the log of (method, path with query, headers)."""

    url: str
    files: dict[str, File | Refusal]
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    sent: Counter = field(default_factory=Counter)

    def log(self, header: str) -> list[str | None]:
        """One header of all GET requests so far."""
        return [headers.get(header) for method, _, headers in self.requests if method == "GET"]


@contextmanager
def loopback(files: dict[str, File | Refusal]) -> Iterator[Loopback]:
    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.state = state = Loopback(f"http://127.0.0.1:{server.server_port}", files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Loopback

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        self.state.requests.append((self.command, self.path, dict(self.headers)))
        found = self.state.files.get(self.path) or self.state.files.get(urlsplit(self.path).path)
        if isinstance(found, Refusal):
            found = self._refuse(found)
        elif found is None:
            self.send_error(404)
        if found is not None:
            self._send(found)

    def _refuse(self, refusal: Refusal) -> File | None:
        if refusal.times == 0:
            return refusal.then
        refusal.times -= 1
        self._head(refusal.status, {"Content-Length": "0"} | refusal.headers)
        return None

    def _send(self, file: File) -> None:
        start = self._start(file)
        if start > len(file.content) or (start and start == len(file.content)):
            return self._head(416, {"Content-Length": "0", "Content-Range": f"bytes */{len(file.content)}"})
        body = file.content[start:]
        headers = {"Content-Length": str(len(body)), "Content-Type": file.content_type}
        if file.etag:
            headers["ETag"] = file.etag
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(file.content) - 1}/{len(file.content)}"
        self._head(206 if start else 200, headers | file.headers)
        if self.command == "GET":
            self._write(file, body)

    def _start(self, file: File) -> int:
        wanted = self.headers.get("Range")
        if not wanted or not file.ranges or self.headers.get("If-Range") not in (None, file.etag):
            return 0
        return int(wanted.removeprefix("bytes=").partition("-")[0]) if file.serves_from is None else file.serves_from

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _write(self, file: File, body: bytes) -> None:
        if file.drops:
            file.drops -= 1
            body = body[: file.drop_after]
            self.close_connection = True
        self.state.sent[self.path] += len(body)
        self.wfile.write(body)

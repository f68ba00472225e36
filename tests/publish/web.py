"""What the servers of these tests share: routes by regular expression, JSON, and planned misbehaviour."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class Fault:
    """What happens to requests whose `METHOD path` matches, `times` times: an answer, or (status 0) a dropped line."""

    pattern: str
    status: int
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Reply:
    """An answer: JSON unless `body` is bytes."""

    body: object = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """Subclasses define `routes`: pairs of a pattern of `METHOD path` and a method taking its groups and the body."""

    routes: tuple[tuple[str, str], ...] = ()

    def __init__(self) -> None:
        self.url = ""
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.tokens: set[str | None] = set()

    def count(self, pattern: str) -> int:
        """How many requests so far match."""
        return sum(bool(re.fullmatch(pattern, request)) for request in self.requests)

    def fault(self, request: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and re.fullmatch(fault.pattern, request):
                fault.times -= 1
                return fault
        return None

    def answer(self, request: str, body: bytes) -> Reply:
        for pattern, name in self.routes:
            match = re.fullmatch(pattern, request)
            if match:
                return getattr(self, name)(*map(unquote, match.groups()), body=body)
        return Reply({"message": f"no such route: {request}"}, 404)


@contextmanager
def serve(server: Server) -> Iterator[Server]:
    class Handler(_Handler):
        state = server

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.daemon_threads = True
    server.url = f"http://127.0.0.1:{web.server_port}"
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        web.shutdown()
        web.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Server

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        request = f"{self.command} {urlsplit(self.path).path}"
        length = int(self.headers.get("Content-Length") or 0)
        fault = self.state.fault(request)
        if fault and fault.status == 0:
            self.rfile.read(length // 2)
            self.close_connection = True
            return self.connection.close()
        body = self._chunked() if self.headers.get("Transfer-Encoding") == "chunked" else self.rfile.read(length)
        self.state.requests.append(request)
        self.state.tokens.add(self.headers.get("Authorization"))
        reply = Reply({"message": "try later"}, fault.status, fault.headers) if fault else None
        return self._reply(reply or self.state.answer(request, body))

    def _chunked(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _reply(self, reply: Reply) -> None:
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        content = b"" if reply.status == 204 else content
        self.send_response(reply.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content))} | reply.headers
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET: Callable = _handle
    do_HEAD: Callable = _handle
    do_POST: Callable = _handle
    do_PUT: Callable = _handle
    do_DELETE: Callable = _handle

"""Requests to a web API that is allowed to be slow, busy or cut off now and then."""

import http.client
import json
import time
import urllib.error
import urllib.request
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from filterdb import __version__
from filterdb.errors import FilterdbError

ATTEMPTS = 6
"""How often a request is made before it is given up."""
PAUSE = 1.0
"""Seconds before the second attempt; doubled before each further one, unless the server names a time."""
LONGEST_PAUSE = 120.0
TIMEOUT = 120.0
"""Seconds that a server may stay silent."""

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class Refused(FilterdbError):
    """The server's last word; `status` is that of HTTP, None if there was no answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Requests carry a token: they go where they were sent, and nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


@dataclass(frozen=True)
class Api:
    """A web API at `url`, in JSON. The token goes into one header of each request, and into no message.

    Paths are given part by part. A request is repeated while its failure may pass; Refused is the last word.
    """

    url: str
    token: str | None = field(default=None, repr=False)

    def get(self, *path: str) -> dict:
        return self._json("GET", path)

    def post(self, *path: str, body: object = None) -> dict:
        return self._json("POST", path, body=body)

    def put(self, *path: str, body: object) -> dict:
        return self._json("PUT", path, body=body)

    def delete(self, *path: str) -> None:
        self._json("DELETE", path)

    def put_file(self, *path: str, file: Path) -> dict:
        """Send the content of `file`, from its beginning at every attempt."""
        return self._json("PUT", path, file=file)

    def address(self, *path: str) -> str:
        """Where `path` is."""
        return f"{self.url}/{'/'.join(quote(part, safe='') for part in path)}"

    def _json(self, method: str, path: tuple[str, ...], *, body: object = None, file: Path | None = None) -> dict:
        failures = 0
        while True:
            try:
                return self._once(method, self.address(*path), body, file)
            except _Transient as error:
                failures += 1
                if failures == ATTEMPTS:
                    raise Refused(f"{error}; gave up after {ATTEMPTS} attempts", error.status) from error
                time.sleep(min(error.pause or PAUSE * 2 ** (failures - 1), LONGEST_PAUSE))

    def _once(self, method: str, address: str, body: object, file: Path | None) -> dict:
        opener = urllib.request.build_opener(_NoRedirect)
        with _data(body, file) as data:
            request = urllib.request.Request(address, data, self._headers(data, file), method=method)
            try:
                with closing(opener.open(request, timeout=TIMEOUT)) as response:
                    return json.loads(response.read() or b"{}")
            except urllib.error.HTTPError as error:
                raise _refusal(method, address, error) from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason = getattr(error, "reason", None) or error
                raise _Transient(f"{method} {address}: {reason or type(reason).__name__}") from error

    def _headers(self, data: object, file: Path | None) -> dict[str, str]:
        headers = {"User-Agent": f"filterdb/{__version__}", "Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if file is not None:
            headers |= {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
        elif data is not None:
            headers["Content-Type"] = "application/json"
        return headers


class _Transient(Exception):
    """A request failed in a way that may pass, after `pause` seconds if the server said so."""

    def __init__(self, reason: str, status: int | None = None, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.status, self.pause = status, pause


def _data(body: object, file: Path | None) -> AbstractContextManager:
    if file is not None:
        return file.open("rb")
    return nullcontext(None if body is None else json.dumps(body).encode())


def _refusal(method: str, address: str, error: urllib.error.HTTPError) -> Exception:
    message = f"{method} {address}: {error.code} {_reason(error)}"
    if error.code in _TRANSIENT:
        return _Transient(message, error.code, _wait(error))
    return Refused(message, error.code)


def _reason(error: urllib.error.HTTPError) -> str:
    """What the server says, field by field where it does."""
    try:
        document = json.loads(error.read())
        fields = [f"{e['field']}: {' '.join(e['messages'])}" for e in document.get("errors", [])]
        return "; ".join([document.get("message", ""), *fields]).strip("; ") or error.reason
    except (ValueError, LookupError, TypeError, AttributeError, OSError, http.client.HTTPException):
        return error.reason


def _wait(error: urllib.error.HTTPError) -> float:
    """Seconds until the server wants to hear of us again, by Retry-After or X-RateLimit-Reset; 0 if it does not say."""
    after, reset = error.headers.get("Retry-After", ""), error.headers.get("X-RateLimit-Reset", "")
    if after.isdigit():
        return float(after)
    return max(0.0, float(reset) - time.time()) if reset.isdigit() and error.code == 429 else 0.0

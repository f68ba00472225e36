"""A Zenodo on the loopback: drafts, their files and records, as the records API of InvenioRDM has them."""

import hashlib
import json

from tests.publish.web import Reply, Server

DRAFT = r"/api/records/(\w+)/draft"


class Invenio(Server):
    """Records by id; every draft starts empty. `spoil` names a file and how often its bytes get lost on the way."""

    routes = (
        (r"POST /api/records", "create"),
        (r"POST /api/records/(\w+)/versions", "next_version"),
        (rf"GET {DRAFT}", "draft"),
        (rf"PUT {DRAFT}", "describe"),
        (rf"GET {DRAFT}/files", "files"),
        (rf"POST {DRAFT}/files", "register"),
        (rf"PUT {DRAFT}/files/([^/]+)/content", "content"),
        (rf"POST {DRAFT}/files/([^/]+)/commit", "commit"),
        (rf"DELETE {DRAFT}/files/([^/]+)", "remove"),
        (rf"POST {DRAFT}/actions/publish", "publish"),
        (r"GET /api/records/(\w+)/files", "files"),
        (r"GET /api/records/(\w+)/files/([^/]+)/content", "download"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.metadata: dict[str, dict] = {}
        self.stored: dict[str, dict[str, bytes | None]] = {}
        self.committed: dict[str, set[str]] = {}
        self.published: set[str] = set()
        self.spoil: dict[str, int] = {}

    def create(self, *, body: bytes) -> Reply:
        return self._new(json.loads(body))

    def next_version(self, id: str, *, body: bytes) -> Reply:
        return self._new(self.metadata[id]) if id in self.published else Reply({"message": "no such record"}, 404)

    def _new(self, metadata: dict) -> Reply:
        id = f"r{len(self.metadata) + 1}"
        self.metadata[id], self.stored[id], self.committed[id] = metadata, {}, set()
        return Reply(self._record(id), 201)

    def _record(self, id: str) -> dict:
        return {"id": id, "links": {"self_html": f"{self.url}/uploads/{id}"}}

    def draft(self, id: str, *, body: bytes) -> Reply:
        return Reply(self._record(id)) if id in self.metadata else Reply({"message": "no such draft"}, 404)

    def describe(self, id: str, *, body: bytes) -> Reply:
        if id not in self.metadata:
            return Reply({"message": "The persistent identifier does not exist."}, 404)
        self.metadata[id] = json.loads(body)
        return Reply(self._record(id))

    def files(self, id: str, *, body: bytes) -> Reply:
        return Reply({"enabled": True, "entries": [self._entry(id, key) for key in self.stored[id]]})

    def _entry(self, id: str, key: str) -> dict:
        if key not in self.committed[id]:
            return {"key": key, "status": "pending"}
        content = self.stored[id][key]
        md5 = hashlib.md5(content).hexdigest()
        return {"key": key, "status": "completed", "size": len(content), "checksum": f"md5:{md5}"}

    def register(self, id: str, *, body: bytes) -> Reply:
        for asked in json.loads(body):
            if asked["key"] in self.stored[id]:
                return Reply({"message": f"File with key {asked['key']} already exists."}, 400)
            assert "/" not in asked["key"]
            self.stored[id][asked["key"]] = None
        return self.files(id, body=b"")

    def content(self, id: str, key: str, *, body: bytes) -> Reply:
        if self.spoil.get(key, 0):
            self.spoil[key] -= 1
            body = body[:-1] + b"?"
        self.stored[id][key] = body
        return Reply({"key": key})

    def commit(self, id: str, key: str, *, body: bytes) -> Reply:
        self.committed[id].add(key)
        return Reply(self._entry(id, key))

    def remove(self, id: str, key: str, *, body: bytes) -> Reply:
        del self.stored[id][key]
        self.committed[id].discard(key)
        return Reply(status=204)

    def publish(self, id: str, *, body: bytes) -> Reply:
        self.published.add(id)
        record = self._record(id)
        return Reply(record | {"links": {"self_html": f"{self.url}/records/{id}"}}, 202)

    def download(self, id: str, key: str, *, body: bytes) -> Reply:
        return Reply(self.stored[id][key], 200, {"Content-Type": "application/octet-stream"})

"""A hub on the loopback: the endpoints that huggingface_hub calls to make, fill, list and read a dataset."""

import base64
import hashlib
import json

from tests.publish.web import Reply, Server

REPOSITORY = r"([^/]+/[^/]+)"


class Hub(Server):
    """One git-like repository per name: files by path, large ones by SHA-256, one commit after another."""

    routes = (
        (r"POST /api/repos/create", "create"),
        (r"POST /api/validate-yaml", "validate_yaml"),
        (rf"POST /api/datasets/{REPOSITORY}/preupload/main", "preupload"),
        (rf"POST /datasets/{REPOSITORY}\.git/info/lfs/objects/batch", "batch"),
        (r"PUT /lfs/([0-9a-f]{64})", "put_object"),
        (r"POST /lfs/verify", "verify_object"),
        (rf"POST /api/datasets/{REPOSITORY}/commit/main", "commit"),
        (rf"GET /api/datasets/{REPOSITORY}/tree/([^/]+)", "tree"),
        (rf"GET /api/datasets/{REPOSITORY}", "info"),
        (rf"GET /api/datasets/{REPOSITORY}/revision/([^/]+)", "info"),
        (rf"(?:GET|HEAD) /datasets/{REPOSITORY}/resolve/([0-9a-f]+)/(.+)", "resolve"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.commits = 0

    @property
    def head(self) -> str:
        return f"{self.commits:040x}"

    def create(self, *, body: bytes) -> Reply:
        asked = json.loads(body)
        assert asked["type"] == "dataset"
        name = f"{asked['organization']}/{asked['name']}"
        there = name in self.repositories
        self.repositories.setdefault(name, {})
        return Reply({"url": f"{self.url}/datasets/{name}"}, 409 if there else 200)

    def validate_yaml(self, *, body: bytes) -> Reply:
        assert json.loads(body)["content"].startswith("---\n")
        return Reply({"errors": [], "warnings": []})

    def preupload(self, name: str, *, body: bytes) -> Reply:
        files = [self._mode(name, file["path"]) for file in json.loads(body)["files"]]
        return Reply({"files": files})

    def _mode(self, name: str, path: str) -> dict:
        content = self.repositories[name].get(path)
        large = path.endswith(".parquet")
        oid = None if content is None else (sha256(content) if large else git_hash(content))
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}

    def batch(self, name: str, *, body: bytes) -> Reply:
        return Reply({"transfer": "basic", "objects": [self._action(asked) for asked in json.loads(body)["objects"]]})

    def _action(self, asked: dict) -> dict:
        if asked["oid"] in self.objects:
            return asked
        actions = {
            "upload": {"href": f"{self.url}/lfs/{asked['oid']}"},
            "verify": {"href": f"{self.url}/lfs/verify"},
        }
        return asked | {"actions": actions}

    def put_object(self, oid: str, *, body: bytes) -> Reply:
        if sha256(body) != oid:
            return Reply({"error": "checksum"}, 400)
        self.objects[oid] = body
        return Reply({})

    def verify_object(self, *, body: bytes) -> Reply:
        asked = json.loads(body)
        return Reply({}, 200 if len(self.objects.get(asked["oid"], b"")) == asked["size"] else 400)

    def commit(self, name: str, *, body: bytes) -> Reply:
        files = self.repositories[name]
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        self.commits += 1
        return Reply({"commitUrl": f"{self.url}/datasets/{name}/commit/{self.head}", "commitOid": self.head})

    def tree(self, name: str, revision: str, *, body: bytes) -> Reply:
        return Reply([self._entry(path, content) for path, content in sorted(self.repositories[name].items())])

    def _entry(self, path: str, content: bytes) -> dict:
        entry = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
        if path.endswith(".parquet"):
            entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 130}
        return entry

    def info(self, name: str, revision: str = "main", *, body: bytes) -> Reply:
        if name not in self.repositories:
            return Reply({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        return Reply({"id": name, "sha": self.head, "siblings": [], "tags": [], "downloads": 0, "likes": 0})

    def resolve(self, name: str, revision: str, path: str, *, body: bytes) -> Reply:
        content = self.repositories[name].get(path)
        if content is None:
            return Reply({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        headers = {"ETag": f'"{sha256(content)}"', "X-Repo-Commit": self.head, "Content-Type": "application/x"}
        return Reply(content, 200, headers)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_hash(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()

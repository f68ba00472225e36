"""A tree as a record on Zenodo, through the records API of InvenioRDM."""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from filterdb.errors import FilterdbError, IntegrityError, UsageError
from filterdb.lake.release import Release
from filterdb.publish import archives
from filterdb.publish.archives import Package
from filterdb.publish.http import Api, Refused
from filterdb.publish.manifest import digests
from filterdb.publish.metadata import PAPER_ARXIV, PAPER_DATA_DOI
from filterdb.sources.download import fetch

ZENODO, SANDBOX = "https://zenodo.org", "https://sandbox.zenodo.org"
MOST_BYTES = 50_000_000_000
TRIES = 3
"""How often a file is sent whose checksum comes back wrong."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Deposited:
    """A draft that holds the whole tree, or the record that it became; `n_sent` files were not there before."""

    id: str
    url: str
    n_files: int
    n_sent: int
    is_published: bool


def api(*, sandbox: bool = False) -> Api:
    """Zenodo, or its sandbox, with the token in ZENODO_TOKEN; ZENODO_URL names another InvenioRDM."""
    url = os.environ.get("ZENODO_URL") or (SANDBOX if sandbox else ZENODO)
    return Api(f"{url.rstrip('/')}/api", os.environ.get("ZENODO_TOKEN"))


def size_warning(root: Path) -> str | None:
    """What to say when a tree is more than Zenodo takes in one record; None if it is not."""
    size = sum(entry.bytes for entry in Release(root).entries)
    if size <= MOST_BYTES:
        return None
    return f"the tree has {size / 1e9:,.1f} GB; Zenodo takes {MOST_BYTES / 1e9:.0f} GB a record: ask it for more first"


def deposit(
    root: Path,
    zenodo: Api,
    *,
    draft: str | None = None,
    new_version_of: str | None = None,
    publish: bool = False,
    progress: Progress = lambda text: None,
) -> Deposited:
    """Put the tree in `root` into a draft; with `publish`, make it public for good.

    `draft` goes on with one that was begun; `new_version_of` begins the next version of a record.
    Files whose MD5 is there already are not sent; others in the draft are removed. `progress` is told
    of the draft and of every file sent. Raises UsageError without a token, FilterdbError that names
    the draft and says what is in it.
    """
    if zenodo.token is None:
        raise UsageError("Zenodo wants a token with the scopes deposit:write and deposit:actions: set ZENODO_TOKEN")
    packages = archives.packages(root)
    metadata = record(json.loads((root / "croissant.json").read_text("utf-8")))
    id = draft or _begin(zenodo, metadata, new_version_of)
    progress(f"draft {id}; --draft {id} goes on with it")
    try:
        zenodo.put("records", id, "draft", body=metadata)
        n_sent = _fill(zenodo, id, root, packages, progress)
        url = _finish(zenodo, id, publish)
    except FilterdbError as error:
        raise type(error)(f"{error}; {_state(zenodo, id, packages)}") from error
    return Deposited(id, url, len(packages), n_sent, publish)


def download(id: str, zenodo: Api, root: Path) -> None:
    """Put the tree of a public record into the empty folder `root`; every file is compared with its MD5."""
    with tempfile.TemporaryDirectory(dir=root.parent) as temporary:
        for entry in zenodo.get("records", id, "files")["entries"]:
            name = Path(entry["key"]).name
            file = fetch(zenodo.address("records", id, "files", name, "content"), Path(temporary) / name)
            if _checksum(entry) != digests(file)[1]:
                raise IntegrityError(f"zenodo:{id}: {name} is not what the record says: its MD5 differs")
            if name.endswith(".tar"):
                archives.unpack(file, root)
                file.unlink()
            else:
                file.rename(root / name)


def record(croissant: dict) -> dict:
    """The metadata of a record, from a tree's croissant.json."""
    return {
        "access": {"record": "public", "files": "public"},
        "files": {"enabled": True},
        "metadata": {
            "resource_type": {"id": "dataset"},
            "title": croissant["name"],
            "description": f"<p>{escape(croissant['description'])}</p>",
            "version": croissant["version"],
            "publication_date": croissant["datePublished"],
            "creators": [_creator(creator) for creator in croissant["creator"]],
            "rights": [_right(licence) for licence in croissant["license"]],
            "subjects": [{"subject": keyword} for keyword in croissant["keywords"]],
            "related_identifiers": [
                _reference("doi", PAPER_DATA_DOI, "dataset"),
                _reference("arxiv", f"arXiv:{PAPER_ARXIV}", "publication-conferencepaper"),
            ],
        },
    }


def _begin(zenodo: Api, metadata: dict, new_version_of: str | None) -> str:
    if new_version_of is None:
        return str(zenodo.post("records", body=metadata)["id"])
    return str(zenodo.post("records", new_version_of, "versions")["id"])


def _fill(zenodo: Api, id: str, root: Path, packages: list[Package], progress: Progress) -> int:
    """Make the draft hold `packages` and nothing else; how many had to be sent."""
    there = _entries(zenodo, id)
    for stranger in there.keys() - {package.name for package in packages}:
        zenodo.delete("records", id, "draft", "files", stranger)
    return sum(_bring(zenodo, id, root, package, there.get(package.name), progress) for package in packages)


def _finish(zenodo: Api, id: str, publish: bool) -> str:
    """Make the draft public, if asked to; where people find it."""
    draft = ("records", id, "draft")
    answer = zenodo.post(*draft, "actions", "publish") if publish else zenodo.get(*draft)
    return answer.get("links", {}).get("self_html", zenodo.address("records", id))


def _bring(zenodo: Api, id: str, root: Path, package: Package, there: dict | None, progress: Progress) -> bool:
    """Make sure that the draft holds `package`, of which `there` is what it has; whether it had to be sent."""
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".packing-") as folder:
        file = archives.pack(root, package, Path(folder))
        md5 = digests(file)[1]
        if there is not None and _checksum(there) == md5:
            return False
        progress(f"sending {package.name}")
        for attempt in range(TRIES):
            if _send(zenodo, id, package.name, file, replace=there is not None or attempt > 0) == md5:
                return True
    raise IntegrityError(f"{package.name} arrives with another MD5, {TRIES} times now")


def _send(zenodo: Api, id: str, name: str, file: Path, *, replace: bool) -> str:
    """Register, send and commit one file, instead of what there is of it; the MD5 that the server found."""
    files = ("records", id, "draft", "files")
    if replace:
        zenodo.delete(*files, name)
    zenodo.post(*files, body=[{"key": name}])
    zenodo.put_file(*files, name, "content", file=file)
    return _checksum(zenodo.post(*files, name, "commit"))


def _entries(zenodo: Api, id: str) -> dict[str, dict]:
    return {entry["key"]: entry for entry in zenodo.get("records", id, "draft", "files").get("entries", [])}


def _checksum(entry: dict) -> str:
    """The MD5 of a file that has arrived whole; nothing for others."""
    is_whole = entry.get("status", "completed") == "completed"
    return (entry.get("checksum") or "").removeprefix("md5:") if is_whole else ""


def _state(zenodo: Api, id: str, packages: list[Package]) -> str:
    """What the draft holds and how to go on, as far as the server tells."""
    try:
        there = {name for name, entry in _entries(zenodo, id).items() if _checksum(entry)}
    except Refused:
        return f"go on with --draft {id}"
    missing = [package.name for package in packages if package.name not in there]
    up = len(packages) - len(missing)
    rest = f", not {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}" if missing else ""
    return f"{up} of {len(packages)} files are in the draft{rest}; go on with --draft {id}"


def _creator(creator: dict) -> dict:
    if creator["@type"] == "sc:Organization":
        return {"person_or_org": {"type": "organizational", "name": creator["name"]}}
    person = {"type": "personal", "given_name": creator.get("givenName", ""), "family_name": creator["familyName"]}
    orcid = creator.get("url", "").rpartition("/")[2]
    if orcid:
        person["identifiers"] = [{"scheme": "orcid", "identifier": orcid}]
    affiliation = creator.get("affiliation", {}).get("name")
    return {"person_or_org": person} | ({"affiliations": [{"name": affiliation}]} if affiliation else {})


def _right(licence: str) -> dict:
    """A licence as Zenodo's vocabulary has it, or as a link or text of its own."""
    name = licence.removeprefix("https://spdx.org/licenses/").removesuffix(".html")
    if name.startswith("CC"):
        return {"id": name.lower()}
    return {"title": {"en": name}} | ({"link": licence} if licence.startswith("https://") else {})


def _reference(scheme: str, identifier: str, kind: str) -> dict:
    return {
        "scheme": scheme,
        "identifier": identifier,
        "relation_type": {"id": "references"},
        "resource_type": {"id": kind},
    }

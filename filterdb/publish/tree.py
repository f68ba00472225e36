"""Writing a tree: tables, documents about them, checksums; the same lake version gives the same bytes."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filterdb.errors import UsageError
from filterdb.lake.lake import Lake
from filterdb.lake.release import is_published
from filterdb.publish import card, citation, croissant, datasheet, licences, manifest, sql_kit, tables
from filterdb.publish.contents import Contents
from filterdb.publish.licences import Gate
from filterdb.publish.metadata import Metadata
from filterdb.publish.names import Profile
from filterdb.query.database import Database


def write_tree(
    lake: str | Path,
    target: Path,
    metadata: Metadata,
    *,
    allow: Sequence[str] = (),
    profile: Profile = Profile.ANALYSIS,
    version: int | None = None,
) -> Gate:
    """Write the lake's networks to `target`, and return which passed and which were left out.

    A tree that is there already is replaced; anything else is refused. `target` appears whole or
    not at all. `allow` adds licences to those that are allowed anyway, see `licences.gate`.
    Cost: one copy of the lake's files and one pass for their checksums.
    """
    _refuse_to_overwrite(target)
    with Database(lake, version, threads=1) as database:
        if not isinstance(database.lake, Lake):
            raise UsageError(f"{lake} is a published tree already: publish the lake that it was made from")
        networks = database.sql("SELECT model, license FROM models ORDER BY model").fetchall()
        gate = licences.gate(networks, allow)
        with _beside(target) as root:
            _write_tables(database, root, gate, profile)
            _write_documents(root, metadata, gate)
    return gate


def _write_tables(database: Database, root: Path, gate: Gate, profile: Profile) -> None:
    lake, passed = database.lake, set(gate.passed)
    commits = [commit for commit in lake.commits() if commit.model in passed]
    lake.bring(commit.file for commit in commits)
    models = tables.write_data(commits, lake.root, root, profile)
    tables.write_meta(database, root, gate.passed, gate.left_out)
    manifest.write(root, manifest.entries(root, manifest.files_below(root), models), lake.version)


def _write_documents(root: Path, metadata: Metadata, gate: Gate) -> None:
    with Database(root, threads=1) as database:
        release = database.lake
        contents = Contents(database, release.entries, metadata, gate.left_out)
        documents = dict(_documents(contents))
    for name, text in documents.items():
        (root / name).write_text(text, encoding="utf-8")
    found = [*release.entries, *manifest.entries(root, documents, {})]
    manifest.write(root, sorted(found, key=lambda entry: entry.path), release.version)


def _documents(contents: Contents) -> Iterator[tuple[str, str]]:
    yield "README.md", card.text(contents)
    yield "croissant.json", croissant.text(contents)
    yield "CITATION.cff", citation.text(contents)
    yield "DATASHEET.md", datasheet.datasheet(contents)
    yield "LICENSES.md", datasheet.licence_page(contents)
    yield "filterdb.sql", sql_kit.tree()


def _refuse_to_overwrite(target: Path) -> None:
    if target.exists() and not (target.is_dir() and (is_published(target) or not any(target.iterdir()))):
        raise UsageError(f"{target} is there and is no published tree: name a folder that is new or empty")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A folder that takes the place of `target` at the end, and vanishes on any failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    place = target.parent.absolute()  # a relative path with a colon is an address to pyarrow
    with tempfile.TemporaryDirectory(dir=place, prefix=f".{target.name}-") as temporary:
        root = Path(temporary) / "tree"
        root.mkdir()
        yield root
        if target.exists():
            target.rename(Path(temporary) / "old")
        root.rename(target)

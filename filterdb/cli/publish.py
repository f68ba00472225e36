"""Commands that give a lake to others: publish dir, hf, zenodo, verify."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterdb.cli.options import FileOption, FormatOption, LakeOption, VersionOption, lake_name, output
from filterdb.cli.output import Format
from filterdb.errors import UsageError
from filterdb.publish.names import Profile

if TYPE_CHECKING:
    from filterdb.publish.licences import Gate

INTEGRITY = 4

app = typer.Typer(help="Make the lake a data set that people can cite, and upload it.", no_args_is_help=True)


ReleaseOption = Annotated[
    Path | None, typer.Option("--release", metavar="FILE", help="release.toml: title, authors, version, licence, …")
]
AnonymousOption = Annotated[
    bool, typer.Option("--anonymous", help="Leave out who made it: authors, addresses, DOI, contact.")
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option("--license-allow", metavar="ID", help="Let networks under this licence out too; 'unknown' for none."),
]
ProfileOption = Annotated[
    Profile, typer.Option("--for", help="Files as in the lake, or smaller ones that are read in pieces.")
]
TreeOption = Annotated[
    Path | None, typer.Option("--tree", metavar="DIR", help="Upload this tree, not one made from the lake now.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be uploaded; ask nobody.")]


@dataclass(frozen=True)
class _Making:
    """How a tree is made from a lake."""

    lake: str
    release: Path | None
    anonymous: bool
    allow: list[str]
    profile: Profile = Profile.ANALYSIS
    version: int | None = None

    def write(self, target: Path) -> "Gate":
        from filterdb.publish import metadata, tree

        facts = metadata.load(self.release, anonymous=self.anonymous)
        gate = tree.write_tree(self.lake, target, facts, allow=self.allow, profile=self.profile, version=self.version)
        for out in gate.left_out:
            _note(f"left out: {out.model} ({out.license}; --license-allow {out.license!r} lets it out)")
        return gate


@app.command("dir")
def directory(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write: new, empty, or an older tree.")],
    release: ReleaseOption = None,
    anonymous: AnonymousOption = False,
    license_allow: AllowOption = None,
    profile: ProfileOption = Profile.ANALYSIS,
    lake: LakeOption = None,
    version: VersionOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> None:
    """Write a tree of files: Parquet, dataset card, Croissant, citation, licences, checksums, SQL."""
    making = _Making(lake_name(context, lake), release, anonymous, license_allow or [], profile, version)
    making.write(target)
    output(format, file).records(_files(target))


@app.command("hf")
def huggingface(
    context: typer.Context,
    repository: Annotated[str, typer.Argument(metavar="REPO", help="OWNER/NAME of the data set; made if need be.")],
    tree: TreeOption = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private, if it is made now.")] = False,
    release: ReleaseOption = None,
    anonymous: AnonymousOption = False,
    license_allow: AllowOption = None,
    dry_run: DryRunOption = False,
    lake: LakeOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> None:
    """Upload a tree to Hugging Face, and compare checksums; run it again to go on with a broken upload."""
    making = _Making(lake_name(context, lake), release, anonymous, license_allow or [])
    with _tree(tree, making) as root:
        if dry_run:
            return output(format, file).records(_files(root))
        from filterdb.publish import huggingface

        return output(format, file).records([asdict(huggingface.upload(root, repository, private=private))])


@app.command("zenodo")
def zenodo(
    context: typer.Context,
    tree: TreeOption = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Practise on sandbox.zenodo.org.")] = False,
    draft: Annotated[str | None, typer.Option("--draft", metavar="ID", help="Go on with a draft.")] = None,
    new_version_of: Annotated[
        str | None, typer.Option("--new-version-of", metavar="ID", help="Begin the next version of a record.")
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Make the record public, for good; else it stays a draft to look at.")
    ] = False,
    release: ReleaseOption = None,
    anonymous: AnonymousOption = False,
    license_allow: AllowOption = None,
    dry_run: DryRunOption = False,
    lake: LakeOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> None:
    """Upload a tree to a draft on Zenodo, packed into at most 99 files, and compare checksums."""
    from filterdb.publish import zenodo

    making = _Making(lake_name(context, lake), release, anonymous, license_allow or [])
    with _tree(tree, making) as root:
        warning = zenodo.size_warning(root)
        if warning:
            _note(warning)
        if dry_run:
            return output(format, file).records(_packages(root))
        done = zenodo.deposit(
            root,
            zenodo.api(sandbox=sandbox),
            draft=draft,
            new_version_of=new_version_of,
            publish=publish,
            progress=_note,
        )
        return output(format, file).records([asdict(done)])


@app.command("verify")
def verify(
    target: Annotated[
        str, typer.Argument(metavar="TREE", help="A folder, https://…, hf:OWNER/NAME, zenodo:ID or zenodo-sandbox:ID.")
    ],
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> int:
    """Compare every file of a tree with its manifest, and every network with the hash of its weights."""
    from filterdb.publish import fetching, verify

    with fetching.whole(target) as root:
        found = verify.verify(root)
    verdict = f"{len(found.problems):,} problems" if found.problems else "all as published"
    sizes = f"{found.n_files:,} files, {found.n_bytes:,} bytes, {found.n_networks:,} networks"
    _note(f"{sizes}, {found.n_filters:,} filters: {verdict}")
    output(format, file).records([asdict(problem) for problem in found.problems])
    return INTEGRITY if found.problems else 0


def sql_kit() -> None:
    """Print the SQL macros for use in any DuckDB: filterdb sql-kit > kit.sql; duckdb -init kit.sql."""
    from filterdb.publish import sql_kit

    print(sql_kit.macros(), end="")


@contextmanager
def _tree(given: Path | None, making: _Making) -> Iterator[Path]:
    """The tree to upload: the one given, or one that is made now and removed afterwards."""
    if given is not None:
        from filterdb.lake.release import is_published
        from filterdb.publish.verify import ensure_as_published

        if not is_published(given):
            raise UsageError(f"--tree {given}: no published tree is there; 'filterdb publish dir {given}' makes one")
        ensure_as_published(given)
        yield given
        return
    beside = Path(making.lake).resolve().parent
    with tempfile.TemporaryDirectory(dir=beside, prefix=".publish-") as temporary:
        root = Path(temporary) / "tree"
        making.write(root)
        yield root


def _files(root: Path) -> list[dict[str, object]]:
    from filterdb.publish.manifest import files_below

    return [{"path": path, "bytes": (root / path).stat().st_size} for path in files_below(root)]


def _packages(root: Path) -> list[dict[str, object]]:
    from filterdb.publish import archives

    return [
        {
            "name": package.name,
            "n_files": len(package.members),
            "bytes": sum((root / path).stat().st_size for path in package.members),
        }
        for package in archives.packages(root)
    ]


def _note(text: str) -> None:
    print(text, file=sys.stderr)

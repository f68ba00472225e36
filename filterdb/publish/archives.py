"""Trees for records without folders: data/ in at most 90 uncompressed tars, meta/ in one, documents as they are."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filterdb.errors import IntegrityError
from filterdb.publish.manifest import files_below

MOST_TARS = 90
TAR_BYTES = 1_000_000_000
"""What a tar of data/ should hold at least, if there is that much."""


@dataclass(frozen=True)
class Package:
    """One file of a record: a document as it is, or a tar of `members`."""

    name: str
    members: tuple[str, ...]

    @property
    def is_tar(self) -> bool:
        return self.name.endswith(".tar")


def packages(root: Path) -> list[Package]:
    """How the tree in `root` is divided; the same tree is always divided the same way."""
    paths = list(files_below(root))
    data = [path for path in paths if path.startswith("data/")]
    meta = tuple(path for path in paths if path.startswith("meta/"))
    documents = [Package(path, (path,)) for path in paths if "/" not in path]
    sizes = [(root / path).stat().st_size for path in data]
    return [*documents, Package("meta.tar", meta), *_data_packages(data, sizes)]


def pack(root: Path, package: Package, folder: Path) -> Path:
    """The file to upload: of the tree, or a tar made in `folder`. The same members give the same bytes."""
    if not package.is_tar:
        return root / package.name
    target = folder / package.name
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in package.members:
            information = tarfile.TarInfo(path)
            information.size = (root / path).stat().st_size
            information.mode = 0o644
            with (root / path).open("rb") as stream:
                tar.addfile(information, stream)
    return target


def unpack(file: Path, root: Path) -> None:
    """Put the members of a tar where they belong in the tree `root`; IntegrityError for what is no such tar."""
    try:
        with tarfile.open(file, "r:") as tar:
            tar.extractall(root, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise IntegrityError(f"{file.name}: {error}") from error


def _data_packages(paths: list[str], sizes: list[int]) -> Iterator[Package]:
    """Neighbours together, so that a tar holds few data sets; tars of about the same size."""
    share = max(TAR_BYTES, -(-sum(sizes) // (MOST_TARS // 2)))
    groups: list[list[str]] = []
    filled = share
    for path, size in zip(paths, sizes, strict=True):
        if filled >= share or filled + size > 2 * share:
            groups.append([])
            filled = 0
        groups[-1].append(path)
        filled += size
    for number, members in enumerate(groups, 1):
        yield Package(f"data-{number:02}.tar", tuple(members))

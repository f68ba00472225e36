"""Whole trees from wherever they were published, to be looked at here."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filterdb.errors import UsageError
from filterdb.lake.opening import ELSEWHERE
from filterdb.lake.release import is_published
from filterdb.publish import zenodo
from filterdb.publish.manifest import SUMS


@contextmanager
def whole(target: str) -> Iterator[Path]:
    """A folder with all files of the tree `target`: a folder, https://…, hf:NAME/NAME, zenodo:ID, zenodo-sandbox:ID."""
    scheme, _, id = target.partition(":")
    if scheme in ("zenodo", "zenodo-sandbox"):
        with tempfile.TemporaryDirectory(prefix="filterdb-") as temporary:
            root = Path(temporary) / "tree"
            root.mkdir()
            zenodo.download(id, zenodo.api(sandbox=scheme == "zenodo-sandbox"), root)
            yield root
    elif ELSEWHERE.match(target):
        yield _mirrored(target)
    else:
        if not is_published(Path(target)):
            raise UsageError(f"no published tree in {target}: it has no manifest")
        yield Path(target)


def _mirrored(address: str) -> Path:
    from filterdb.lake.mirror import open_mirror

    tree = open_mirror(address)
    tree.bring(tree.root / entry.path for entry in tree.entries)
    tree.place.fetch(SUMS, tree.root / SUMS, "")
    return tree.root

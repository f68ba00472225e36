"""A lake by name: a directory with a lake, a published tree on this machine, or one elsewhere."""

import os
import re
from pathlib import Path

from filterdb.lake.lake import Lake
from filterdb.lake.release import Release, is_published

ELSEWHERE = re.compile(r"https?://|hf:")


def open_lake(place: str | os.PathLike, version: int | None = None) -> Lake | Release:
    """What `place` names, open for reading.

    Raises LakeError where there is no lake and no published tree, UsageError for an address that
    cannot be understood, SourceError when what is elsewhere is out of reach.
    """
    if ELSEWHERE.match(str(place)):
        from filterdb.lake.mirror import open_mirror

        return open_mirror(str(place), version)
    root = Path(place)
    return Release(root, version) if is_published(root) else Lake(root, version)

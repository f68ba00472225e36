"""Where things lie: `schema/` and `queries/`, inside an installed package or beside it in a checkout; the cache."""

import os
from functools import cache
from pathlib import Path


@cache
def directory(name: str) -> Path:
    """The folder `schema` or `queries`."""
    package = Path(__file__).parent
    installed = package / name
    return installed if installed.is_dir() else package.parent / name


def cache_directory() -> Path:
    """What may be deleted at any time: `FILTERDB_CACHE`, else `filterdb` in the user's cache directory."""
    if "FILTERDB_CACHE" in os.environ:
        return Path(os.environ["FILTERDB_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "filterdb"

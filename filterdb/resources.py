"""Where `schema/` and `queries/` lie: inside an installed package, or beside it in a checkout."""

from functools import cache
from pathlib import Path


@cache
def directory(name: str) -> Path:
    """The folder `schema` or `queries`."""
    package = Path(__file__).parent
    installed = package / name
    return installed if installed.is_dir() else package.parent / name

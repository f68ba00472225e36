"""filterdb: every 3×3 filter of a model zoo as a database.

`filterdb.open(path)` gives a `Database`: SQL over models, layers and filters, and PCA, metrics and
KL divergence over any split that SQL can express.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from filterdb.query.database import Database

__all__ = ["open"]


def open(path: str, version: int | None = None, **limits: object) -> "Database":
    """Open the lake at `path` for reading; see `filterdb.query.database.Database`."""
    from filterdb.query.database import Database

    return Database(path, version, **limits)


def __getattr__(name: str) -> object:
    if name == "analysis":
        import filterdb.analysis

        return filterdb.analysis
    raise AttributeError(f"module 'filterdb' has no attribute {name!r}")

"""What an error of DuckDB means to the one who asked."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from filterdb.errors import LakeError, UsageError
from filterdb.lake import schema
from filterdb.lake.lake import Lake
from filterdb.lake.release import Release


@contextmanager
def explained(lake: Lake | Release, what: str = "") -> Iterator[None]:
    """Turn DuckDB's errors within the block into ours; `what` was asked begins the message about a mistake in it.

    An error that speaks of a file of the lake leads to a look at all of them, and so to the damaged one; as does one
    of the function that fetches files of a tree elsewhere.
    """
    try:
        yield
    except (duckdb.InterruptException, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "interrupted" not in str(error):
            raise
        raise KeyboardInterrupt from error
    except duckdb.OutOfMemoryException as error:
        raise LakeError(f"too little memory: {first_line(error)}; allow more, or use fewer threads") from error
    except duckdb.Error as error:
        if str(lake.root.resolve()) in str(error) or (not lake.is_complete and "executing the UDF" in str(error)):
            for name in schema.ALL:
                lake.bring(lake.files(name))
        if isinstance(error, duckdb.IOException):
            raise LakeError(first_line(error)) from error
        raise UsageError(what + first_line(error)) from error


def first_line(error: Exception) -> str:
    """What DuckDB says was wrong, with its suggestions, in one line."""
    message = str(error).split("\n\nLINE ")[0].split("\n\nPossible solutions")[0]
    return " ".join(line.strip() for line in message.splitlines() if line.strip())

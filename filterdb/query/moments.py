"""Second moments of splits: from summaries in SQL, from filters by a scan where they can be placed, else in SQL."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from filterdb.analysis import Moments
from filterdb.query.split import Level

if TYPE_CHECKING:
    from filterdb.query.database import Split


def of_split(split: "Split", by: Sequence[str], *, scaled: bool) -> dict[tuple, Moments]:
    """Moments of the non-sparse filters of each group, keyed by the values of `by`."""
    if split.level is Level.FILTER:
        from filterdb.query import places, scan

        found = places.of_split(split, by)
        if found is not None:
            return scan.moments(found, split.database.threads, scaled=scaled)
    rows = split.rows(split.moments_statement(by, scaled=scaled))
    return {tuple(row[:-1]): _from_struct(row[-1]) for row in rows}


def _from_struct(struct: dict | None) -> Moments:
    if struct is None or not struct["n"]:
        return Moments.empty()
    return Moments.from_vector(list(struct.values()))

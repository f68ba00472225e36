"""Frozen tables of plain facts about public networks; README.md names their sources."""

import csv
from importlib import resources


def fact_rows(name: str) -> list[dict[str, str]]:
    """The rows of a packaged table of facts; empty means unknown."""
    with resources.files(__name__).joinpath(name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))

"""One table or figure of the paper, made from a lake: pictures, the numbers behind them, and what to say of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl
from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table to be read: a head, rows of text, and for each row what it is: '', 'paper', a verdict, or 'group'.

    A group is one text that goes before the rows below it.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the report.

    caption: two sentences made from the numbers. figures and numbers: by the name of their files. notes:
    what this lake cannot show, and why.
    """

    name: str
    title: str
    caption: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    numbers: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()

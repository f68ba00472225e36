"""Where the filters of a split lie in the lake's files: what a scan needs to know of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from filterdb.query import statements
from filterdb.query.conjuncts import layers_that_may_meet
from filterdb.query.scan import Place
from filterdb.query.split import FILTER_COLUMNS, Level

if TYPE_CHECKING:
    from filterdb.query.bases import Basis
    from filterdb.query.database import Split

# Fewer filters than this are sooner looked at in SQL than the kernels are loaded and every file is asked.
MIN_FILTERS = 1 << 23
BATCH_ROWS = 1 << 17


def of_split(split: "Split", by: Sequence[str], *, beside: "Basis | None" = None) -> list[Place] | None:
    """Where the filters of each group of a split lie; None where SQL finds them better, or alone.

    A split of layers lies in whole layers: `beside` leaves out networks whose histograms are kept on that
    basis. A condition on single filters picks rows from all layers; its groups must be of columns of layers.
    """
    if split.level is Level.LAYER:
        if beside is not None and beside.is_complete:
            return []
        rows = statements.rows_of_layers(split.source(by), by)
        return _at(split, rows if beside is None else statements.without_histograms(rows, beside.id))
    if split.condition is None or FILTER_COLUMNS & set(by) or not set(by) <= set(_columns(split, "layers")):
        return None
    layers = layers_that_may_meet(split.database.connection, split.condition)
    if split.rows(statements.count_of_layers(layers))[0][0] < MIN_FILTERS:
        return None
    return _at(split, statements.rows_of_layers(layers, by), _Kept(split))


def _at(split: "Split", statement: str, kept: "_Kept | None" = None) -> list[Place]:
    rows = split.rows(statement)
    split.database.lake.bring({row[-3] for row in rows})
    return [Place(tuple(row[:-3]), *row[-3:], kept) for row in rows]


@dataclass(frozen=True, eq=False)
class _Kept:
    """The rows of a file that meet a split's condition."""

    split: "Split"

    def __call__(self, file: str, n_rows: int) -> np.ndarray:
        """(n_rows,) bool."""
        statement = statements.rows_that_meet(self.split.condition, file, _facts(self.split))
        marks = np.zeros(n_rows, dtype=bool)
        with self.split.database.explained():
            for batch in self.split.database.connection_for(statement).sql(statement).to_arrow_reader(BATCH_ROWS):
                marks[batch.column(0).to_numpy()] = True
        return marks


def _facts(split: "Split") -> list[str]:
    """The columns that a condition may need and only layers have."""
    if split.sql != split.with_facts:
        return []
    own = set(_columns(split, "filters"))
    return [name for name in _columns(split, "layers") if name not in own]


def _columns(split: "Split", view: str) -> list[str]:
    return split.database.connection.sql(f"FROM {view}").columns

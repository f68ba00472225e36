"""A lake, open for questions: SQL, splits, and the divergence between two of them."""

import os
import re
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from typing import TYPE_CHECKING

import duckdb

from filterdb.errors import UsageError
from filterdb.lake import schema
from filterdb.lake.opening import open_lake
from filterdb.query import connection, failures, finishers, split, statements
from filterdb.query.names import Definition
from filterdb.query.sandbox import check_single_select
from filterdb.query.split import Level

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from filterdb.analysis import PCA, Moments
    from filterdb.query.bases import Basis

By = str | Sequence[str]
BATCH = 10_000
FILTERS = re.compile(r"\bfilters\b|filter_facts|parquet", re.IGNORECASE)
"""What a statement must mention to reach the files of filters: the views, or a file."""
SMALL_TABLES = tuple(name for name in schema.ALL if name != "filters")


class Database:
    """A read-only view of one lake at one version. Use it as a context manager, or `close()` it.

    `path` is a lake's directory, or a published tree: a directory, an address (https://…), or a
    dataset on Hugging Face (hf://datasets/NAME/NAME), whose files are fetched when they are needed.
    `version` is the number of the commit to look at (default: the newest, fixed when opened);
    `threads` and `memory_limit` (e.g. '2GB') bound what queries may use.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        version: int | None = None,
        *,
        threads: int | None = None,
        memory_limit: str | None = None,
    ) -> None:
        self.lake = open_lake(path, version)
        self.threads = threads or os.cpu_count() or 1
        self.connection = self._connect(memory_limit)
        self._finishers: set[str] = set()
        self._cursors: weakref.WeakSet[duckdb.DuckDBPyConnection] = weakref.WeakSet()
        self._finalizer = weakref.finalize(self, self.connection.close)

    def _connect(self, memory_limit: str | None) -> duckdb.DuckDBPyConnection:
        with self.explained(f"memory limit {memory_limit!r}: " if memory_limit else ""):
            return connection.connect(self.lake, threads=self.threads, memory_limit=memory_limit)

    @property
    def version(self) -> int:
        """The lake version that every answer is of."""
        return self.lake.version

    def sql(self, query: str, params: Mapping[str, object] | None = None) -> duckdb.DuckDBPyRelation:
        """The relation that one SELECT yields; `.pl()`, `.fetchall()`, … run it.

        `params` are the values of `$name` in the text. Raises UsageError if it is not one SELECT.
        """
        with self.explained():
            check_single_select(self.connection, query, "a query")
            return self.connection_for(query).sql(query, params=dict(params) if params else None)

    def stream(self, query: str, params: Mapping[str, object] | None = None) -> tuple[list[str], Iterator[tuple]]:
        """Column names and rows of one SELECT, fetched batch by batch; memory does not grow with the result."""
        with self.explained():
            check_single_select(self.connection, query, "a query")
            cursor = self.connection_for(query).cursor()
            self._cursors.add(cursor)
            cursor.execute(query, dict(params) if params else None)
        return [column[0] for column in cursor.description], self._fetch(cursor)

    def split(self, text: str) -> "Split":
        """The filters that `text`, a predicate or a SELECT, speaks of; see `filterdb.query.split`."""
        with self.explained(f"split {split.shorten(text)}: "):
            return Split(self, split.resolve(self.connection_for(text), text))

    def kl(
        self,
        p: "Split | str",
        q: "Split | str",
        by: By = (),
        basis: "Split | PCA | str | None" = None,
        *,
        definition: str = Definition.PAPER,
    ) -> "pl.DataFrame":
        """Symmetric KL divergence (Eq. 10) of two splits on a common basis, per group of `by`.

        `basis`: None for that of both splits together, a split, a PCA, or the name of a registered basis.
        Columns: those of `by`, kl (nats; NULL where a side has no filters), n_p, n_q (non-sparse filters),
        bins, range, definition. Both definitions agree here; the one asked for is named in the result.
        Cost: one pass over the filters of both splits; on a registered basis, one over the histograms of
        their layers, if they are splits of layers.
        """
        from filterdb.query import divergence

        return divergence.by_group(
            self._as_split(p), self._as_split(q), _names(by), basis, known_definition(definition)
        )

    @cached_property
    def bases(self) -> "dict[str, Basis]":
        """The registered bases by name; see `filterdb.query.registration`."""
        from filterdb.query import bases

        return bases.registered(self.connection)

    def connection_for(self, sql: str) -> duckdb.DuckDBPyConnection:
        """The connection, ready for `sql`: files that it may read are as committed, functions that it mentions exist.

        The files of filters are looked at only for a statement that can reach them.
        """
        for name in schema.ALL if FILTERS.search(sql) else SMALL_TABLES:
            self.lake.bring(self.lake.files(name))
        for finisher in finishers.FINISHERS:
            if finisher.name in sql.lower() and finisher.name not in self._finishers:
                self._finishers.add(finisher.name)
                finishers.register(self.connection, finisher)
        return self.connection

    def explained(self, what: str = "") -> AbstractContextManager[None]:
        """A block within which errors of DuckDB become ours; see `filterdb.query.failures`."""
        return failures.explained(self.lake, what)

    def interrupt(self) -> None:
        """End the queries that are running; to be called from another thread."""
        for connection_or_cursor in (self.connection, *self._cursors):
            with suppress(duckdb.ConnectionException):  # closed already
                connection_or_cursor.interrupt()

    def close(self) -> None:
        """Release the connection; open relations of it cannot be read any more."""
        self._finalizer()

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _fetch(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple]:
        with self.explained():
            while rows := cursor.fetchmany(BATCH):
                yield from rows

    def _as_split(self, value: "Split | str") -> "Split":
        return self.split(value) if isinstance(value, str) else value


class Split:
    """A set of filters of a Database. Nothing is computed before it is asked for."""

    def __init__(self, database: Database, resolved: split.Resolved) -> None:
        self.database = database
        self.text, self.level = resolved.text, resolved.level
        self.sql, self.with_facts, self.condition = resolved.sql, resolved.with_facts, resolved.condition

    def __repr__(self) -> str:
        return f"Split({self.text!r}, level={self.level.value!r})"

    def count(self) -> int:
        """How many filters the split holds, sparse ones included."""
        return self.rows(self.count_statement())[0][0]

    def moments(self, *, scaled: bool = True) -> "Moments":
        """Second moments of the non-sparse filters: each scaled to [−1, 1] (Eq. 3), or as they are."""
        from filterdb.analysis import Moments

        return self.moments_by((), scaled=scaled).get((), Moments.empty())

    def moments_by(self, by: By, *, scaled: bool = True) -> "dict[tuple, Moments]":
        """`moments` of each group, keyed by its values of the columns `by`."""
        from filterdb.query import moments

        return moments.of_split(self, _names(by), scaled=scaled)

    def pca(self) -> "PCA":
        """The structure of the split's scaled, non-sparse filters (Eq. 4, 5)."""
        from filterdb.analysis import PCA

        return PCA.from_moments(self.moments())

    def metrics(self, by: By = (), *, definition: str = Definition.PAPER) -> "pl.DataFrame":
        """n_filters, sparsity, variance_entropy, orthogonality per group of the columns `by`.

        `definition`: entropy of filters as they are (`paper`) or scaled (`published`). Orthogonality
        is NULL for a split of single filters.
        """
        with self.database.explained():
            return self._run(self.metrics_statement(_names(by), definition)).pl()

    def histograms(
        self, basis: "PCA", by: By = (), value_range: tuple[float, float] | None = None
    ) -> "dict[tuple, np.ndarray]":
        """Histograms (9, 70) of the non-sparse filters' coefficients on `basis`, per group of `by`.

        `value_range`: (low, high) for all nine axes; default: the basis' `coefficient_range()`.
        """
        from filterdb.query import histograms

        return histograms.of_splits([self], _names(by), basis, value_range or basis.coefficient_range())[0]

    def count_statement(self) -> str:
        """The SQL behind `count`."""
        is_layers = self.level is Level.LAYER
        return (statements.count_of_layers if is_layers else statements.count_of_filters)(self.sql)

    def moments_statement(self, by: Sequence[str] = (), *, scaled: bool = True) -> str:
        """The SQL that equals `moments`, and runs unless the kernel is quicker: see `filterdb.query.places`."""
        is_layers = self.level is Level.LAYER
        compose = statements.moments_of_layers if is_layers else statements.moments_of_filters
        return compose(self.source(by), by, scaled=scaled)

    def metrics_statement(self, by: Sequence[str] = (), definition: str = Definition.PAPER) -> str:
        """The SQL behind `metrics`."""
        is_layers = self.level is Level.LAYER
        compose = statements.metrics_of_layers if is_layers else statements.metrics_of_filters
        return compose(self.source(by), by, known_definition(definition))

    def histograms_statement(self, by: By = ()) -> str:
        """The SQL that equals `histograms`, and runs where the kernel cannot: see `filterdb.query.places`."""
        names = _names(by)
        source = self.source(names)
        filters = source if self.level is Level.FILTER else statements.filters_of_layers(source, names)
        return statements.bins_of_filters(filters, names)

    def explain(self) -> str:
        """In one line: how questions about this split are answered."""
        if self.level is Level.LAYER:
            filters, layers = self.rows(self.count_statement())[0]
            return f"{self.text}: {filters:,} filters in {layers:,} layers, answered from the layers' summaries"
        return f"{self.text}: looks at single filters, answered by a scan of {self.count():,} filters"

    def source(self, by: Sequence[str]) -> str:
        """A SELECT of the split's rows that has the columns `by`; UsageError lists what there is."""
        if not by:
            return self.sql
        for select in filter(None, (self.sql, self.with_facts)):
            with self.database.explained():
                columns = [name for name in self._run(select).columns if not name.endswith("_moments")]
            if set(by) <= set(columns):
                return select
        missing = next(name for name in by if name not in columns)
        raise UsageError(f"cannot group by {missing!r}: choose among {', '.join(columns)}")

    def rows(self, sql: str, params: dict | None = None) -> list[tuple]:
        """The rows of a statement about this split."""
        with self.database.explained():
            return self._run(sql, params).fetchall()

    def _run(self, sql: str, params: dict | None = None) -> duckdb.DuckDBPyRelation:
        return self.database.connection_for(sql).sql(sql, params=params)


def known_definition(name: str) -> Definition:
    """The definition called `name`; UsageError if there is none."""
    try:
        return Definition(name)
    except ValueError as error:
        raise UsageError(f"definition {name!r}: choose one of {', '.join(Definition)}") from error


def _names(by: By) -> tuple[str, ...]:
    return (by,) if isinstance(by, str) else tuple(by)

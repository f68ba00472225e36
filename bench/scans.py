"""Targets 1 and 2: passes over every filter, hot and cold, beside SQL and beside only reading the files."""

from collections.abc import Iterator
from statistics import median

import duckdb

import filterdb
from bench.measure import Finding, Setting, files_of, forget, in_turn, millions, ratio, read_through
from filterdb.query import places, scan
from filterdb.query.database import Database

SMALL, PAPER = 20_000_000, 100_000_000
SUMS = ", ".join(f"sum(w{i}::DOUBLE * w{j})" for i in range(9) for j in range(i, 9))
CONDITIONS = {
    "w4 > 0": "a condition that half of them meet (w4 > 0)",
    "max_abs > 0.1 AND NOT sparse": "one that few meet (max_abs > 0.1 AND NOT sparse)",
    "w4 > 0 AND architecture LIKE 'W%'": "one on filters and networks (w4 > 0 AND architecture LIKE 'W%')",
}


def measure(setting: Setting) -> Iterator[Finding]:
    root = setting.lake(PAPER if setting.is_paper else SMALL)
    with filterdb.open(root, threads=2) as database:
        n = database.split("true").count()
        yield from _pca(database, n, setting.runs)
        yield from _cold(database, n, setting.runs)
        yield from _divergence(database, n, setting.runs)


def _pca(database: Database, n: int, runs: int) -> Iterator[Finding]:
    everything = places.of_split(database.split("true"), ())
    files = files_of(database.lake.root)
    kernel, sums, reading = in_turn(
        runs, lambda: scan.moments(everything, 2), lambda: _raw_sums(files), lambda: read_through(files)
    )
    yield _speed(1, "PCA of every filter, hot", n, kernel, sums, "raw sums in DuckDB", 45)
    yield _speed(1, "only reading the files, hot", n, reading, sums, "raw sums in DuckDB")
    for condition, meaning in CONDITIONS.items():
        splits = [database.split(text) for text in (condition, f"SELECT * FROM filter_facts WHERE {condition}")]
        scanned, in_sql = in_turn(runs, *(split.moments for split in splits))
        yield _speed(1, f"PCA under {meaning}", n, scanned, in_sql, "the SQL macros", 45)


def _cold(database: Database, n: int, runs: int) -> Iterator[Finding]:
    everything = places.of_split(database.split("true"), ())
    files = files_of(database.lake.root)

    def cold(work) -> None:
        forget(files)
        work()

    scanned, reading = in_turn(
        min(runs, 3), lambda: cold(lambda: scan.moments(everything, 2)), lambda: cold(lambda: read_through(files))
    )
    times = ratio(scanned, reading)
    figures = millions(n, scanned), f"reading them: {millions(n, reading)}"
    yield Finding(1, "PCA of every filter, cold", *figures, f"{times:.2f} × its time", "≤ 2 ×", times <= 2)


def _divergence(database: Database, n: int, runs: int) -> Iterator[Finding]:
    basis = database.split("true").pca()

    def kl(p: str, q: str) -> object:
        return database.kl(p, q, basis=basis)

    layers, in_sql = in_turn(
        runs,
        lambda: kl("robust", "NOT robust"),
        lambda: kl(*(f"SELECT * FROM filters WHERE {split}" for split in ("robust", "NOT robust"))),
    )
    yield _speed(2, "KL of robust and normal on a given basis", n, layers, in_sql, "the SQL macros", 35)
    (conditions,) = in_turn(runs, lambda: kl("robust AND w4 > 0", "NOT robust AND w4 > 0"))
    yield _speed(2, "KL under conditions on filters (… AND w4 > 0)", n, conditions, in_sql, "SQL, all filters", 35)


def _raw_sums(files: list) -> None:
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(f"SELECT {SUMS} FROM read_parquet($files)", {"files": [str(file) for file in files]})
        connection.fetchall()


def _speed(
    target: int, work: str, n: int, own: list[float], other: list[float], name: str, goal: float | None = None
) -> Finding:
    return Finding(
        target,
        f"{work}, {n / 1e6:.0f} M",
        millions(n, own),
        f"{name}: {millions(n, other)}",
        f"{1 / ratio(own, other):.1f} × as fast",
        "" if goal is None else f"≥ {goal} M/s",
        None if goal is None else n / median(own) / 1e6 >= goal,
    )

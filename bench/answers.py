"""Targets 3, 4 and 6: questions about whole layers, answered from summaries and from kept histograms."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import filterdb
from bench.measure import Finding, Setting, Work, alone, in_turn, milliseconds, say
from bench.scans import PAPER, SMALL
from filterdb.lake import rows, schema
from filterdb.lake.files import write_parquet
from filterdb.lake.lake import Lake
from filterdb.lake.names import filters_path
from filterdb.query import places, scan
from filterdb.query.database import Database
from filterdb.query.registration import register

GOALS = {5_000: 30, 1_000_000: 700}
BY = ["dataset", "robust", "depth_decile"]
ROWS_AT_ONCE = 100_000


def measure(setting: Setting) -> Iterator[Finding]:
    root = setting.lake(PAPER if setting.is_paper else SMALL)
    with filterdb.open(root, threads=2) as database:
        yield _equality(database)
    for n_layers in GOALS if setting.is_paper else (5_000,):
        with filterdb.open(many_layers(root, setting.folder / f"{n_layers}-layers.lake", n_layers)) as database:
            yield from _summaries(database, n_layers, setting.runs)
    yield from _kept(root, setting)


def many_layers(source: Path, root: Path, n_layers: int) -> Path:
    """A lake of so many layers and no filters: the rows of `source` again and again, as those of other networks."""
    if not (root / "filters").exists():
        say(f"making a lake of {n_layers:,} layers")
        lake = Lake.create(root)
        layers, models = (pq.read_table(Lake(source).files(name)) for name in ("layers", "models"))
        n_models = min(1000, n_layers // 50)
        copies = [
            row | {"ingest_id": uuid4().hex, "model": f"bench/{number}"}
            for number, row in enumerate(models.take(np.arange(n_models) % len(models)).to_pylist())
        ]
        owner = np.arange(n_layers) * n_models // n_layers
        _commit(lake, "models", [pa.Table.from_pylist(copies, schema.table("models").arrow)])
        _commit(lake, "layers", (_of_owners(layers, copies, owner, s) for s in range(0, n_layers, ROWS_AT_ONCE)))
        paths = [filters_path(c["dataset"], c["robust"], c["model"], c["ingest_id"]) for c in copies]
        files = [write_parquet(lake.directory / "filters", path, [], rows.filters_schema()) for path in paths]
        lake.filters.commit(schema.table("filters").arrow, files)
    return root


def _of_owners(layers: pa.Table, models: list[dict], owner: np.ndarray, start: int) -> pa.Table:
    owners = owner[start : start + ROWS_AT_ONCE]
    taken = layers.take((start + np.arange(len(owners))) % len(layers))
    replaced = {
        "ingest_id": [models[number]["ingest_id"] for number in owners],
        "model": [models[number]["model"] for number in owners],
        "layer": start + np.arange(len(owners)) - np.searchsorted(owner, owners),
    }
    columns = [replaced.get(name, taken[name]) for name in taken.column_names]
    return pa.table(columns, schema=schema.table("layers").arrow)


def _commit(lake: Lake, name: str, tables) -> None:
    declared = schema.table(name).arrow
    file = write_parquet(lake.directory / name, f"part-{uuid4().hex}.parquet", tables, declared)
    lake.log(name).commit(declared, [file])


def _equality(database: Database) -> Finding:
    """Summaries against a scan of the same filters: the largest difference of any of the 55 moments, by its size."""
    worst = 0.0
    for text in ("robust", "NOT robust AND depth_decile > 5"):
        split = database.split(text)
        found = scan.moments(places.of_split(split, ()), 2)[()].to_vector()
        worst = max(worst, float(np.max(np.abs(split.moments().to_vector() / found - 1))))
    return Finding(3, "summaries against a scan", f"differ by {worst:.0e} at most", goal="≤ 1e-9", is_met=worst <= 1e-9)


def _summaries(database: Database, n_layers: int, runs: int) -> Iterator[Finding]:
    goal = GOALS[n_layers]
    questions = {
        "PCA of robust networks": lambda: database.split("robust").pca(),
        "PCA by data set, robustness and decile": lambda: database.split("true").moments_by(BY),
        "metrics by data set, robustness and decile": lambda: database.split("true").metrics(BY),
    }
    for what, question in questions.items():
        yield _answer(3, f"{what}, {n_layers:,} layers", question, runs, goal)


def _kept(root: Path, setting: Setting) -> Iterator[Finding]:
    say("registering a basis")
    register(root, "everything", "true", threads=2)
    with filterdb.open(root, threads=2) as database:
        size = f"{database.sql('SELECT count(*) FROM layers').fetchall()[0][0]:,} layers"
        for by in ((), ("depth_decile",), ("dataset", "depth_decile")):
            name = f"KL on a registered basis by {' and '.join(by) or 'nothing'}, {size}"
            yield _answer(
                4, name, lambda by=by: database.kl("robust", "NOT robust", by, "everything"), setting.runs, 100
            )
    if setting.is_paper:
        yield _report(root, size, setting.folder / "report")


def _report(root: Path, size: str, out: Path) -> Finding:
    say("drawing the report")
    report = alone("report", root, out)
    found = f"{report.seconds:.1f} s"
    return Finding(6, f"filterdb report, {size}", found, goal="≤ 60 s", is_met=report.seconds <= 60)


def _answer(target: int, what: str, question: Work, runs: int, goal: float) -> Finding:
    (times,) = in_turn(max(runs, 9), question)
    return Finding(target, what, milliseconds(times), goal=f"≤ {goal} ms", is_met=1000 * median(times) <= goal)

"""The tables of a tree: data/ as in the lake, meta/ without what views hide, both of the networks that may go out."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from filterdb.lake import schema
from filterdb.lake.lake import Commit
from filterdb.lake.release import SMALL_TABLES, table_path
from filterdb.publish import parquet
from filterdb.publish.licences import LeftOut, canonical
from filterdb.publish.names import Profile
from filterdb.query.database import Database
from filterdb.query.quoting import identifier, literal

HIDDEN = frozenset({"ingest_id", "first_row"})
META_ROWS = 10_000


def columns(name: str) -> tuple[schema.Column, ...]:
    """The columns of the table `name` in a tree."""
    return tuple(column for column in schema.table(name).columns if column.name not in HIDDEN)


def write_meta(database: Database, root: Path, passed: Iterable[str], left_out: Iterable[LeftOut]) -> None:
    """Write meta/*.parquet: rows of the networks `passed`, in a fixed order; `left_out` is told in skips."""
    models = ", ".join(map(literal, passed))
    sources = {
        "models": f"(SELECT * REPLACE ({_canonical(database)} AS license) FROM models WHERE model IN ({models}))",
        "layers": f"(FROM stored.layers SEMI JOIN stored.commits USING (ingest_id) WHERE model IN ({models}))",
        "pairs": f"(FROM pairs WHERE robust_model IN ({models}) AND normal_model IN ({models}))",
        "skips": _skips(models, left_out),
    }
    for name in SMALL_TABLES:
        _write(database, root / table_path(name), name, sources[name])


def write_data(commits: Iterable[Commit], lake_root: Path, root: Path, profile: Profile) -> dict[str, str]:
    """Write the filters of `commits` below data/, Hive-named as in the lake; the network of each path written."""
    models = {}
    for commit in commits:
        folder = commit.file.parent.relative_to((lake_root / "filters").resolve()).as_posix()
        path = f"data/{folder}/part-0.parquet"
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copyfile if profile is Profile.ANALYSIS else parquet.rewrite)(commit.file, target)
        models[path] = commit.model
    return models


def _write(database: Database, target: Path, name: str, source: str) -> None:
    kept = columns(name)
    declared = pa.schema([field for field in schema.table(name).arrow if field.name not in HIDDEN])
    names = ", ".join(identifier(column.name) for column in kept)
    order = ", ".join(str(number) for number in range(1, min(len(kept), 4) + 1))
    rows = database.sql(f"SELECT {names} FROM {source} ORDER BY {order}").to_arrow_table().cast(declared)
    pieces = [rows.slice(start, META_ROWS) for start in range(0, max(1, len(rows)), META_ROWS)]
    parquet.write(target, pieces, declared.with_metadata(_marks(name)))


def _marks(name: str) -> dict[str, str]:
    return {"filterdb.table": name, "filterdb.format_version": str(schema.FORMAT_VERSION)}


def _canonical(database: Database) -> str:
    """SQL for the licence of a network as SPDX spells it."""
    found = [row[0] for row in database.sql("SELECT DISTINCT license FROM models WHERE license IS NOT NULL").fetchall()]
    changed = {text: canonical(text) for text in sorted(found) if canonical(text) != text}
    cases = " ".join(f"WHEN {literal(text)} THEN {literal(spdx)}" for text, spdx in changed.items())
    return f"CASE license {cases} ELSE license END" if changed else "license"


def _skips(models: str, left_out: Iterable[LeftOut]) -> str:
    """Rows of skips: those of the networks that go out, and one for each network that was left out.

    Networks that never came into the lake are no part of a release, and why not may tell of its maker.
    """
    rows = [f"({literal(out.model)}, NULL, NULL, {literal(f'licence {out.license}')})" for out in left_out]
    known = f"SELECT model, layer, kernel, reason FROM skips WHERE model IN ({models})"
    return f"({' UNION ALL '.join([known, *(f'VALUES {row}' for row in rows)])})"

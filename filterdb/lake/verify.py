"""Is a lake what was committed? Every commit, every file, and what the tables say of each other."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from filterdb.errors import LakeError
from filterdb.lake import commits, log, schema
from filterdb.lake.audit import Audit, audit
from filterdb.lake.commits import DataFile
from filterdb.lake.integrity import Damage, wrong_appearance, wrong_content
from filterdb.lake.names import ingest_id_of, model_of
from filterdb.lake.seen import Seen
from filterdb.parallel import ordered_map

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Findings:
    """What was looked at and what is wrong with it. `leftovers` belong to no commit: of writes that were cut off."""

    damage: tuple[Damage, ...]
    audits: dict[str, Audit]
    leftovers: tuple[Path, ...]

    @property
    def n_networks(self) -> int:
        return len(self.audits["filters"].current)

    @property
    def files(self) -> list[DataFile]:
        """All files that were looked at."""
        return [file for table in self.audits.values() for file in (table.current | table.former).values()]


def verify(root: Path, progress: Progress = lambda done, total: None) -> Findings:
    """Read everything in the lake `root` and compare it with what was committed; nothing is changed.

    `progress` is called with the bytes read so far and in all. Raises LakeError where there is no lake,
    or one of a newer format. Cost: reading the lake once; memory grows with its layers, not its filters.
    """
    if not any(log.exists(root / name) or (root / name / commits.HEAD).exists() for name in schema.TABLES):
        raise LakeError(f"no lake in {root}: nothing to verify")
    directory = root.resolve()
    order = sorted(log.tables(directory), key="filters".__ne__)  # first what decides: rows of later networks do no harm
    audits = {name: audit(directory / name) for name in order}
    damage = [found for table in audits.values() for found in table.damage]
    for name, table in audits.items():
        if not table.damage:
            _refuse_newer_format(directory / name)
    damage += _damaged_files(directory, audits, progress)
    broken = {found.file for found in damage}
    damage += _contradictions(directory, audits, broken)
    return Findings(tuple(damage), audits, tuple(_leftovers(directory, audits)))


def network_of(audits: dict[str, Audit], table: str, path: str) -> str | None:
    """The network that a file of a table is of, if it is of one alone."""
    if table == "filters":
        return model_of(Path(path))
    files = (Path(file) for file in audits["filters"].current)
    return next((model_of(file) for file in files if file.stem.rpartition("-")[2] in path), None)


def _refuse_newer_format(directory: Path) -> None:
    found = log.TableLog(directory).format_version
    if found > schema.FORMAT_VERSION:
        raise LakeError(f"{directory} has format version {found}, newer than this filterdb reads: update filterdb")


def _damaged_files(directory: Path, audits: dict[str, Audit], progress: Progress) -> Iterator[Damage]:
    """Current files must be as committed; former ones too, unless they were removed for good."""
    todo = [(name, file, False) for name, table in audits.items() for file in table.current.values()]
    for name, table in audits.items():
        former = (file for path, file in table.former.items() if path not in table.current)
        todo += [(name, file, True) for file in former if os.path.lexists(directory / name / file.path)]
    total, done = sum(file.size for _, file, _ in todo), 0

    def check(job: tuple[str, DataFile, bool]) -> tuple[str, DataFile, str | None]:
        name, file, _ = job
        path = directory / name / file.path
        problem = wrong_appearance(path, file.size, {directory}) or wrong_content(path, file, name)
        return name, file, problem

    for name, file, problem in ordered_map(check, todo, os.cpu_count() or 1):
        done += file.size
        progress(done, total)
        if problem is None:
            Seen(directory / name).add([directory / name / file.path])
        else:
            yield Damage(f"{name}/{file.path}", network_of(audits, name, file.path), problem)


def _contradictions(directory: Path, audits: dict[str, Audit], broken: set[str]) -> Iterator[Damage]:
    """What the rows of the small tables say of each network must be what its file of filters holds."""
    models = _rows(directory, "models", audits, broken, ["ingest_id", "model", "n_layers", "n_filters"])
    layers = _rows(directory, "layers", audits, broken, ["ingest_id", "layer", "first_row", "n_filters"])
    known = Counter(model_of(Path(path)) for path in audits["filters"].current)
    for path, file in audits["filters"].current.items():
        name = model_of(Path(path))
        problem = None
        if known[name] > 1:
            problem = f"the network is there {known[name]} times"
        elif f"filters/{path}" not in broken:
            ingest_id = ingest_id_of(Path(path))
            own = sorted(layers.get(ingest_id, []), key=lambda row: row["layer"])
            problem = _contradiction(directory / "filters" / path, file, name, models.get(ingest_id, []), own)
        if problem is not None:
            yield Damage(f"filters/{path}", name, problem)


def _contradiction(path: Path, file: DataFile, name: str, models: list[dict], layers: list[dict]) -> str | None:
    if [row["model"] for row in models] != [name]:
        return f"models has {len(models)} rows of it, not one"
    counts = [row["n_filters"] for row in layers]
    if len(layers) != models[0]["n_layers"]:
        return f"layers has {len(layers)} rows of it, models says {models[0]['n_layers']}"
    if not sum(counts) == models[0]["n_filters"] == file.rows:
        return f"it has {file.rows:,} filters, layers says {sum(counts):,}, models {models[0]['n_filters']:,}"
    held = _rows_by_layer(path)
    if [held[row["layer"]] for row in layers] != counts or len(held) != len(layers):
        return "its filters do not lie in the layers that the table layers says"
    starts = [sum(counts[:index]) for index in range(len(counts))]
    return None if [row["first_row"] for row in layers] == starts else "its layers do not begin where layers says"


def _rows_by_layer(path: Path) -> Counter[int]:
    counts: Counter[int] = Counter()
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        column = file.read_row_group(group, columns=["layer"])["layer"]
        for pair in column.value_counts().to_pylist():
            counts[pair["values"]] += pair["counts"]
    return counts


def _rows(
    directory: Path, name: str, audits: dict[str, Audit], broken: set[str], columns: list[str]
) -> dict[str, list[dict]]:
    """Rows of a small table by ingest_id, from the files that are whole."""
    rows: dict[str, list[dict]] = {}
    for path in audits[name].current:
        if f"{name}/{path}" not in broken:
            table = pq.read_table(directory / name / path, columns=columns, partitioning=None)
            for row in table.to_pylist():
                rows.setdefault(row["ingest_id"], []).append(row)
    return rows


def _leftovers(directory: Path, audits: dict[str, Audit]) -> Iterator[Path]:
    for name, table in audits.items():
        for path in sorted((directory / name).rglob("*.parquet*")):
            relative = path.relative_to(directory / name).as_posix()
            if not relative.startswith("_") and relative not in table.current and relative not in table.former:
                yield path

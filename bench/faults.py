"""What a lake survives: kill -9 at random moments, many writers at once, questions larger than memory.

    python -m bench.faults [--kills 200] [--filters 30_000_000] [--folder DIR]

writes bench/RESULTS-faults.md. The tests in tests/faults run the same with smaller numbers.
"""

import argparse
import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import filterdb
from filterdb.lake.log import exists
from filterdb.lake.verify import verify

ROOT = Path(__file__).parents[1]
FILTERDB = [sys.executable, "-m", "filterdb"]
SHOWN = {"models": "models.* EXCLUDE (ingested_at)", "layers": "layers.*", "filters": "filters.*", "skips": "skips.*"}
EVERYTHING = "dataset, robust, model, layer, out_channel, in_channel, max_abs, w0, w1, w2, w3, w4, w5, w6, w7, w8"


@dataclass
class Kills:
    """What came of killing an ingestion until it was done, lake after lake."""

    kills: int = 0
    lakes: int = 0
    before_any_lake: int = 0
    networks_at_kill: list[int] = field(default_factory=list)
    leftovers: int = 0

    def __str__(self) -> str:
        seen = sorted(self.networks_at_kill)
        return (
            f"{self.kills} kills, {self.before_any_lake} of them before there was a lake; after each the lake opened, "
            f"verify was clean and whole networks alone were visible (0 to {seen[-1]}, median {seen[len(seen) // 2]}); "
            f"{self.leftovers} files of no commit were left behind; {self.lakes} ingestions run again until done "
            "held the same rows as one undisturbed"
        )


def write_table(file: Path, n_networks: int, *, n_filters: int = 300, prefix: str = "net", seed: int = 0) -> Path:
    """A table that `filterdb ingest table` takes: networks of two layers of `n_filters`, every other one robust."""
    rng = np.random.default_rng(seed)
    rows = n_networks * 2 * n_filters
    network, rest = np.divmod(np.arange(rows), 2 * n_filters)
    columns = {
        "model": [f"{prefix}{number:03}" for number in network],
        "dataset": ["cifar10"] * rows,
        "robust": network % 2 == 0,
        "layer": rest // n_filters,
        "conv_depth": rest // n_filters,
        **{f"w{i}": rng.normal(size=rows).astype(np.float32) for i in range(9)},
    }
    pq.write_table(pa.table(columns), file)
    return file


def contents(root: Path, version: int | None = None) -> dict[str, str]:
    """A hash of all that the lake shows of each network, whatever the order of its rows."""
    found: dict[str, list[str]] = {}
    with filterdb.open(root, version, threads=1) as db:
        for name, columns in SHOWN.items():
            shown = f"(SELECT {columns} FROM {name}) AS shown"
            rows = db.sql(f"SELECT model, count(*), sum(hash(shown)::HUGEINT) FROM {shown} GROUP BY model").fetchall()
            for model, *rest in rows:
                found.setdefault(model, []).append(f"{name} {rest}")
    return {model: hashlib.sha256("\n".join(parts).encode()).hexdigest() for model, parts in found.items()}


def kill_at_random(folder: Path, command: Sequence[str], kills: int, seed: int = 0) -> Kills:
    """Kill `command`, which takes `--lake DIR`, at random moments; after each kill look at the lake and go on.

    Whatever is not as promised raises AssertionError.
    """
    rng, done = random.Random(seed), Kills()
    began = time.monotonic()
    subprocess.run([*command, "--lake", str(folder / "undisturbed")], check=True, capture_output=True)
    duration = time.monotonic() - began
    whole = contents(folder / "undisturbed")
    while done.kills < kills:
        root = folder / f"killed-{done.lakes}"
        found: dict[str, str] = {}
        while done.kills < kills and found != whole and _killed(command, root, rng.uniform(0, duration)):
            done.kills += 1
            found = _look(root, whole, done)
        subprocess.run([*command, "--lake", str(root)], check=True, capture_output=True)
        _expect(contents(root) == whole, f"{root} differs from an undisturbed ingestion")
        _expect(not verify(root).damage, f"{root} is damaged in the end")
        shutil.rmtree(root)
        done.lakes += 1
    return done


def _killed(command: Sequence[str], root: Path, seconds: float) -> bool:
    """Start `command` and kill it after so many seconds; whether it was still running."""
    process = subprocess.Popen([*command, "--lake", str(root)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    _expect(process.returncode == 0, f"{command} ended with {process.returncode}")
    return False


def _look(root: Path, whole: dict[str, str], done: Kills) -> dict[str, str]:
    if not exists(root / "filters"):
        done.before_any_lake += 1
        return {}
    findings = verify(root)
    _expect(not findings.damage, f"{root} is damaged: {findings.damage}")
    found = contents(root)
    _expect(found.items() <= whole.items(), f"{root} shows what was never whole")
    done.networks_at_kill.append(len(found))
    done.leftovers += len(findings.leftovers)
    return found


def write_at_once(folder: Path, processes: int, networks: int, *, n_filters: int = 100) -> tuple[int, float]:
    """So many processes ingest so many networks each into one lake, which is read all the time.

    The number of readings and the seconds it took. Whatever is not as promised raises AssertionError.
    """
    tables = [
        write_table(folder / f"{p}.parquet", networks, n_filters=n_filters, prefix=f"p{p}-", seed=p)
        for p in range(processes)
    ]
    root = folder / "shared.lake"
    began = time.monotonic()
    writers = [
        subprocess.Popen(
            [*FILTERDB, "ingest", "table", str(table), "--lake", str(root)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for table in tables
    ]
    readings = 0
    while any(writer.poll() is None for writer in writers):
        if exists(root / "filters"):
            _read_whole_networks(root, 2 * n_filters)
            readings += 1
        time.sleep(0.2)
    errors = [writer.communicate()[1] for writer in writers]
    _expect(all(writer.returncode == 0 for writer in writers), f"writers failed: {errors}")
    with filterdb.open(root) as db:
        models = [model for (model,) in db.sql("SELECT model FROM models").fetchall()]
    _expect(
        len(models) == len(set(models)) == processes * networks, f"{len(models)} networks, {len(set(models))} names"
    )
    _expect(not verify(root).damage, f"{root} is damaged")
    return readings, time.monotonic() - began


def _read_whole_networks(root: Path, n_filters: int) -> None:
    with filterdb.open(root, threads=1) as db:
        counts = db.sql(
            "SELECT models.model, any_value(models.n_filters), count(*), any_value(n_layers), count(DISTINCT layer) "
            "FROM models JOIN filters USING (model) GROUP BY models.model"
        ).fetchall()
        n_models, in_layers = db.sql(
            "SELECT (SELECT count(*) FROM models), (SELECT count(DISTINCT model) FROM layers)"
        ).fetchall()[0]
    _expect(len(counts) == n_models == in_layers, "a network without rows was visible")
    _expect(all(row[1:] == (n_filters, n_filters, 2, 2) for row in counts), "half a network was visible")


def group_larger_than_memory(root: Path, memory: str) -> tuple[float, float]:
    """Group all filters by sixteen columns, each its own group; seconds, and peak memory of the process in GiB."""
    query = (
        f"SELECT count(*) AS groups, sum(n) AS filters FROM (SELECT count(*) AS n FROM filters GROUP BY {EVERYTHING})"
    )
    program = (
        "import sys; from bench.measure import peak_memory; from filterdb import cli; "
        "code = cli.run(sys.argv[1:]); print(peak_memory()); sys.exit(code)"
    )
    arguments = ["sql", query, "--lake", str(root), "--memory-limit", memory, "--threads", "2", "--format", "jsonl"]
    began = time.monotonic()
    answer = subprocess.run(
        [sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return time.monotonic() - began, int(answer.stdout.splitlines()[-1]) / 2**30


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)


def measure(folder: Path, kills: int, filters: int) -> Iterator[str]:
    """A sentence for each promise, with its figures."""
    table = write_table(folder / "table.parquet", 24)
    yield str(kill_at_random(folder, [*FILTERDB, "ingest", "table", str(table)], kills))
    readings, seconds = write_at_once(folder, 8, 20)
    yield (
        f"8 processes × 20 networks: 160 there once each after {seconds:.0f} s; {readings} readings meanwhile saw "
        "whole networks alone"
    )
    table = write_table(folder / "large.parquet", 2, n_filters=filters // 4)
    subprocess.run([*FILTERDB, "ingest", "table", str(table), "--lake", str(folder / "large")], check=True)
    seconds, peak = group_larger_than_memory(folder / "large", "700MB")
    size = sum(file.stat().st_size for file in (folder / "large").rglob("*.parquet")) / 2**30
    yield (
        f"GROUP BY 16 columns over {filters:,} filters, {size:.1f} GiB on disk, each its own group, with "
        f"--memory-limit 700MB: {seconds:.0f} s, peak memory of the process {peak:.2f} GiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--filters", type=int, default=30_000_000)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        for sentence in measure(Path(name), chosen.kills, chosen.filters):
            print(sentence, flush=True)
            found.append(f"- {sentence}.\n")
    page = f"# What a lake survived\n\n{datetime.now(UTC):%Y-%m-%d}; written by `python -m bench.faults`.\n\n"
    Path(__file__).with_name("RESULTS-faults.md").write_text(page + "".join(found), "utf-8")


if __name__ == "__main__":
    main()

"""The two profiles of `publish dir --for`: bytes per filter, and how fast each is scanned.

    python -m bench.publish_profiles LAKE [--runs 5]

Prints one row per profile and way of writing; speeds are medians of interleaved runs on hot files, in
millions of filters a second, on all cores. Takes twice the disk of the lake.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import duckdb
import pyarrow.parquet as pq

from filterdb.lake.lake import Lake
from filterdb.publish import parquet
from filterdb.query import scan

WEIGHTS = [f"w{i}" for i in range(9)]
SUMS = ", ".join(f"sum(w{i}::DOUBLE * w{j})" for i in range(9) for j in range(i, 9))
VARIANTS: dict[str, dict] = {
    "plain": {"compression": "none"},
    "zstd": {"compression": "zstd", "compression_level": 3},
    "byte-split, zstd 1": {"use_byte_stream_split": [*WEIGHTS, "max_abs"], "compression_level": 1},
    "byte-split, zstd 3": {"use_byte_stream_split": [*WEIGHTS, "max_abs"], "compression_level": 3},
    "byte-split, zstd 9": {"use_byte_stream_split": [*WEIGHTS, "max_abs"], "compression_level": 9},
    "dictionary, zstd": {"use_dictionary": True, "compression_level": 3},
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lake", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args(arguments)
    source = [commit.file for commit in Lake(asked.lake).commits()]
    with tempfile.TemporaryDirectory(dir=asked.lake.parent) as temporary:
        written = {"profile analysis": source, **write_all(source, Path(temporary))}
        print("| files | bytes/filter | SQL moments | row groups + kernel |\n|---|---|---|---|")
        speeds = _measure(written, asked.runs)
        for name, files in written.items():
            sql, kernel = speeds[name]
            print(f"| {name} | {bytes_per_filter(files):.2f} | {sql:.1f} | {kernel:.1f} |")


def write_all(source: list[Path], root: Path) -> dict[str, list[Path]]:
    written = {"profile viewer": [root / "viewer" / f"{n}.parquet" for n in range(len(source))]}
    for file, target in zip(source, written["profile viewer"], strict=True):
        parquet.rewrite(file, target)
    for name, options in VARIANTS.items():
        written[name] = [root / name / f"{n}.parquet" for n in range(len(source))]
        for file, target in zip(source, written[name], strict=True):
            _write(file, target, options)
    return written


def _write(source: Path, target: Path, options: dict) -> None:
    """The row groups of `source` as they are, written with other options."""
    target.parent.mkdir(parents=True, exist_ok=True)
    settings = {"use_dictionary": ["dataset", "model"], "compression": "zstd", "write_page_index": True} | options
    with pq.ParquetFile(source) as file, pq.ParquetWriter(target, file.schema_arrow, **settings) as writer:
        for number in range(file.num_row_groups):
            group = file.read_row_group(number)
            writer.write_table(group, row_group_size=max(1, group.num_rows))


def _measure(written: dict[str, list[Path]], runs: int) -> dict[str, tuple[float, float]]:
    """SQL and kernel speed of each, all of them in turn, `runs` times."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in written}
    for _ in range(runs):
        for name, files in written.items():
            rows = _rows(files)
            times[name].append((rows / _timed(_sql, files) / 1e6, rows / _timed(_kernel, files) / 1e6))
    return {name: tuple(median(values) for values in zip(*found, strict=True)) for name, found in times.items()}


def _timed(work: Callable[[list[Path]], None], files: list[Path]) -> float:
    begin = time.perf_counter()
    work(files)
    return time.perf_counter() - begin


def _sql(files: list[Path]) -> None:
    with duckdb.connect() as connection:
        listing = [str(file) for file in files]
        connection.execute(f"SELECT {SUMS} FROM read_parquet($files, hive_partitioning = false)", {"files": listing})
        connection.fetchall()


def _kernel(files: list[Path]) -> None:
    places = [scan.Place((), str(file), 0, pq.read_metadata(file).num_rows) for file in files]
    scan.moments(places, 2)


def _rows(files: list[Path]) -> int:
    return sum(pq.read_metadata(file).num_rows for file in files)


def bytes_per_filter(files: list[Path]) -> float:
    return sum(file.stat().st_size for file in files) / _rows(files)


if __name__ == "__main__":
    main()

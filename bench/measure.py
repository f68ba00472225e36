"""How things are measured here: in turn, several times, medians; in processes of their own where memory counts."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import make_paper_lake
from filterdb.lake.lake import Lake

Work = Callable[[], object]
BLOCK = 1 << 22


@dataclass(frozen=True)
class Finding:
    """One row of the results: which target, what was done, what came, beside what, and whether the goal is met."""

    target: int
    work: str
    figure: str
    beside: str = ""
    ratio: str = ""
    goal: str = ""
    is_met: bool | None = None


@dataclass(frozen=True)
class Setting:
    """What a benchmark is run with: where it may write, how often it repeats, and whether at the paper's scale."""

    folder: Path
    runs: int
    is_paper: bool

    def lake(self, n_filters: int) -> Path:
        """A lake of about so many filters, made once."""
        root = self.folder / f"{n_filters}.lake"
        if not (root / "filters").exists():
            say(f"making a lake of {n_filters:,} filters")
            make_paper_lake.make(root, n_filters)
        return root


@dataclass(frozen=True)
class Alone:
    """A task that ran in a process of its own: its seconds, start of Python included, and its peak memory in bytes."""

    seconds: float
    peak: int
    result: object


def in_turn(runs: int, *works: Work) -> list[list[float]]:
    """Seconds of each of `works`, run in turn, so that what disturbs the machine meets all alike, after one run more."""
    times: list[list[float]] = [[] for _ in works]
    for run in range(runs + 1):
        for work, own in zip(works, times, strict=True):
            begin = time.perf_counter()
            work()
            if run:
                own.append(time.perf_counter() - begin)
    return times


def ratio(own: Sequence[float], other: Sequence[float]) -> float:
    """Median of the ratios run by run."""
    return median(a / b for a, b in zip(own, other, strict=True))


def alone(task: str, *arguments: object) -> Alone:
    """Run a function of `bench.tasks` in a process of its own."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "bench.tasks", task, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begin
    answer = json.loads(done.stdout.splitlines()[-1])
    return Alone(seconds, answer["peak"], answer["result"])


def peak_memory() -> int:
    """The most memory that this process has held so far, in bytes (getrusage would count its parent's too)."""
    return status("VmHWM")


def status(name: str) -> int:
    """A size that the kernel keeps of this process, in bytes."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def files_of(root: Path) -> list[Path]:
    """The files of filters of a lake."""
    return [commit.file for commit in Lake(root).commits()]


def read_through(files: Iterable[Path]) -> int:
    """Read files from beginning to end; the bytes that they have."""
    size = 0
    buffer = bytearray(BLOCK)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while read := file.readinto(buffer):
                size += read
    return size


def forget(files: Iterable[Path]) -> None:
    """Let the operating system drop files from its cache, so that the next reading is from the disk."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def say(what: str) -> None:
    """Tell the person who waits."""
    print(f"bench: {what}", file=sys.stderr, flush=True)


def millions(amount: float, seconds: Sequence[float]) -> str:
    """Speed as `12.3 M/s`, by the median."""
    return f"{amount / median(seconds) / 1e6:.1f} M/s"


def milliseconds(seconds: Sequence[float]) -> str:
    return f"{1000 * median(seconds):.1f} ms"


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB"

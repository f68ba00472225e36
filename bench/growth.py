"""Targets 7 and 8: the way of the paper's notebooks on the same filters, and what grows with their number."""

from collections.abc import Iterator
from math import log
from pathlib import Path

from bench import authors
from bench.measure import Alone, Finding, Setting, alone, files_of, forget, gigabytes, say

SIZES = {False: (1_000_000, 10_000_000), True: (1_000_000, 10_000_000, 100_000_000, 995_381_344)}
COMPARED = {False: (10_000_000,), True: (10_000_000, 100_000_000)}
TASKS = {"pca": "PCA by a scan of cold files", "kl": "KL of robust and normal, basis and histograms, cold files"}


def measure(setting: Setting) -> Iterator[Finding]:
    for n_filters in COMPARED[setting.is_paper]:
        yield from _compare(setting, n_filters)
    for task, what in TASKS.items():
        yield from _grow(setting, task, what)


def _compare(setting: Setting, n_filters: int) -> Iterator[Finding]:
    root, file = setting.lake(n_filters), setting.folder / "filters.h5"
    say(f"the authors' way on {n_filters:,} filters")
    authors.export(root, file)
    theirs, ours = _cold([file], "authors", file), _cold(files_of(root), "kl", root)
    file.unlink()
    times, memory = theirs.seconds / ours.seconds, theirs.peak / ours.peak
    size = f"{n_filters / 1e6:.0f} M filters, cold files, whole processes"
    beside = f"the authors' way: {theirs.seconds:.1f} s, {gigabytes(theirs.peak)}"
    figures = f"{ours.seconds:.1f} s", beside, f"{times:.1f} × as fast", "≥ 10 ×"
    yield Finding(7, f"KL of robust and normal, {size}", *figures, times >= 10)
    figures = gigabytes(ours.peak), beside, f"{memory:.1f} × less", "≥ 20 ×"
    yield Finding(7, f"peak memory of it, {size}", *figures, memory >= 20)


def _cold(files: list[Path], task: str, argument: Path) -> Alone:
    forget(files)
    return alone(task, argument)


def _grow(setting: Setting, task: str, what: str) -> Iterator[Finding]:
    before: tuple[int, float] | None = None
    for n_filters in SIZES[setting.is_paper]:
        root = setting.lake(n_filters)
        found = _cold(files_of(root), task, root)
        n, seconds = found.result["n_filters"], found.result["seconds"]
        beside, slope, is_met = "", "", found.peak <= 3e9
        if before is not None:
            exponent = log(seconds / before[1]) / log(n / before[0])
            slope, is_met = f"exponent {exponent:.2f}", is_met and exponent <= 1.05
        figure = f"{seconds:.2f} s, {n / seconds / 1e6:.1f} M/s, peak {gigabytes(found.peak)}"
        yield Finding(8, f"{what}, {n / 1e6:,.0f} M filters", figure, beside, slope, "≤ 1.05, ≤ 3 GB", is_met)
        before = n, seconds

"""Measure filterdb and write what came: bench/RESULTS.md, or with --paper bench/RESULTS-paper.md.

    python -m bench [--paper] [--only NAME …] [--folder DIR] [--runs N]

Ratios are of runs in turn in the same process or on the same files; they hold better than seconds do.
"""

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench import answers, footprint, growth, ingestion, scans
from bench.measure import Finding, Setting, say

PARTS = {"scans": scans, "answers": answers, "ingestion": ingestion, "growth": growth, "footprint": footprint}
DISK = {False: 8e9, True: 55e9}
HEADINGS = {
    1: "Scan: structure",
    2: "Scan: divergence",
    3: "Layer-level answers from summaries",
    4: "Divergence on a registered basis",
    5: "Ingestion",
    6: "Report",
    7: "Beside the authors' way",
    8: "Growth",
    9: "Bytes",
    10: "Start",
}
ONCE = {6, 7, 8, 9}
"""Whole processes, and sizes."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--paper", action="store_true", help="at the paper's scale: half an hour and 55 GB of disk")
    parser.add_argument(
        "--only", nargs="*", choices=PARTS, default=list(PARTS), help="some parts; what else the page holds stays"
    )
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where lakes are written")
    parser.add_argument("--runs", type=int, default=5, help="how often each measurement is taken")
    asked = parser.parse_args()
    free = shutil.disk_usage(asked.folder).free
    if free < DISK[asked.paper]:
        sys.exit(
            f"{asked.folder} has {free / 1e9:.0f} GB free, {DISK[asked.paper] / 1e9:.0f} are needed: name a --folder"
        )
    with tempfile.TemporaryDirectory(dir=asked.folder, prefix="filterdb-bench-") as folder:
        setting = Setting(Path(folder), asked.runs, asked.paper)
        found = [finding for part in asked.only for finding in _measured(part, setting)]
    out = Path(__file__).with_name("RESULTS-paper.md" if asked.paper else "RESULTS.md")
    sections = _kept(out) | dict(_sections(found, setting))
    out.write_text("\n".join([*_head(setting), *(sections[key] for key in HEADINGS if key in sections)]), "utf-8")
    say(f"written: {out}")


def _measured(part: str, setting: Setting) -> Iterator[Finding]:
    say(part)
    for finding in PARTS[part].measure(setting):
        say("   ".join(filter(None, (finding.work, finding.figure, finding.beside, finding.ratio, _verdict(finding)))))
        yield finding


def _head(setting: Setting) -> Iterator[str]:
    scale = "at the paper's scale" if setting.is_paper else "at small sizes"
    yield f"# What filterdb does, {scale}\n"
    yield f"{_machine()} Two threads; written by `python -m bench`.\n"


def _kept(page: Path) -> dict[int, str]:
    """The sections of an earlier page, by target."""
    parts = page.read_text("utf-8").split("\n## ")[1:] if page.exists() else []
    by_heading = {part.splitlines()[0]: f"## {part.rstrip()}\n" for part in parts}
    return {target: by_heading[heading] for target, heading in HEADINGS.items() if heading in by_heading}


def _sections(found: Iterable[Finding], setting: Setting) -> Iterator[tuple[int, str]]:
    when = f"{datetime.now(UTC):%Y-%m-%d}, load {os.getloadavg()[1]:.1f}"
    for target in HEADINGS:
        how = "each measured once" if target in ONCE else f"times are medians of at least {min(setting.runs, 3)} runs"
        rows = [
            f"| {one.work} | {one.figure} | {one.beside} | {one.ratio} | {one.goal} | {_verdict(one)} |"
            for one in found
            if one.target == target
        ]
        if rows:
            table = ["| work | filterdb | beside | ratio | goal | |", "|---|---|---|---|---|---|", *rows]
            yield target, "\n".join([f"## {HEADINGS[target]}\n", f"{when}; {how}.\n", *table]) + "\n"


def _verdict(finding: Finding) -> str:
    return {True: "met", False: "missed", None: ""}[finding.is_met]


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "pyarrow", "numpy", "numba"))
    return f"{os.cpu_count()} cores, {memory:.0f} GiB; Python {platform.python_version()}, {packages}."


if __name__ == "__main__":
    main()

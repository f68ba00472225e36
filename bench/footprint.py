"""Targets 9 and 10: bytes on disk, and how long a command takes to begin."""

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench import publish_profiles
from bench.measure import Finding, Setting, files_of, in_turn
from bench.scans import SMALL

COMMANDS = {("--help",): 0.25, ("sql", "select 1"): 0.5}


def measure(setting: Setting) -> Iterator[Finding]:
    root = setting.lake(SMALL)
    files = files_of(root)
    with tempfile.TemporaryDirectory(dir=setting.folder) as temporary:
        written = publish_profiles.write_all(files[-3:], Path(temporary))
        sizes = {name: publish_profiles.bytes_per_filter(paths) for name, paths in written.items()}
    own = publish_profiles.bytes_per_filter(files)
    yield Finding(9, "bytes per filter in a lake, all columns", f"{own:.2f} B", goal="≤ 41 B", is_met=own <= 41)
    viewer = sizes.pop("profile viewer")
    best = min(sizes, key=sizes.get)
    times, other = viewer / sizes[best], f"{best}: {sizes[best]:.2f} B"
    yield Finding(9, "publish --for viewer", f"{viewer:.2f} B", other, f"{times:.3f} ×", "≤ 1.02 ×", times <= 1.02)
    yield from _beginnings(root, setting.runs)


def _beginnings(root: Path, runs: int) -> Iterator[Finding]:
    def run(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "filterdb", "--lake", str(root), *words], check=True, capture_output=True)

    python, *commands = in_turn(
        max(runs, 7),
        lambda: subprocess.run([sys.executable, "-c", ""], check=True),
        *(lambda words=words: run(*words) for words in COMMANDS),
    )
    beside = f"python -c '': {median(python):.2f} s"
    for (words, goal), times in zip(COMMANDS.items(), commands, strict=True):
        name, seconds = shlex.join(("filterdb", *words)), median(times)
        yield Finding(10, name, f"{seconds:.2f} s", beside, goal=f"≤ {goal} s", is_met=seconds <= goal)

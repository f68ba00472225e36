"""Is this installation sound? Packages, extras, compiled loops, places to write, and a trial lake."""

import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from platform import platform, python_version

from filterdb.resources import cache_directory

REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?(?:>=([\d.]+))?[^;]*(?:; *extra == ['\"](\w+)['\"])?")
BUNDLE = "all"


class Status(StrEnum):
    """How a check came out: as it should be, possible without, or wrong."""

    OK = "ok"
    ABSENT = "absent"
    WRONG = "wrong"


@dataclass(frozen=True)
class Check:
    """One thing looked at, what was found, and what to do about it."""

    subject: str
    status: Status
    found: str


def examine() -> Iterator[Check]:
    """Look at everything, one Check after the other. Cost: a few seconds."""
    yield Check("python", Status.OK, f"{python_version()} on {platform()}")
    yield from packages()
    for subject, look in (
        ("compiled loops", _loops),
        ("cache", lambda: _writable(cache_directory())),
        ("temporary files", lambda: _writable(Path(tempfile.gettempdir()))),
        ("trial lake", _trial),
    ):
        yield _looked_at(subject, look)


def packages() -> Iterator[Check]:
    """What filterdb needs, and what its extras need, against what is installed."""
    try:
        requirements = [REQUIREMENT.match(line).groups() for line in metadata.requires("filterdb") or []]
    except metadata.PackageNotFoundError:
        yield Check("filterdb", Status.WRONG, "is not installed: pip install filterdb")
        return
    yield Check("filterdb", Status.OK, metadata.version("filterdb"))
    for name, least, extra in requirements:
        if extra != BUNDLE:
            yield _package(name, least, extra)


def _package(name: str, least: str | None, extra: str | None) -> Check:
    remedy = f"pip install 'filterdb[{extra}]'" if extra else f"pip install --upgrade {name}"
    subject = f"{name} (extra {extra})" if extra else name
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(subject, Status.ABSENT if extra else Status.WRONG, f"not installed: {remedy}")
    if least and _numbers(version) < _numbers(least):
        return Check(subject, Status.WRONG, f"{version}, at least {least} is needed: {remedy}")
    return Check(subject, Status.OK, version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.match(r"[\d.]*", version).group().split(".") if number)


def _looked_at(subject: str, look: Callable[[], tuple[Status, str]]) -> Check:
    try:
        return Check(subject, *look())
    except Exception as error:  # whatever is wrong with an installation is what was asked for
        return Check(subject, Status.WRONG, f"{type(error).__name__}: {error}")


def _loops() -> tuple[Status, str]:
    """The compiled loops against their numpy twins, on random filters."""
    import numpy as np

    from filterdb.analysis import plain

    try:
        from filterdb.analysis import compiled
    except ImportError:
        return Status.ABSENT, "numpy is used instead: pip install 'filterdb[fast]'"
    rows = np.random.default_rng(0).normal(size=(4096, 9)).astype(np.float32)
    ours, twin = compiled.row_maxima(rows), plain.row_maxima(rows)
    if not np.array_equal(ours, twin):
        return Status.WRONG, "compiled loops and numpy differ: pip install --upgrade numba"
    return Status.OK, f"numba {metadata.version('numba')}, the same as numpy"


def _writable(directory: Path) -> tuple[Status, str]:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory):
        return Status.OK, f"{directory} can be written to"


def _trial() -> tuple[Status, str]:
    """A network goes into a lake, the lake is verified, and asked for the structure of its filters."""
    import numpy as np

    from filterdb.lake.lake import Lake
    from filterdb.lake.verify import verify
    from filterdb.lake.writer import write_network
    from filterdb.network import Facts, Layer, Network
    from filterdb.query.database import Database

    filters = np.random.default_rng(0).normal(size=(64, 9)).astype(np.float32)
    layer = Layer(name="trial", n_filters=64, read=lambda: filters, in_channels=8, out_channels=8)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "trial.lake"
        write_network(Lake.create(root), Network(Facts(model="trial", source="local", name="trial"), (layer,)))
        damage = verify(root).damage
        with Database(root) as database:
            n_filters = database.split("w4 > -1e9").pca().n
    if damage or n_filters != 64:
        return Status.WRONG, f"{n_filters} of 64 filters came back; {'; '.join(map(str, damage)) or 'no damage'}"
    return Status.OK, "written, verified and asked"

"""Many networks into one lake: each on its own, so that one that fails stops none of the others."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filterdb.errors import FilterdbError, IntegrityError, LakeError
from filterdb.lake.compact import MANY, compact
from filterdb.lake.lake import Lake
from filterdb.lake.log import exists
from filterdb.lake.writer import write_failures, write_network, write_pairs
from filterdb.memory import threads_within
from filterdb.network import Job, Network

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Report:
    """What became of one network: written, unchanged, replaced or failed (and then why)."""

    model: str
    outcome: str
    n_layers: int = 0
    n_filters: int = 0
    n_skips: int = 0
    error: FilterdbError | None = None


def ingest(
    root: Path,
    jobs: Iterable[Job],
    *,
    replace: bool = False,
    threads: int = 2,
    memory_limit: int | None = None,
    progress: Progress = lambda model, done, total: None,
    pairs: Sequence[dict[str, object]] = (),
) -> Iterator[Report]:
    """Load and write every job in turn, a report for each.

    The lake in `root` is made, if need be, when the first network has loaded. `pairs` are rows of the
    table `pairs`; each shows once both its networks are there. A network that fails is recorded in
    `skips` and the next one is taken; LakeError or IntegrityError, about the lake itself, end it all.
    `memory_limit` (bytes) leaves fewer threads to networks of large layers. At the end, small tables of
    many files are compacted. `progress` is called with the model and its filters written so far and in all.
    """
    lake: Lake | None = Lake(root) if exists(root / "filters") else None
    failed: list[Report] = []
    for job in jobs:
        try:
            network = job.load()
            with _lake_errors(root):
                lake = lake or Lake.create(root)
                yield _write(lake, network, replace, _threads(network, threads, memory_limit), progress)
        except (LakeError, IntegrityError):
            raise  # about the lake: other networks would fare no better
        except FilterdbError as error:
            failed.append(Report(job.model, "failed", error=error))
            yield failed[-1]
    if lake is not None:
        with _lake_errors(root):
            write_pairs(lake, pairs)
            write_failures(lake, [(report.model, str(report.error)) for report in failed])
            compact(lake, at_least=MANY)


@contextmanager
def _lake_errors(root: Path) -> Iterator[None]:
    """A full or read-only disk as one clear line."""
    try:
        yield
    except OSError as error:
        raise LakeError(
            f"cannot write to {root}: {error.strerror or error}; finished networks are kept, run the same command "
            "again to go on"
        ) from error


def _threads(network: Network, threads: int, memory_limit: int | None) -> int:
    if memory_limit is None:
        return threads
    largest = max((layer.n_filters for layer in network.layers), default=0)
    return threads_within(memory_limit, 36 * largest, threads)


def _write(lake: Lake, network: Network, replace: bool, threads: int, progress: Progress) -> Report:
    model = network.facts.model
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        progress(model, done, network.n_filters)

    progress(model, 0, network.n_filters)
    outcome = write_network(lake, network, replace=replace, threads=threads, progress=advance)
    return Report(model, outcome.value, len(network.layers), network.n_filters, len(network.skips))

"""What all ingest commands do with their networks: plan them, or write them and say what became of each."""

import os
from collections.abc import Iterable, Iterator, Sequence

from filterdb.cli import complain
from filterdb.cli.ingest import plan
from filterdb.cli.ingest.options import Request
from filterdb.cli.progress import Reporter
from filterdb.errors import FilterdbError
from filterdb.network import Job, Network

PART_FAILED = 3
REPORT_COLUMNS = ("model", "outcome", "n_layers", "n_filters", "n_skips")


def run(
    request: Request,
    jobs: Iterable[Job],
    reporter: Reporter | None = None,
    pairs: Sequence[dict[str, object]] = (),
) -> int:
    """Plan or ingest `jobs` and print a row for each; return the exit code."""
    if request.dry_run:
        return _plan(request, jobs, reporter or Reporter())
    return _ingest(request, jobs, reporter or Reporter(), pairs)


def _plan(request: Request, jobs: Iterable[Job], reporter: Reporter) -> int:
    failures: list[tuple[str, FilterdbError]] = []
    with reporter:
        networks = list(_planned(jobs, reporter, failures))
    if failures and not networks:
        raise failures[0][1]
    plan.show(networks, request.out)
    return _say(failures)


def _planned(jobs: Iterable[Job], reporter: Reporter, failures: list) -> Iterator[Network]:
    for job in jobs:
        reporter.begin(job.model)
        try:
            yield job.planned()
        except FilterdbError as error:
            failures.append((job.model, error))


def _ingest(request: Request, jobs: Iterable[Job], reporter: Reporter, pairs: Sequence[dict[str, object]]) -> int:
    from filterdb.lake.ingestion import ingest
    from filterdb.query.registration import extend

    workers = request.workers or os.cpu_count() or 1
    with reporter:
        reports = list(
            ingest(
                request.root,
                jobs,
                replace=request.replace,
                threads=workers,
                memory_limit=request.memory_limit,
                progress=reporter.filters,
                pairs=pairs,
            )
        )
        if any(report.error is None for report in reports):
            extend(request.root, threads=workers)
    failures = [(report.model, report.error) for report in reports if report.error is not None]
    if len(failures) == len(reports) == 1:
        raise failures[0][1]
    request.out.records([{name: getattr(report, name) for name in REPORT_COLUMNS} for report in reports])
    return _say(failures)


def _say(failures: Sequence[tuple[str, FilterdbError]]) -> int:
    for model, error in failures:
        complain(f"{model}: {error}")
    return PART_FAILED if failures else 0

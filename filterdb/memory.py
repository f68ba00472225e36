"""Limits on memory: what their text means, and how many threads fit into one."""

import re

from filterdb.errors import UsageError

SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT])(i?)B", re.IGNORECASE)
POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}
MOST = 2**63
# What an ingestion needs beside the checkpoint that it reads, measured with layers of 9 to 144 MB on 1 to 4 threads:
BASE = 540 * 10**6  # bytes for the program and its compiler, row groups, and what is not written yet
LAYERS_BASE, LAYERS_PER_THREAD = 1.1, 1.6  # times the largest layer, in all and for each thread


def size(limit: str) -> int:
    """The bytes that `2GB`, `1.5 GiB` or `300mb` mean; UsageError for anything else."""
    match = SIZE.fullmatch(limit.strip())
    if match is None:
        raise UsageError(f"memory limit {limit!r}: write a number and KB, MB, GB or TB, e.g. 2GB")
    number, power, binary = match.groups()
    size = float(number) * (1024 if binary else 1000) ** POWERS[power.upper()]
    if size >= MOST:
        raise UsageError(f"memory limit {limit[:60]!r}: no machine has as much")
    return int(size)


def threads_within(limit: int, largest_layer: int, threads: int) -> int:
    """How many of `threads` can work on layers of up to `largest_layer` bytes (float32) within `limit` bytes.

    UsageError if not even one can.
    """
    room = (limit - BASE) / max(largest_layer, 1)
    fitting = int((room - LAYERS_BASE) / LAYERS_PER_THREAD)
    if fitting < 1:
        needed = BASE + (LAYERS_BASE + LAYERS_PER_THREAD) * largest_layer
        raise UsageError(
            f"a layer of {largest_layer / 1e6:,.0f} MB needs a memory limit of at least {needed / 1e6:,.0f}MB; "
            f"it is {limit / 1e6:,.0f}MB"
        )
    return min(threads, fitting)

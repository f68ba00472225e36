"""Ctrl-C while DuckDB works: it does not look out for signals, so a thread does and tells it to stop."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filterdb.query.database import Database


@contextmanager
def interruptible(database: "Database") -> Iterator["Database"]:
    """Within the block, Ctrl-C ends the queries of `database`; KeyboardInterrupt follows as usual."""
    if threading.current_thread() is not threading.main_thread():  # which alone learns of signals
        yield database
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread = threading.Thread(target=_watch, args=(reader, database), daemon=True)
    thread.start()
    try:
        yield database
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)
        thread.join()
        os.close(reader)


def _watch(reader: int, database: "Database") -> None:
    while received := os.read(reader, 1):
        if received[0] == signal.SIGINT:
            database.interrupt()

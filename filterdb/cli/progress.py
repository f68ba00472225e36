"""Progress of long work, on stderr."""

from types import TracebackType
from typing import Any


class Reporter:
    """One bar for the network under way: bytes as they are downloaded, filters as they are written.

    Silent where stderr is no terminal.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()]
        console = Console(stderr=True)
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("loading", total=None)

    def begin(self, what: str, total: int | None = None) -> None:
        """Something new is under way."""
        self._progress.reset(self._task, description=what, total=total)

    def advance(self, amount: int) -> None:
        """It has come `amount` further."""
        self._progress.advance(self._task, amount)

    def reach(self, amount: int) -> None:
        """It has come to `amount`."""
        self._progress.update(self._task, completed=amount)

    def download(self, size: int) -> None:
        """`size` more bytes have come."""
        task = self._progress.tasks[0]
        megabytes = task.fields.get("megabytes", 0.0) + size / 1e6
        self._progress.update(self._task, description=f"downloading, {megabytes:,.1f} MB", megabytes=megabytes)

    def filters(self, model: str, done: int, total: int) -> None:
        """`done` of `total` filters of `model` are written."""
        self._progress.update(self._task, description=model, completed=done, total=total, megabytes=0.0)

    def __enter__(self) -> "Reporter":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

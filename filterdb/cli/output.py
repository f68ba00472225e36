"""Results on stdout or into a file: table, json, jsonl, csv or parquet."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from uuid import uuid4

from filterdb.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

    from filterdb.query.database import Database

TABLE_ROWS = 1000
BATCH = 10_000


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@dataclass(frozen=True)
class Output:
    """Where and how a command's result goes."""

    format: Format = Format.TABLE
    file: Path | None = None

    def query(self, database: "Database", text: str, params: Mapping[str, object] | None = None) -> None:
        """Write the rows of a query, batch by batch."""
        if self.format is not Format.PARQUET:
            return self._rows(*database.stream(text, params))
        import pyarrow.parquet as pq

        with database.explained():
            reader = database.sql(text, params).to_arrow_reader(BATCH)
            with self._parquet_file() as path, pq.ParquetWriter(path, reader.schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)
        return None

    def frame(self, frame: "pl.DataFrame") -> None:
        """Write the rows of a polars frame."""
        if self.format is Format.PARQUET:
            with self._parquet_file() as path:
                frame.write_parquet(path)
        else:
            self._rows(frame.columns, frame.iter_rows())

    def records(self, records: Sequence[dict[str, Any]]) -> None:
        """Write rows given as dictionaries with the same keys."""
        if self.format is Format.PARQUET:
            import polars as pl

            return self.frame(pl.DataFrame(records, infer_schema_length=None))
        columns = list(records[0]) if records else []
        return self._rows(columns, (tuple(record.values()) for record in records))

    def document(self, document: dict[str, Any]) -> None:
        """Write one JSON object."""
        with self._stream() as stream:
            json.dump(_jsonable(document), stream, ensure_ascii=False, indent=2)
            stream.write("\n")

    def _rows(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        write = {Format.TABLE: _table, Format.JSON: _json, Format.JSONL: _jsonl, Format.CSV: _csv}[self.format]
        with self._stream() as stream:
            write(columns, rows, stream)

    @contextmanager
    def _stream(self) -> Iterator[TextIO]:
        if self.file is None:
            yield sys.stdout
        else:
            with _whole(self.file) as path, path.open("w", encoding="utf-8", newline="") as stream:
                yield stream

    def _parquet_file(self) -> AbstractContextManager[Path]:
        if self.file is None:
            raise UsageError("--format parquet needs a file: add -o FILE")
        return _whole(self.file)


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """A path to write to that takes the place of `file` when the block ends, and is removed where it fails.

    What is no regular file, such as a pipe, is written to as it is.
    """
    if file.exists() and not file.is_file():
        yield file
        return
    temporary = file.resolve().with_name(f".{uuid4().hex}.tmp")
    try:
        temporary.touch()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error
    try:
        yield temporary
        temporary.replace(file.resolve())
    finally:
        temporary.unlink(missing_ok=True)


def _json(columns: Sequence[str], rows: Iterable[Sequence[Any]], stream: TextIO) -> None:
    stream.write("[")
    for number, row in enumerate(rows):
        stream.write(",\n " if number else "\n ")
        json.dump(_record(columns, row), stream, ensure_ascii=False)
    stream.write("\n]\n")


def _jsonl(columns: Sequence[str], rows: Iterable[Sequence[Any]], stream: TextIO) -> None:
    for row in rows:
        json.dump(_record(columns, row), stream, ensure_ascii=False)
        stream.write("\n")


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]], stream: TextIO) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(json.dumps(_jsonable(v)) if isinstance(v, list | dict | tuple) else v for v in row)


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]], stream: TextIO) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown, more = [], 0
    for row in rows:
        if len(shown) < TABLE_ROWS:
            shown.append(row)
        else:
            more += 1
    for number, column in enumerate(columns):
        numeric = any(isinstance(row[number], int | float) and not isinstance(row[number], bool) for row in shown)
        table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    for row in shown:
        table.add_row(*map(_cell, row))
    console = Console(file=io.StringIO(), width=10_000, highlight=False, markup=False, emoji=False)
    console.print(table)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    stream.write("\n".join(filter(None, lines)) + "\n")
    if more:
        print(f"… {more:,} more rows: use LIMIT, or another --format", file=sys.stderr)


def _cell(value: Any) -> str:
    if isinstance(value, float | Decimal):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_cell, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_cell(v)}" for key, v in value.items()) + "}"
    return "" if value is None else str(value)


def _record(columns: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return {column: _jsonable(value) for column, value in zip(columns, row, strict=True)}


def _jsonable(value: Any) -> Any:
    """`value` as JSON can hold it: NaN and infinities become null, dates ISO 8601, anything else text."""
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {str(key): _jsonable(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)

"""Parquet for two kinds of reader, and the proof that a file suits them.

`analysis` files are read whole, from disk: floats as they are, large row groups. `viewer` files are
read in pieces, over the network: floats split by byte and compressed, small row groups.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from filterdb.errors import IntegrityError, UsageError
from filterdb.publish.names import Profile

FLOATING = {"FLOAT", "DOUBLE"}
KEYS = {"w0": "layer", "path": "path", "model": "model", "robust_model": "robust_model"}
"""A file that has the column on the left is sorted by that on the right; the first that fits counts."""
COMPRESSION_LEVEL = 3


ROW_GROUP_ROWS = {Profile.ANALYSIS: 524_288, Profile.VIEWER: 65_536}
ROW_GROUP_BYTES = {Profile.ANALYSIS: 64_000_000, Profile.VIEWER: 8_000_000}
"""Largest uncompressed row group of each profile."""


@dataclass(frozen=True)
class Examination:
    """What one Parquet file is like; sizes in bytes, row groups uncompressed; encodings and compression of floats."""

    file: str
    is_filters: bool
    rows: int
    bytes: int
    row_groups: int
    largest_row_group: int
    encodings: tuple[str, ...]
    compression: tuple[str, ...]
    dictionary_on_floats: bool
    statistics: bool
    page_index: bool
    sorted_by: str | None

    @property
    def bytes_per_row(self) -> float:
        return self.bytes / self.rows if self.rows else 0.0

    def record(self, profile: Profile) -> dict[str, object]:
        """A row about the file, with what makes it unfit for `profile`."""
        return {
            "file": self.file,
            "rows": self.rows,
            "bytes_per_row": round(self.bytes_per_row, 2),
            "row_groups": self.row_groups,
            "largest_row_group": self.largest_row_group,
            "encodings": ", ".join(self.encodings),
            "compression": ", ".join(self.compression),
            "page_index": self.page_index,
            "sorted_by": self.sorted_by,
            "problems": "; ".join(self.problems(profile)),
        }

    def problems(self, profile: Profile) -> list[str]:
        """What makes the file unfit for `profile`; nothing if it is fit. Small tables are fit for both or neither."""
        limit = ROW_GROUP_BYTES[profile]
        analysis = self.is_filters and profile is Profile.ANALYSIS
        viewer = self.is_filters and profile is Profile.VIEWER
        found = {
            f"a row group of {self.largest_row_group:,} bytes; {limit:,} at most": self.largest_row_group > limit,
            "dictionary pages on floats": self.dictionary_on_floats,
            "no statistics": not self.statistics,
            "no page index": not self.page_index,
            "not sorted": self.rows > 0 and self.sorted_by is None,
            "floats compressed": analysis and self.compression != ("UNCOMPRESSED",),
            "floats not split by byte": viewer and self.encodings != ("BYTE_STREAM_SPLIT",),
        }
        return [text for text, is_so in found.items() if is_so]


def write(file: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write `tables`, one row group each, for viewers, with the metadata of `schema`. Same rows, same bytes."""
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    key = sort_key(schema.names)
    file.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(
        file,
        schema,
        use_dictionary=[field.name for field in schema if field.name not in floats],
        use_byte_stream_split=floats,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        write_page_index=True,
        store_schema=False,
        sorting_columns=pq.SortingColumn.from_ordering(schema, [(key, "ascending")]) if key else None,
    ) as writer:
        writer.add_key_value_metadata(schema.metadata or {})
        for table in tables:
            writer.write_table(table, row_group_size=max(1, table.num_rows))


def rewrite(source: Path, target: Path) -> None:
    """The rows of `source`, written for viewers."""
    with pq.ParquetFile(source) as file:
        write(target, _pieces(file), file.schema_arrow)


def sort_key(names: Iterable[str]) -> str | None:
    """The column by which a table with the columns `names` is sorted."""
    known = set(names)
    return next((key for column, key in KEYS.items() if column in known and key in known), None)


def examine(path: Path) -> list[Examination]:
    """Look at one file, or at all below a directory; UsageError if there is none."""
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise UsageError(f"{path}: no Parquet file there")
    return [_examine(file) for file in files]


def _examine(file: Path) -> Examination:
    try:
        with pq.ParquetFile(file) as opened:
            return _describe(file, opened)
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(f"{file}: cannot be read as Parquet: {error}") from error


def _describe(file: Path, opened: pq.ParquetFile) -> Examination:
    metadata = opened.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    floats = [chunk for chunk in chunks if chunk.physical_type in FLOATING]
    return Examination(
        file=str(file),
        is_filters="w0" in opened.schema_arrow.names,
        rows=metadata.num_rows,
        bytes=file.stat().st_size,
        row_groups=len(groups),
        largest_row_group=max((group.total_byte_size for group in groups), default=0),
        encodings=tuple(sorted({name for chunk in floats for name in chunk.encodings} - {"RLE"})),
        compression=tuple(sorted({chunk.compression for chunk in floats})),
        dictionary_on_floats=any(chunk.has_dictionary_page for chunk in floats),
        statistics=all(chunk.is_stats_set for chunk in chunks),
        page_index=all(chunk.has_offset_index and chunk.has_column_index for chunk in chunks),
        sorted_by=_proven_order(opened),
    )


def _proven_order(opened: pq.ParquetFile) -> str | None:
    """The key column, if its values really never fall."""
    key = sort_key(opened.schema_arrow.names)
    if key is None:
        return None
    last = None
    for batch in opened.iter_batches(columns=[key]):
        values = batch.column(0)
        if last is not None:
            values = pa.concat_arrays([last, values])
        if not pc.all(pc.less_equal(values[:-1], values[1:]), min_count=0).as_py():
            return None
        last = values[-1:]
    return key


def _pieces(file: pq.ParquetFile) -> Iterator[pa.Table]:
    """Parts of row groups small enough for viewers; none spans two."""
    rows = ROW_GROUP_ROWS[Profile.VIEWER]
    for number in range(file.num_row_groups):
        group = file.read_row_group(number)
        for start in range(0, group.num_rows, rows):
            yield group.slice(start, rows)

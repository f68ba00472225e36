"""Filters that already lie in a table: Parquet or CSV, one row per filter, any number of networks.

Columns: `model`, `dataset`, `robust` and `w0` … `w8` (row-major, w4 the centre) are needed. Known besides:
every fact of a network (`architecture`, `clean_accuracy`, …), the layer (`layer` or `layer_row`, `name`), its
facts (`conv_depth`, `depth`, `depth_decile`, `groups`, `stride`, `dilation`, `in_channels` per group and
`out_channels`), and the filter's place in it (`out_channel` and `in_channel`, or `filter_ix`). What is empty
or not there stays unknown. Facts must agree in all rows of a network or layer. Other columns are ignored.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl

from filterdb.errors import SourceError
from filterdb.extraction.depth import depth_decile, relative_depth
from filterdb.network import Facts, Layer, Network, Skip

Reader = Callable[[object], object]

WEIGHTS = tuple(f"w{position}" for position in range(9))
REQUIRED = ("model", "dataset", "robust", *WEIGHTS)
LAYER_KEYS = ("layer", "layer_row", "name", "conv_depth")
"""What tells the layers of a network apart: the first of these that the table has."""

MODEL = pl.col("model").cast(pl.String)
CHANNELS = ("out_channel", "in_channel")
FILTER_INDEX = ("filter_ix",)
PARQUET_MAGIC = b"PAR1"
FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
DECILES = 10


def networks(path: str | Path) -> Iterator[Network]:
    """The networks of the table at `path`, in order of their first rows; one at a time is in memory.

    A model called `a/b` keeps its id, `b` becomes `local/b`. Layers are in order of `conv_depth` where all have
    one, else of a numeric `layer`, else of their first rows; without any column to tell them apart a network
    is one layer. `depth` and `depth_decile`, unless given, follow from `conv_depth` where all layers have one,
    the largest being taken for the network's last level. `in_channels` and `out_channels` count only where
    the layer is complete. Layers with missing or non-finite weights become skips. A CSV file is read whole.
    Raises SourceError for a file that is no such table and for facts that contradict each other.
    """
    path = Path(path)
    with _readable(path):
        table = _scan(path)
        columns = _known_columns(path, table.collect_schema())
        for model, first, length in _spans(path, table):
            rows = table.slice(first, length).filter(model == MODEL).select(columns)
            yield _network(f"{path}, model {model!r}", model, rows)


def ignored_columns(path: str | Path) -> tuple[str, ...]:
    """The columns of the table at `path` that mean nothing to `networks`."""
    path = Path(path)
    with _readable(path):
        return tuple(name for name in _scan(path).collect_schema().names() if name not in KNOWN)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Damaged Parquet can make polars panic, which is no PolarsError."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{path}: not readable as a Parquet or CSV table: {reason}") from error


def _scan(path: Path) -> pl.LazyFrame:
    with path.open("rb") as file:
        is_parquet = file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    if is_parquet:
        return pl.scan_parquet(path, glob=False, hive_partitioning=False)
    separator = "\t" if path.suffix == ".tsv" else ","
    return pl.read_csv(path, separator=separator, infer_schema_length=None).lazy()


def _known_columns(path: Path, schema: pl.Schema) -> list[str]:
    unknown = [name for name in schema if name not in KNOWN]
    missing = [f"{name}{_hint(name, unknown)}" for name in REQUIRED if name not in schema]
    if missing:
        raise SourceError(f"{path}: it has no column {', '.join(missing)}; needed are model, dataset, robust, w0 … w8")
    for name in WEIGHTS:
        if not schema[name].is_numeric():
            raise SourceError(f"{path}: column {name} holds {schema[name]}, not numbers")
    return [name for name in schema if name in KNOWN]


def _hint(name: str, unknown: Sequence[str]) -> str:
    lowered = {each.lower(): each for each in unknown}
    close = get_close_matches(name, lowered, n=1)
    return f" (did you mean {lowered[close[0]]}?)" if close else ""


def _spans(path: Path, table: pl.LazyFrame) -> Iterator[tuple[str, int, int]]:
    """Per model: its name, its first row, and how many rows lie between that and its last."""
    spans = (
        table.select("model")
        .with_row_index("row")
        .group_by("model")
        .agg(pl.col("row").min().alias("first"), pl.col("row").max().alias("last"))
        .select(MODEL, "first", "last")
        .sort("first")
        .collect(engine="streaming")
    )
    if spans.is_empty():
        raise SourceError(f"{path}: it has no rows")
    if spans["model"].has_nulls():
        raise SourceError(f"{path}: row {spans.filter(pl.col('model').is_null())['first'][0] + 1} names no model")
    if len(set(map(_model_id, spans["model"]))) < len(spans):
        raise SourceError(f"{path}: it has models called both NAME and local/NAME; rename one of them")
    for model, first, last in spans.iter_rows():
        yield model, first, last - first + 1


def _model_id(model: str) -> str:
    return model if "/" in model else f"local/{model}"


def _network(where: str, model: str, table: pl.LazyFrame) -> Network:
    rows = table.collect()
    filters = rows.select(pl.col(WEIGHTS).cast(pl.Float32, strict=False)).to_numpy(order="c")
    rows = rows.drop(WEIGHTS)
    values = {name: rows[name].unique(maintain_order=True).to_list() for name in NETWORK_FACTS if name in rows.columns}
    facts = {name: fact for name, fact in _facts(where, values, NETWORK_FACTS).items() if fact is not None}
    parts = _with_depths(_in_order(list(_parts(where, filters, rows))))
    return Network(
        facts=Facts(model=_model_id(model), source="table", name=model.removeprefix("local/"), **facts),
        layers=tuple(part.layer() for part in parts if part.is_finite()),
        skips=tuple(part.skip() for part in parts if not part.is_finite()),
    )


@dataclass(frozen=True)
class _Part:
    """One layer: its filters (n, 9) float32, their channels, and what the table says of it.

    `key` is what tells it from the others.
    """

    key: object
    facts: dict[str, object]
    filters: np.ndarray
    channels: tuple[np.ndarray, np.ndarray] | None

    def is_finite(self) -> bool:
        return bool(np.isfinite(self.filters).all())

    def layer(self) -> Layer:
        known = self.facts if self._is_complete() else {**self.facts, "in_channels": None, "out_channels": None}
        return Layer(n_filters=len(self.filters), read=lambda: self.filters, channels=self.channels, **known)

    def skip(self) -> Skip:
        return Skip(self.facts["name"] or str(self.key), "3x3", "non-finite weights")

    def _is_complete(self) -> bool:
        return (self.facts["in_channels"] or 0) * (self.facts["out_channels"] or 0) == len(self.filters)


def _parts(where: str, filters: np.ndarray, rows: pl.DataFrame) -> Iterator[_Part]:
    """One part per layer, in order of first rows; within it by channels, or else by filter_ix, where known."""
    key = next((name for name in LAYER_KEYS if name in rows.columns), None)
    order = _order(rows, key)
    if not np.array_equal(order, np.arange(len(order))):
        filters, rows = filters[order], rows[order]
    channels = _channels(rows)
    start = 0
    for layer in _described(rows, key):
        part = slice(start, start + layer["length"])
        facts = _facts(f"{where}, {key} {layer['key']}", layer, LAYER_FACTS)
        yield _Part(layer["key"], facts, filters[part], channels and (channels[0][part], channels[1][part]))
        start = part.stop


def _order(rows: pl.DataFrame, key: str | None) -> np.ndarray:
    """The row numbers that put the rows of each layer together, layers in order of their first rows."""
    first_row = pl.col("row").min().over(key) if key else pl.lit(0)
    places = next((names for names in (CHANNELS, FILTER_INDEX) if set(names) <= set(rows.columns)), ())
    numbered = rows.with_row_index("row").select("row", first_row.alias("first"), *places)
    return numbered.select(pl.arg_sort_by("first", *places, "row")).to_series().to_numpy()


def _described(rows: pl.DataFrame, key: str | None) -> Iterator[dict[str, object]]:
    """Per layer: `key`, `length`, and for each column of facts the list of its different values."""
    facts = [name for name in LAYER_FACTS if name in rows.columns]
    groups = pl.col(key) if key else pl.lit(None)
    layers = rows.group_by(groups.alias("key"), maintain_order=True).agg(
        pl.len().alias("length"), pl.col(facts).unique(maintain_order=True)
    )
    return layers.iter_rows(named=True)


def _channels(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray] | None:
    """Output and input channel per row, int32; None where a row's is unknown."""
    if not set(CHANNELS) <= set(rows.columns) or any(rows[name].has_nulls() for name in CHANNELS):
        return None
    return tuple(rows[name].cast(pl.Int32).to_numpy() for name in CHANNELS)


def _in_order(parts: list[_Part]) -> list[_Part]:
    by_key = all(isinstance(part.key, (int, float)) for part in parts)
    by_depth = all(part.facts["conv_depth"] is not None for part in parts)
    if not (by_key or by_depth):
        return parts
    return sorted(parts, key=lambda part: (part.facts["conv_depth"] if by_depth else 0, part.key if by_key else 0))


def _with_depths(parts: list[_Part]) -> list[_Part]:
    """Depth and decile from conv_depth, where the table gives neither and every layer has a conv_depth."""
    levels = [part.facts["conv_depth"] for part in parts]
    given = any(part.facts["depth"] is not None or part.facts["depth_decile"] is not None for part in parts)
    if given or None in levels:
        return parts
    return [replace(part, facts={**part.facts, **_depth(part.facts["conv_depth"], max(levels) + 1)}) for part in parts]


def _depth(conv_depth: int, levels: int) -> dict[str, float | int]:
    return {"depth": relative_depth(conv_depth, levels), "depth_decile": depth_decile(conv_depth, levels)}


def _facts(where: str, values: Mapping[str, list], kinds: Mapping[str, Reader]) -> dict[str, object]:
    """The one value that each column of `kinds` has among its different `values`; None where there is none."""
    return {name: _fact(f"{where}: column {name}", values.get(name, []), read) for name, read in kinds.items()}


def _fact(where: str, values: list, read: Reader) -> object:
    try:
        different = list(dict.fromkeys(read(value) for value in values if not _is_empty(value)))
    except ValueError as error:
        raise SourceError(f"{where} holds {error}") from error
    if len(different) > 1:
        raise SourceError(f"{where} says both {different[0]!r} and {different[1]!r}; it must be one")
    return different[0] if different else None


def _is_empty(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _flag(value: object) -> bool:
    if str(value).lower() not in FLAGS:
        raise ValueError(f"{value!r}, which is neither true nor false")
    return FLAGS[str(value).lower()]


def _number(value: object) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{value!r}, which is no number")
    return number


def _whole(value: object) -> int:
    number = _number(value)
    if not number.is_integer() or number < 0:
        raise ValueError(f"{value!r}, which is no whole number ≥ 0")
    return int(number)


def _decile(value: object) -> int:
    if _whole(value) > DECILES:
        raise ValueError(f"{value!r}, which is no decile: 0 to {DECILES}")
    return _whole(value)


def _share(value: object) -> float:
    if not 0 <= _number(value) <= 1:
        raise ValueError(f"{value!r}, which is not between 0 and 1")
    return _number(value)


def _weights_kind(value: object) -> str:
    if value not in ("raw", "bn_folded"):
        raise ValueError(f"{value!r}, which is neither raw nor bn_folded")
    return str(value)


READERS = {str: str, bool: _flag, float: _number, int: _whole}
NETWORK_FACTS: dict[str, Reader] = {
    field.name: READERS[get_args(field.type)[0]] for field in fields(Facts) if type(None) in get_args(field.type)
} | {"weights": _weights_kind}
LAYER_FACTS: dict[str, Reader] = {
    "name": str,
    **dict.fromkeys(("in_channels", "out_channels", "groups", "stride", "dilation", "conv_depth"), _whole),
    "depth": _share,
    "depth_decile": _decile,
}
KNOWN = frozenset(("model", *WEIGHTS, *NETWORK_FACTS, *LAYER_KEYS, *LAYER_FACTS, *CHANNELS, *FILTER_INDEX))

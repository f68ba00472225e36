"""README.md of a tree: a Hugging Face dataset card whose tables, numbers and answers are computed."""

import re
from collections.abc import Iterator

from filterdb.publish import licences, markdown, yaml
from filterdb.publish.contents import Contents, Example, Table
from filterdb.publish.metadata import PAPER_ARXIV, PAPER_DATA_DOI, PAPER_TITLE

FEATURES = {
    "VARCHAR": "string",
    "BOOLEAN": "bool",
    "TINYINT": "int8",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "FLOAT": "float32",
    "DOUBLE": "float64",
    "TIMESTAMP": "timestamp[us]",
}
SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")
SUMMARY_COLUMN = re.compile(r"(raw|scaled)_(n|s\d|c\d\d)")
SUMMARIES = (
    ("raw_n, raw_s0 … raw_c88", "DOUBLE", "count, sums, sums of products of the non-sparse filters as they are"),
    ("scaled_n, scaled_s0 … scaled_c88", "DOUBLE", "the same of the filters scaled to [-1, 1]"),
)
TAGS = ("convolutional-neural-networks", "model-weights", "adversarial-robustness", "duckdb", "parquet")

OPENING = """\
DuckDB, with views and macros (or `.read filterdb.sql` in a running one):

```sh
duckdb -init filterdb.sql
```

polars:

```python
import polars as pl

filters = pl.scan_parquet("data/**/*.parquet", hive_partitioning=False)
print(filters.group_by("dataset", "robust").len().collect())
```

pandas:

```python
import pandas as pd

models = pd.read_parquet("meta/models.parquet")
print(models[["model", "dataset", "robust", "n_filters"]])
```

Hugging Face `datasets` (of this folder, or with the name of a repository in its place):

```python
from pathlib import Path

from datasets import load_dataset

layers = load_dataset(str(Path.cwd()), "layers", split="train")
print(layers.select_columns(["model", "layer", "sparsity"])[:3])
```

filterdb (here, at an address, or as `hf://datasets/NAME/NAME`):

```sh
filterdb --lake . pca robust 'NOT robust'
```
"""


def text(contents: Contents) -> str:
    """The whole page."""
    return "\n".join(part.rstrip("\n") + "\n" for part in _parts(contents))


def _parts(contents: Contents) -> Iterator[str]:
    yield f"---\n{front_matter(contents)}---\n"
    yield f"# {contents.metadata.title}\n\n{contents.description}\n"
    yield _origin(contents)
    yield f"## What is in it\n\n{_table_of_tables(contents)}"
    yield f"Version {contents.version}, made from lake version {contents.database.version}. Checksums: SHA256SUMS.\n"
    yield f"## How to open it\n\nFrom within this folder.\n\n{OPENING}"
    yield "## Questions and answers\n\nEach runs after `duckdb -init filterdb.sql`.\n"
    yield from map(_example, contents.examples())
    yield "## Columns\n"
    yield from map(_columns, contents.tables)
    yield _licences(contents)
    yield "## How to cite it\n\nSee CITATION.cff. What is known of its making and its limits: DATASHEET.md.\n"


def front_matter(contents: Contents) -> str:
    """The card's YAML: a configuration for every table, with features and sizes."""
    document = {
        "pretty_name": contents.metadata.title,
        **_licence_tags(contents),
        "size_categories": [_size(contents.counts["filters"])],
        "tags": [*TAGS, f"arxiv:{PAPER_ARXIV}"],
        "configs": [_config(table) for table in contents.tables],
        "dataset_info": [_info(table) for table in contents.tables],
    }
    return yaml.dump(document)


def _config(table: Table) -> dict[str, object]:
    config = {"config_name": table.name, "data_files": table.pattern}
    return config | {"default": True} if table.name == "filters" else config


def _info(table: Table) -> dict[str, object]:
    return {
        "config_name": table.name,
        "features": [{"name": column.name, "dtype": FEATURES[column.sql_type]} for column in table.columns],
        "splits": [{"name": "train", "num_bytes": table.bytes, "num_examples": table.rows}],
        "download_size": table.bytes,
        "dataset_size": table.bytes,
    }


def _licence_tags(contents: Contents) -> dict[str, object]:
    names = [contents.metadata.license, *(name for name, _, _ in contents.licences)]
    ids = list(dict.fromkeys(licences.hub_id(licences.canonical(name)) for name in names))
    if "other" in ids:
        return {"license": "other", "license_name": "per-network", "license_link": "LICENSES.md"}
    return {"license": ids}


def _size(n_filters: int) -> str:
    digits = len(str(n_filters))
    return SIZES[max(0, min(digits - 3, len(SIZES) - 1))]


def _origin(contents: Contents) -> str:
    lines = [
        f"The quantities are those of [{PAPER_TITLE}](https://arxiv.org/abs/{PAPER_ARXIV}); the data set of that paper "
        f"is [{PAPER_DATA_DOI}](https://doi.org/{PAPER_DATA_DOI}).",
        f"Data set: <{contents.metadata.url}>" if contents.metadata.url else "",
        f"Program: <{contents.metadata.repository}>" if contents.metadata.repository else "",
        f"Contact: {contents.metadata.contact}" if contents.metadata.contact else "",
    ]
    return "\n\n".join(filter(None, lines)) + "\n"


def _table_of_tables(contents: Contents) -> str:
    rows = [(table.name, f"`{table.pattern}`", table.rows, table.bytes, table.meaning) for table in contents.tables]
    return markdown.table(("table", "files", "rows", "bytes", "meaning"), rows)


def _example(example: Example) -> str:
    answer = markdown.table(example.columns, example.rows) if example.rows else "No rows.\n"
    more = "\n…\n" if example.is_cut else ""
    return f"### {example.description}\n\n```sql\n{example.sql};\n```\n\n{answer}{more}"


def _columns(table: Table) -> str:
    rows = [
        (f"`{c.name}`", c.sql_type, c.unit, c.meaning) for c in table.columns if not SUMMARY_COLUMN.fullmatch(c.name)
    ]
    if table.name == "layers":
        rows += [(f"`{names}`", kind, "", meaning) for names, kind, meaning in SUMMARIES]
    return f"### {table.name}\n\n{markdown.table(('column', 'type', 'unit', 'meaning'), rows)}"


def _licences(contents: Contents) -> str:
    rows = [(name or licences.UNKNOWN, models, filters) for name, models, filters in contents.licences]
    left_out = f" Networks left out for theirs: {len(contents.left_out):,}." if contents.left_out else ""
    return (
        f"## Licences\n\nThe collection and its measurements: {contents.metadata.license}. The weights keep the "
        f"licence of their network, in the column `license` and in LICENSES.md.{left_out}\n\n"
        + markdown.table(("licence", "networks", "filters"), rows)
    )

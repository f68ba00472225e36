"""The statements behind the analyses, as SQL text that also runs in `filterdb sql` and is shown by --show-sql.

They only compose macros (`schema/macros/`) with a split and the names of columns to group by.
"""

from collections.abc import Sequence

from filterdb.query.names import Definition
from filterdb.query.quoting import identifier, literal

WEIGHTS = ", ".join(f"w{i}" for i in range(9))
BASES = (
    "SELECT *, NOT EXISTS (SELECT * FROM stored.commits WHERE ingest_id NOT IN "
    "(SELECT ingest_id FROM stored.histograms WHERE basis = bases.basis)) AS is_complete "
    "FROM stored.bases ORDER BY name, axis"
)
"""The registered bases, axis by axis, and whether histograms of all networks are kept on them."""
ENTROPY_COLUMN = {Definition.PAPER: "variance_entropy", Definition.PUBLISHED: "variance_entropy_scaled"}


def count_of_layers(split: str) -> str:
    """How many filters and layers a layer-level split holds."""
    return f"SELECT coalesce(sum(n_filters), 0)::BIGINT AS n_filters, count(*) AS n_layers FROM ({split})"


def count_of_filters(split: str) -> str:
    """How many filters a filter-level split holds."""
    return f"SELECT count(*) AS n_filters FROM ({split})"


def moments_of_layers(split: str, by: Sequence[str], *, scaled: bool = True) -> str:
    """Second moments of the non-sparse filters of a layer-level split, from the stored summaries."""
    column = "scaled_moments" if scaled else "raw_moments"
    return _grouped(by, f"merge_moments({column}) AS moments", split)


def moments_of_filters(split: str, by: Sequence[str], *, scaled: bool = True) -> str:
    """Second moments of the non-sparse filters of a filter-level split, from every filter."""
    macro = f"scaled_moments({WEIGHTS}, max_abs)" if scaled else f"raw_moments({WEIGHTS})"
    return _grouped(by, f"{macro} AS moments", f"FROM ({split}) WHERE NOT sparse")


def metrics_of_layers(split: str, by: Sequence[str], definition: Definition) -> str:
    """Quality metrics of a layer-level split: sparsity over all filters, entropy weighted by non-sparse
    filters, orthogonality by output channels, as the paper pools a network's layers in a decile."""
    entropy = ENTROPY_COLUMN[definition]
    values = (
        "sum(n_filters)::BIGINT AS n_filters, "
        "pooled_sparsity(n_sparse, n_filters) AS sparsity, "
        f"weighted_mean({entropy}, n_filters - n_sparse) AS variance_entropy, "
        "weighted_mean(orthogonality, out_channels) AS orthogonality"
    )
    return _grouped(by, values, split)


def metrics_of_filters(split: str, by: Sequence[str], definition: Definition) -> str:
    """The same for a filter-level split: entropy per layer from the filters, no orthogonality."""
    dense = ", ".join(f"CASE WHEN NOT sparse THEN w{i} END" for i in range(9))
    moments = f"scaled_moments({dense}, max_abs)" if definition is Definition.PUBLISHED else f"raw_moments({dense})"
    per_layer = _grouped(
        [*by, *(key for key in ("model", "layer") if key not in by)],
        f"count(*) AS n_filters, count_if(sparse) AS n_sparse, variance_entropy({moments}) AS entropy",
        split,
    )
    values = (
        "sum(n_filters)::BIGINT AS n_filters, "
        "pooled_sparsity(n_sparse, n_filters) AS sparsity, "
        "weighted_mean(entropy, n_filters - n_sparse) AS variance_entropy, "
        "NULL::DOUBLE AS orthogonality"
    )
    return _grouped(by, values, per_layer)


def bins_of_filters(split: str, by: Sequence[str]) -> str:
    """How many filters of a split lie in each bin of each axis of the basis $components, $shifts, $low, $high."""
    bins = f"coefficient_bins({WEIGHTS}, max_abs, $components, $shifts, $low, $high)"
    long = f"SELECT {_list(by)}unnest(range(9)) AS axis, unnest({bins}) AS bin FROM ({split}) WHERE NOT sparse"
    return _grouped([*by, "axis", "bin"], "count(*) AS n", long)


def filters_of_layers(split: str, by: Sequence[str]) -> str:
    """The filters of a layer-level split, with the columns `by` of their layers."""
    own = ("model", "layer", "sparse", "max_abs", *(f"w{i}" for i in range(9)))
    groups = "".join(f"split.{identifier(name)}, " for name in by if name not in own)
    columns = ", ".join(f"filters.{name}" for name in own)
    return f"SELECT {groups}{columns} FROM filters JOIN ({split}) AS split USING (model, layer)"


def rows_of_layers(split: str, by: Sequence[str]) -> str:
    """Where the rows of a layer-level split lie: file, first row and number of rows of each layer."""
    return (
        f"SELECT {_of_split(by)}network.file, place.first_row, place.n_filters {_committed(split, by)} "
        "JOIN stored.layers AS place ON place.ingest_id = network.ingest_id AND place.layer = split._layer"
    )


def histograms_of_layers(split: str, by: Sequence[str], basis: str) -> str:
    """The kept histograms, on the basis of this id, of the layers of a layer-level split."""
    return (
        f"SELECT {_of_split(by)}kept.counts {_committed(split, by)} "
        "JOIN stored.histograms AS kept ON kept.ingest_id = network.ingest_id AND kept.layer = split._layer "
        f"WHERE kept.basis = {literal(basis)}"
    )


def without_histograms(rows_of_layers: str, basis: str) -> str:
    """What `rows_of_layers` selects, without the networks of which histograms are kept on the basis of this id."""
    return (
        f"{rows_of_layers} WHERE network.ingest_id NOT IN "
        f"(SELECT ingest_id FROM stored.histograms WHERE basis = {literal(basis)})"
    )


def rows_without_histograms(basis: str) -> str:
    """Where the rows of all layers lie of which no histograms are kept on the basis of this id."""
    return (
        "SELECT ingest_id, layer, file, first_row, n_filters FROM stored.commits JOIN stored.layers USING (ingest_id) "
        f"WHERE ingest_id NOT IN (SELECT ingest_id FROM stored.histograms WHERE basis = {literal(basis)}) "
        "ORDER BY ingest_id, layer"
    )


def rows_that_meet(condition: str, file: str, facts: Sequence[str]) -> str:
    """The numbers of a file's rows that meet a condition, which may name the columns `facts` of their layers."""
    rows = f"SELECT * FROM read_parquet({literal(file)}, file_row_number = true, hive_partitioning = false)"
    if facts:
        own = f"SELECT layer, {', '.join(map(identifier, facts))} FROM layers"
        model = f"(SELECT model FROM stored.commits WHERE file = {literal(file)})"
        rows += f" JOIN ({own} WHERE model = {model}) USING (layer)"
    view = "filter_facts" if facts else "filters"
    return f"SELECT file_row_number FROM ({rows}) AS {view} WHERE (\n{condition}\n)"


def _of_split(by: Sequence[str]) -> str:
    return "".join(f"split.{identifier(name)}, " for name in by)


def _committed(split: str, by: Sequence[str]) -> str:
    """The layers of a split as `split`, with the write that brought their network in as `network`."""
    return (
        f"FROM (SELECT {_list(by)}model AS _model, layer AS _layer FROM ({split})) AS split "
        "JOIN stored.commits AS network ON network.model = split._model"
    )


def _grouped(by: Sequence[str], values: str, split: str) -> str:
    source = split if split.startswith("FROM ") else f"FROM ({split})"
    if not by:
        return f"SELECT {values} {source}"
    positions = ", ".join(str(number) for number in range(1, len(by) + 1))
    return f"SELECT {_list(by)}{values} {source} GROUP BY {positions} ORDER BY {positions}"


def _list(names: Sequence[str]) -> str:
    return "".join(f"{identifier(name)}, " for name in names)

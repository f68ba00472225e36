"""SQL functions that numpy finishes: 55 moments or a histogram in, spectrum, basis or entropy out (Arrow UDFs).

SQL adds up millions of rows; these see one value per group.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filterdb.lake.schema import MOMENT_NAMES

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa

MOMENTS = "STRUCT(" + ", ".join(f"{name} DOUBLE" for name in MOMENT_NAMES) + ")"


@dataclass(frozen=True)
class Finisher:
    """One SQL function of moments: name, type of its result, meaning, and what numpy does, groups (g, 55) at a time."""

    name: str
    result: str
    meaning: str
    finish: Callable[["np.ndarray"], "np.ndarray"]


def explained_variance(moments: "np.ndarray") -> "np.ndarray":
    from filterdb.analysis import pca

    return pca.explained_variance(moments)


def explained_variance_ratio(moments: "np.ndarray") -> "np.ndarray":
    from filterdb.analysis import pca

    return pca.variance_ratio(pca.explained_variance(moments))


def principal_components(moments: "np.ndarray") -> "np.ndarray":
    from filterdb.analysis import pca

    return pca.decompose(moments)[1]


def mean_filter(moments: "np.ndarray") -> "np.ndarray":
    from filterdb.analysis import moments as second_moments

    return second_moments.means(moments)


def variance_entropy(moments: "np.ndarray") -> "np.ndarray":
    from filterdb.analysis import metrics

    return metrics.variance_entropy(explained_variance_ratio(moments))


FINISHERS = (
    Finisher("explained_variance", "DOUBLE[]", "variances along the nine components, descending", explained_variance),
    Finisher("explained_variance_ratio", "DOUBLE[]", "the same as shares of their sum", explained_variance_ratio),
    Finisher("principal_components", "DOUBLE[][]", "the nine components as rows of nine", principal_components),
    Finisher("mean_filter", "DOUBLE[]", "the mean filter w0 … w8", mean_filter),
    Finisher(
        "variance_entropy", "DOUBLE", "entropy (log10) of the explained-variance ratios, 0 to 0.954", variance_entropy
    ),
)


def register(connection: "duckdb.DuckDBPyConnection", finisher: Finisher) -> None:
    """Make `finisher` a SQL function of `connection`. NULL where numpy has NaN."""
    connection.create_function(
        finisher.name, _arrow(finisher), [MOMENTS], finisher.result, type="arrow", null_handling="special"
    )


def _arrow(finisher: Finisher) -> Callable:
    def function(moments):  # noqa: ANN202 (DuckDB evaluates annotations)
        import numpy as np
        import pyarrow as pa

        groups = _vectors(moments)
        defined = groups[:, 0] > 0
        values = finisher.finish(groups[defined]) if defined.any() else np.empty(0)
        results = iter(values.tolist())
        return pa.array([_null_if_nan(next(results)) if there else None for there in defined], _arrow_type(finisher))

    return function


def _vectors(moments: "pa.ChunkedArray") -> "np.ndarray":
    """(g, 55) float64 of g structs; NaN where NULL."""
    import numpy as np
    import pyarrow as pa

    array = moments.combine_chunks() if isinstance(moments, pa.ChunkedArray) else moments
    return np.column_stack([field.to_numpy(zero_copy_only=False).astype(float) for field in array.flatten()])


def _arrow_type(finisher: Finisher) -> "pa.DataType":
    import pyarrow as pa

    kind = pa.float64()
    for _ in range(finisher.result.count("[]")):
        kind = pa.list_(kind)
    return kind


def _null_if_nan(value: float | list) -> float | list | None:
    first = value
    while isinstance(first, list):
        first = first[0]
    return None if first != first else value

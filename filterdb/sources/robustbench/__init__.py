"""The RobustBench model zoo: what it holds, its architectures without weights, its networks with them."""

from filterdb.sources.robustbench.catalogue import (
    DATASETS,
    THREAT_MODELS,
    Entry,
    catalogue,
    find,
    select,
)
from filterdb.sources.robustbench.networks import load
from filterdb.sources.robustbench.paper import Pair, Twin, networks, pair_rows, pairs, select_pairs

__all__ = [
    "DATASETS",
    "THREAT_MODELS",
    "Entry",
    "Pair",
    "Twin",
    "catalogue",
    "find",
    "load",
    "networks",
    "pair_rows",
    "pairs",
    "select",
    "select_pairs",
]

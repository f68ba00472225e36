"""The filter lake: Parquet files, the logs that say which of them count, and the writer."""

from filterdb.lake.lake import Commit, Lake
from filterdb.lake.writer import Outcome, write_failure, write_network, write_pairs

__all__ = ["Commit", "Lake", "Outcome", "write_failure", "write_network", "write_pairs"]

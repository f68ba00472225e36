"""The filter lake: Parquet files, the logs that say which of them count, and the writer."""

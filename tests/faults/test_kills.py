"""kill -9 and many writers at once: the same as in bench/faults.py, with smaller numbers."""

import pytest

from bench.faults import FILTERDB, kill_at_random, write_at_once, write_table


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost_or_half_there(tmp_path):
    table = write_table(tmp_path / "table.parquet", 12, n_filters=100)
    done = kill_at_random(tmp_path, [*FILTERDB, "ingest", "table", str(table)], 6)
    assert done.kills == 6


@pytest.mark.slow
def test_eight_processes_lose_and_double_nothing_and_readers_see_whole_networks(tmp_path):
    readings, _ = write_at_once(tmp_path, processes=8, networks=20, n_filters=20)
    assert readings > 0

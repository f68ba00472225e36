"""Writing networks: what is read back is what was given, once, whole, and only after the commit."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import pytest

from filterdb.errors import SourceError, UsageError
from filterdb.lake import files, writer
from filterdb.lake.ingestion import ingest
from filterdb.lake.lake import Lake
from filterdb.lake.log import TableLog
from filterdb.lake.writer import Outcome, write_network, write_pairs
from filterdb.network import Facts, Job, Layer, Network
from tests.networks import all_filters, layer_of, random_network

WEIGHTS = [f"w{i}" for i in range(9)]


@pytest.fixture
def lake(tmp_path):
    return Lake.create(tmp_path / "test.lake")


def read_weights(file):
    table = pq.read_table(file, columns=WEIGHTS)
    return np.column_stack([column.to_numpy() for column in table.columns])


def test_filters_come_back_bit_for_bit(lake):
    network = random_network("a", n_layers=5)
    assert write_network(lake, network) is Outcome.WRITTEN
    (commit,) = lake.commits()
    assert commit.model == "local/a"
    np.testing.assert_array_equal(read_weights(commit.file), all_filters(network))


def test_rows_say_which_channel_layer_and_decile_they_are_of(lake):
    network = random_network("robust", n_layers=3, width=4)
    write_network(lake, network)
    table = pq.read_table(lake.commits()[0].file, partitioning=None).to_pylist()
    assert [(row["layer"], row["out_channel"], row["in_channel"]) for row in table] == [
        (i, o, c) for i, layer in enumerate(network.layers) for o in range(4) for c in range(layer.in_channels)
    ]
    assert {(row["layer"], row["conv_depth"], row["depth_decile"]) for row in table} == {
        (0, 0, 0),
        (1, 1, 5),
        (2, 2, 10),
    }
    assert {(row["dataset"], row["robust"], row["model"]) for row in table} == {("cifar10", True, "local/robust")}


def test_sparse_and_max_abs_follow_their_definition(lake):
    network = random_network("a")
    write_network(lake, network)
    table = pq.read_table(lake.commits()[0].file, columns=["layer", "sparse", "max_abs"]).to_pydict()
    for index, layer in enumerate(network.layers):
        largest = np.abs(layer.read()).max(axis=1)
        mine = np.array(table["layer"]) == index
        np.testing.assert_array_equal(np.array(table["max_abs"], np.float32)[mine], largest)
        np.testing.assert_array_equal(np.array(table["sparse"])[mine], 100.0 * largest.astype(float) <= largest.max())


def test_floats_are_plain_and_every_page_is_indexed(lake):
    write_network(lake, random_network("a"))
    metadata = pq.read_metadata(lake.commits()[0].file)
    columns = {metadata.row_group(0).column(i).path_in_schema: metadata.row_group(0).column(i) for i in range(19)}
    for name in (*WEIGHTS, "max_abs"):
        assert not columns[name].has_dictionary_page
        assert columns[name].compression == "UNCOMPRESSED"
        assert columns[name].is_stats_set
    assert all(column.has_offset_index and column.has_column_index for column in columns.values())


def test_every_file_says_of_which_table_and_format_version_it_is(lake):
    write_network(lake, random_network("a"))
    for name in ("models", "layers", "skips", "filters"):
        (file,) = lake.log(name).files()
        metadata = pq.read_metadata(file).metadata
        assert metadata[b"filterdb.table"] == name.encode()
        assert metadata[b"filterdb.format_version"] == b"1"


def test_row_groups_hold_whole_layers_or_parts_of_one(lake, monkeypatch):
    monkeypatch.setattr(writer.rows, "ROW_GROUP_ROWS", 40)
    monkeypatch.setattr(writer.rows, "SMALL_ROW_GROUP_ROWS", 20)
    write_network(lake, random_network("a", n_layers=6, width=8))
    file = pq.ParquetFile(lake.commits()[0].file)
    for group in range(file.num_row_groups):
        rows = file.read_row_group(group, columns=["layer", "depth_decile"]).to_pydict()
        assert len(rows["layer"]) <= 40
        assert len(set(rows["depth_decile"])) == 1 or len(rows["layer"]) < 64


def test_the_same_network_again_changes_nothing(lake):
    write_network(lake, random_network("a"))
    before = lake.version
    assert write_network(lake, random_network("a")) is Outcome.UNCHANGED
    lake.filters.refresh()
    assert lake.version == before


def test_other_weights_under_the_same_id_are_refused_unless_replaced(lake):
    write_network(lake, random_network("a", seed=1))
    with pytest.raises(UsageError, match="local/a is in the lake with other weights"):
        write_network(lake, random_network("a", seed=2))
    assert write_network(lake, random_network("a", seed=2), replace=True) is Outcome.REPLACED
    lake.filters.refresh()
    (commit,) = lake.commits()
    np.testing.assert_array_equal(read_weights(commit.file), all_filters(random_network("a", seed=2)))


def test_an_older_version_still_shows_what_was_replaced(lake):
    write_network(lake, random_network("a", seed=1))
    write_network(lake, random_network("a", seed=2), replace=True)
    (commit,) = Lake(lake.root, version=1).commits()
    np.testing.assert_array_equal(read_weights(commit.file), all_filters(random_network("a", seed=1)))


def test_a_source_that_fails_midway_leaves_no_trace(lake):
    def broken():
        raise SourceError("no such weights")

    good = random_network("a")
    bad = Layer(name="broken", n_filters=9, read=broken)
    with pytest.raises(SourceError, match="no such weights"):
        write_network(lake, Network(good.facts, (*good.layers, bad)))
    lake.filters.refresh()
    assert lake.commits() == []
    assert not list(lake.root.rglob("*.tmp"))
    assert not list((lake.root / "filters").rglob("*.parquet"))


@pytest.mark.parametrize("table", ["layers", "skips", "models", "filters"])
def test_a_crash_before_the_last_commit_shows_nothing_and_can_be_repeated(lake, monkeypatch, table):
    commit = TableLog.commit

    def crash(self, *args, **kwargs):
        if self.directory.name == table:
            raise KeyboardInterrupt
        return commit(self, *args, **kwargs)

    monkeypatch.setattr(TableLog, "commit", crash)
    with pytest.raises(KeyboardInterrupt):
        write_network(lake, random_network("a"))
    monkeypatch.undo()
    assert Lake(lake.root).commits() == []
    assert write_network(lake, random_network("a")) is Outcome.WRITTEN
    assert len(Lake(lake.root).commits()) == 1


def test_writers_of_the_same_network_leave_it_once(tmp_path):
    root = tmp_path / "test.lake"

    def work(_):
        return write_network(Lake.create(root), random_network("a"))

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(work, range(6)))
    assert outcomes.count(Outcome.WRITTEN) == 1
    assert outcomes.count(Outcome.UNCHANGED) == 5
    assert len(Lake(root).commits()) == 1


def test_many_writers_lose_nothing(tmp_path):
    root = tmp_path / "test.lake"

    def work(number):
        lake = Lake.create(root)
        return [write_network(lake, random_network(f"n{number}-{i}", n_layers=2)) for i in range(3)]

    with ThreadPoolExecutor(6) as pool:
        outcomes = [outcome for done in pool.map(work, range(6)) for outcome in done]
    assert outcomes == [Outcome.WRITTEN] * 18
    assert sorted(c.model for c in Lake(root).commits()) == sorted(
        f"local/n{n}-{i}" for n in range(6) for i in range(3)
    )


def test_one_failing_network_stops_no_other(tmp_path):
    def broken():
        raise SourceError("weights gone")

    jobs = [
        Job("local/a", lambda: random_network("a")),
        Job("local/b", broken),
        Job("local/c", lambda: random_network("c")),
    ]
    reports = list(ingest(tmp_path / "test.lake", jobs))
    assert [r.outcome for r in reports] == ["written", "failed", "written"]
    assert str(reports[1].error) == "weights gone"
    assert [c.model for c in Lake(tmp_path / "test.lake").commits()] == ["local/a", "local/c"]


def test_a_network_without_layers_is_an_error(lake):
    with pytest.raises(SourceError, match="nothing to ingest"):
        write_network(lake, Network(Facts(model="local/x", source="local", name="x"), ()))


def test_unknown_channels_depth_and_facts_become_null(lake):
    filters = np.ones((5, 9), np.float32)
    layer = Layer(name=None, n_filters=5, read=lambda: filters)
    write_network(lake, Network(Facts(model="local/x", source="table", name="x"), (layer,)))
    row = pq.read_table(lake.commits()[0].file, partitioning=None).to_pylist()[0]
    for name in ("dataset", "robust", "conv_depth", "depth_decile", "out_channel", "in_channel"):
        assert row[name] is None
    layer_row = pq.read_table(lake.log("layers").files()[0]).to_pylist()[0]
    assert layer_row["orthogonality"] is None
    assert layer_row["variance_entropy"] is None


def test_a_layer_of_zeros_is_all_sparse(lake):
    zeros = layer_of(np.zeros((6, 9), np.float32), 2, 3)
    write_network(lake, Network(Facts(model="local/x", source="local", name="x"), (zeros,)))
    row = pq.read_table(lake.log("layers").files()[0]).to_pylist()[0]
    assert (row["n_sparse"], row["sparsity"], row["scaled_n"], row["variance_entropy"]) == (6, 1.0, 0.0, None)


def test_checksums_of_all_files_are_in_the_log(lake):
    import hashlib
    import json

    write_network(lake, random_network("a"))
    write_pairs(lake, [{"robust_model": "x", "normal_model": "y", "architecture": None, "dataset": None}])
    for name in ("models", "layers", "skips", "pairs", "filters"):
        recorded = {}
        for commit in lake.log(name).history():
            recorded |= json.loads(commit.get("filterdb", "{}")).get("sha256", {})
        for file in lake.log(name).files():
            path = file.relative_to((lake.root / name).resolve()).as_posix()
            assert recorded[path] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_parquet_appears_whole_or_not_at_all(tmp_path):
    network = random_network("a")

    def tables():
        yield from writer.rows.filter_tables(network.facts, 0, network.layers[0], *summary(network.layers[0]))
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write_parquet(tmp_path, "x/part.parquet", tables(), writer.rows.filters_schema())
    assert not list(tmp_path.rglob("*.parquet*"))


def summary(layer):
    filters = layer.read()
    return filters, writer.summarize_layer(filters, layer.out_channels)

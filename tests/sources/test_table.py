"""Filters in a table become the networks they are rows of; a table that contradicts itself is refused."""

from dataclasses import asdict

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filterdb.errors import SourceError
from filterdb.network import Facts, Network
from filterdb.sources import table

WEIGHTS = [f"w{position}" for position in range(9)]


def filters(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 9)).astype(np.float32)


def frame(rows: int = 6, *, seed: int = 0, **columns: object) -> pl.DataFrame:
    """`rows` filters of one network; `columns` are lists or constants, None leaves a column out."""
    known = {"model": "net", "dataset": "cifar10", "robust": True} | columns
    values = {name: value if isinstance(value, list) else [value] * rows for name, value in known.items()}
    return pl.DataFrame(values, strict=False).hstack(pl.DataFrame(filters(rows, seed), schema=WEIGHTS))


def write(data: pl.DataFrame, path) -> None:
    data.write_parquet(path) if path.suffix == ".parquet" else data.write_csv(path)


def read(data: pl.DataFrame, tmp_path, suffix: str = ".parquet") -> list[Network]:
    write(data, tmp_path / f"table{suffix}")
    return list(table.networks(tmp_path / f"table{suffix}"))


def read_one(data: pl.DataFrame, tmp_path, suffix: str = ".parquet") -> Network:
    (network,) = read(data, tmp_path, suffix)
    return network


def refused(data: pl.DataFrame, tmp_path) -> str:
    with pytest.raises(SourceError) as error:
        read(data, tmp_path)
    message = str(error.value)
    assert message.startswith(str(tmp_path / "table.parquet"))
    assert "\n" not in message
    return message.removeprefix(str(tmp_path / "table.parquet"))


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_the_least_a_table_can_hold(tmp_path, suffix):
    network = read_one(frame(5), tmp_path, suffix)
    assert network.facts == Facts(model="local/net", source="table", name="net", dataset="cifar10", robust=True)
    (layer,) = network.layers
    assert layer.n_filters == 5
    assert layer.read().dtype == np.float32
    assert layer.read().flags.c_contiguous
    np.testing.assert_array_equal(layer.read(), filters(5))
    unknown = asdict(layer) | {"n_filters": None, "read": None}
    assert set(unknown.values()) == {None}


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_every_fact_of_a_network(tmp_path, suffix):
    facts = {
        "architecture": "ResNet-18",
        "threat_model": "Linf",
        "epsilon": 8 / 255,
        "clean_accuracy": 85.5,
        "robust_accuracy": 51.0,
        "corruption_accuracy": 70.25,
        "extra_data": False,
        "unreliable": True,
        "venue": "NeurIPS 2019",
        "year": 2019,
        "paper": "https://arxiv.org/abs/1905.13736",
        "license": "MIT",
        "weights": "bn_folded",
    }
    network = read_one(frame(3, **facts), tmp_path, suffix)
    expected = {"model": "local/net", "source": "table", "name": "net", "dataset": "cifar10", "robust": True}
    assert asdict(network.facts) == expected | facts


@pytest.mark.parametrize(
    ("given", "model", "name"),
    [
        ("net", "local/net", "net"),
        ("local/net", "local/net", "net"),
        ("robustbench/cifar10/Linf/Standard", "robustbench/cifar10/Linf/Standard", "robustbench/cifar10/Linf/Standard"),
        (12, "local/12", "12"),
    ],
)
def test_ids(tmp_path, given, model, name):
    facts = read_one(frame(model=given), tmp_path).facts
    assert (facts.model, facts.name) == (model, name)


@pytest.mark.parametrize("robust", [False, 0, 0.0, "false", "False", "0"])
def test_flags_however_they_are_written(tmp_path, robust):
    assert read_one(frame(robust=robust), tmp_path).facts.robust is False


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_what_is_empty_is_unknown(tmp_path, suffix):
    data = frame(
        robust=None, dataset=None, clean_accuracy=float("nan"), venue="", year=None, conv_depth=None, groups=None
    )
    network = read_one(data, tmp_path, suffix)
    facts = asdict(network.facts)
    assert {key: value for key, value in facts.items() if value is not None} == {
        "model": "local/net",
        "source": "table",
        "name": "net",
        "weights": "raw",
    }
    assert network.layers[0].conv_depth is None


def test_networks_come_in_order_of_their_first_rows(tmp_path):
    data = frame(6, model=["b", "a", "b", "a", "c", "b"], robust=[True, False, True, False, None, None])
    networks = read(data, tmp_path)
    assert [(network.facts.name, network.facts.robust) for network in networks] == [
        ("b", True),
        ("a", False),
        ("c", None),
    ]
    for network, rows in zip(networks, ([0, 2, 5], [1, 3], [4]), strict=True):
        np.testing.assert_array_equal(network.layers[0].read(), filters(6)[rows])


@pytest.mark.parametrize("column", ["layer", "layer_row", "conv_depth"])
def test_numbered_layers_come_in_order_of_their_numbers(tmp_path, column):
    data = frame(6, **{column: [10, 2, 10, 0, 2, 10]})
    network = read_one(data, tmp_path)
    for layer, rows in zip(network.layers, ([3], [1, 4], [0, 2, 5]), strict=True):
        np.testing.assert_array_equal(layer.read(), filters(6)[rows])


@pytest.mark.parametrize("column", ["layer", "name"])
def test_named_layers_come_in_order_of_their_first_rows(tmp_path, column):
    network = read_one(frame(4, **{column: ["conv2", "conv10", "conv1", "conv2"]}), tmp_path)
    assert [layer.n_filters for layer in network.layers] == [2, 1, 1]
    names = ["conv2", "conv10", "conv1"] if column == "name" else [None] * 3
    assert [layer.name for layer in network.layers] == names


def test_depth_goes_before_the_number_of_the_layer(tmp_path):
    network = read_one(frame(4, layer=[0, 1, 2, 3], conv_depth=[3, 1, 0, 1], name=["d", "b", "a", "c"]), tmp_path)
    assert [layer.name for layer in network.layers] == ["a", "b", "c", "d"]


def test_depth_and_decile_follow_from_conv_depth(tmp_path):
    network = read_one(frame(4, layer=[0, 1, 2, 3], conv_depth=[0, 1, 7, 20]), tmp_path)
    found = [(layer.conv_depth, layer.depth, layer.depth_decile) for layer in network.layers]
    assert found == [(0, 0.0, 0), (1, 1 / 20, 1), (7, 7 / 20, 4), (20, 1.0, 10)]


def test_a_single_level_is_the_first(tmp_path):
    (layer,) = read_one(frame(conv_depth=0), tmp_path).layers
    assert (layer.depth, layer.depth_decile) == (0.0, 0)


def test_depth_stays_unknown_where_one_layer_has_no_conv_depth(tmp_path):
    network = read_one(frame(2, layer=[0, 1], conv_depth=[0, None]), tmp_path)
    assert [(layer.conv_depth, layer.depth, layer.depth_decile) for layer in network.layers] == [
        (0, None, None),
        (None, None, None),
    ]


def test_given_deciles_are_kept(tmp_path):
    network = read_one(frame(2, layer=[0, 1], conv_depth=[1, 2], depth_decile=[3, 7]), tmp_path)
    assert [(layer.depth, layer.depth_decile) for layer in network.layers] == [(None, 3), (None, 7)]


def test_facts_of_layers(tmp_path):
    network = read_one(frame(2, name="conv.weight", groups=1, stride=2.0, dilation=1, depth=0.5), tmp_path)
    (layer,) = network.layers
    assert (layer.name, layer.groups, layer.stride, layer.dilation, layer.depth) == ("conv.weight", 1, 2, 1, 0.5)


def test_channels_put_a_complete_layer_in_order(tmp_path):
    order = [4, 0, 3, 5, 1, 2]
    data = frame(
        6, in_channels=3, out_channels=2, out_channel=[n // 3 for n in order], in_channel=[n % 3 for n in order]
    )
    (layer,) = read_one(data, tmp_path).layers
    assert (layer.out_channels, layer.in_channels) == (2, 3)
    np.testing.assert_array_equal(layer.read()[order], filters(6))
    np.testing.assert_array_equal(layer.channels, [[0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]])


def test_channels_of_an_incomplete_layer_do_not_count_it_whole(tmp_path):
    data = frame(3, in_channels=3, out_channels=2, out_channel=[1, 0, 1], in_channel=[2, 1, 0])
    (layer,) = read_one(data, tmp_path).layers
    assert (layer.out_channels, layer.in_channels) == (None, None)
    np.testing.assert_array_equal(layer.channels, [[0, 1, 1], [1, 0, 2]])


def test_filter_ix_orders_the_filters_of_a_layer(tmp_path):
    (layer,) = read_one(frame(4, filter_ix=[2, 0, 3, 1]), tmp_path).layers
    np.testing.assert_array_equal(layer.read()[[2, 0, 3, 1]], filters(4))
    assert layer.channels is None


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf"), 1e300])
def test_layers_with_weights_that_are_no_numbers_are_skips(tmp_path, bad):
    data = frame(4, layer=[0, 0, 1, 1]).cast(dict.fromkeys(WEIGHTS, pl.Float64))
    data[2, "w4"] = bad
    network = read_one(data, tmp_path)
    assert [layer.n_filters for layer in network.layers] == [2]
    assert [(skip.layer, skip.kernel, skip.reason) for skip in network.skips] == [("1", "3x3", "non-finite weights")]


@pytest.mark.parametrize("kind", [pl.Float32, pl.Float64, pl.Int32, pl.Int8])
def test_weights_of_every_number_type(tmp_path, kind):
    data = frame(4).with_columns((pl.col(WEIGHTS) * 10).round()).cast(dict.fromkeys(WEIGHTS, kind))
    (layer,) = read_one(data, tmp_path).layers
    np.testing.assert_array_equal(layer.read(), (filters(4) * 10).round())


def test_other_columns_are_ignored_and_listed(tmp_path):
    data = frame(2, sparse=False, max_abs=1.0, comment="x", layer=0)
    assert len(read(data, tmp_path)) == 1
    assert table.ignored_columns(tmp_path / "table.parquet") == ("sparse", "max_abs", "comment")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_in_any_order_are_the_same_networks(tmp_path, data):
    whole = pl.concat(
        frame(5, seed=seed, model=name, layer=[0, 0, 1, 2, 2], filter_ix=[0, 1, 0, 0, 1], conv_depth=[0, 0, 2, 1, 1])
        for seed, name in enumerate("abc")
    )
    shuffled = whole[data.draw(st.permutations(range(len(whole))))]
    suffix = data.draw(st.sampled_from([".parquet", ".csv"]))
    expected = {network.facts.model: network for network in read(whole, tmp_path)}
    found = read(shuffled, tmp_path, suffix)
    assert sorted(network.facts.model for network in found) == sorted(expected)
    for network in found:
        reference = expected[network.facts.model]
        assert network.facts == reference.facts
        for layer, other in zip(network.layers, reference.layers, strict=True):
            assert (layer.conv_depth, layer.depth_decile) == (other.conv_depth, other.depth_decile)
            np.testing.assert_array_equal(layer.read(), other.read())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"dataset": ["cifar10", "cifar100"]},
            ", model 'net': column dataset says both 'cifar10' and 'cifar100'; it must be",
        ),
        ({"robust": [True, False]}, ", model 'net': column robust says both True and False; it must be one"),
        ({"robust": "maybe"}, ", model 'net': column robust holds 'maybe', which is neither true nor false"),
        ({"epsilon": "8/255"}, ", model 'net': column epsilon holds '8/255', which is no number"),
        ({"clean_accuracy": float("inf")}, ", model 'net': column clean_accuracy holds inf, which is no number"),
        ({"year": 2019.5}, ", model 'net': column year holds 2019.5, which is no whole number ≥ 0"),
        ({"weights": "pruned"}, ", model 'net': column weights holds 'pruned', which is neither raw nor bn_folded"),
        (
            {"layer": 3, "conv_depth": [1, 2]},
            ", model 'net', layer 3: column conv_depth says both 1 and 2; it must be one",
        ),
        (
            {"layer": 3, "conv_depth": -1},
            ", model 'net', layer 3: column conv_depth holds -1, which is no whole number ≥ 0",
        ),
        ({"depth": 1.5}, ": column depth holds 1.5, which is not between 0 and 1"),
        ({"depth_decile": 11}, ": column depth_decile holds 11, which is no decile: 0 to 10"),
        ({"model": ["net", "local/net"]}, ": it has models called both NAME and local/NAME; rename one of them"),
        ({"model": ["net", None]}, ": row 2 names no model"),
        ({"out_channel": "x", "in_channel": 0}, ": not readable as a Parquet or CSV table: "),
    ],
)
def test_contradictions_and_wrong_types(tmp_path, columns, message):
    assert message in refused(frame(2, **columns), tmp_path)


def test_missing_columns_and_their_nearest_relatives(tmp_path):
    data = frame(2).rename({"robust": "Robust", "w8": "W8", "dataset": "split"})
    assert refused(data, tmp_path) == (
        ": it has no column dataset, robust (did you mean Robust?), w8 (did you mean W8?);"
        " needed are model, dataset, robust, w0 … w8"
    )


def test_weights_must_be_numbers(tmp_path):
    assert refused(frame(2).cast({"w3": pl.String}), tmp_path) == ": column w3 holds String, not numbers"


def test_a_table_without_rows(tmp_path):
    assert refused(frame(2).clear(), tmp_path) == ": it has no rows"


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\xff\xfe", b"PAR1 and then nothing", b"<html>\n<body>\n"])
def test_files_that_are_no_table(tmp_path, content):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(SourceError, match=r"table.csv: (not readable as a Parquet or CSV table|it has no column)"):
        list(table.networks(tmp_path / "table.csv"))


def test_missing_files(tmp_path):
    for use in (table.ignored_columns, lambda path: list(table.networks(path))):
        with pytest.raises(SourceError, match=r"not readable as a Parquet or CSV table: .*No such file"):
            use(tmp_path / "absent.parquet")


def test_names_are_not_patterns(tmp_path):
    write(frame(2), tmp_path / "a[1]*.parquet")
    assert len(list(table.networks(tmp_path / "a[1]*.parquet"))) == 1


def test_the_real_filters(reference_data):
    networks = list(table.networks(reference_data / "real_filters_cifar10.parquet"))
    assert len(networks) == 78
    assert sum(network.n_filters for network in networks) == 81_632
    assert sum(network.facts.robust for network in networks) == 49
    assert {network.facts.dataset for network in networks} == {"cifar10"}
    assert all(np.abs(layer.read()).max() <= 1 for network in networks for layer in network.layers)
    assert table.ignored_columns(reference_data / "real_filters_cifar10.parquet") == ()

"""compare: a network against a split equals what ingesting it and asking would say."""

import numpy as np
import pytest

import filterdb
from filterdb.errors import SourceError, UsageError
from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_network
from filterdb.network import Facts, Network
from filterdb.query.comparison import compare
from tests.networks import random_network


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A lake of three networks, and one that holds the compared network besides."""
    roots = [tmp_path_factory.mktemp("compare") / name for name in ("without.lake", "with.lake")]
    for root in roots:
        lake = Lake.create(root)
        for number in range(3):
            write_network(lake, random_network(f"robust{number}", seed=number, n_layers=6))
    write_network(lake, stranger())
    return roots


def stranger():
    return random_network("stranger", seed=9, n_layers=6)


@pytest.mark.parametrize("definition", ["paper", "published"])
def test_a_comparison_equals_ingesting_and_asking(both, definition):
    without, ingested = both
    with filterdb.open(without) as db:
        found = compare(stranger(), db.split("robust"), definition)
    with filterdb.open(ingested) as db:
        mine = db.split("model = 'local/stranger'")
        basis = db.split("robust").pca()
        metrics = mine.metrics("depth_decile", definition=definition).to_dicts()
        kl = db.kl(mine, "robust", "depth_decile", basis)["kl"].to_list()
        whole = db.kl(mine, "robust", (), basis)["kl"][0]
    assert found.overall.kl == pytest.approx(whole, rel=1e-9)
    assert [row.kl for row in found.by_depth] == pytest.approx(kl, rel=1e-9)
    for row, expected in zip(found.by_depth, metrics, strict=True):
        for name in ("depth_decile", "n_filters", "sparsity", "variance_entropy", "orthogonality"):
            assert getattr(row, name) == pytest.approx(expected[name], rel=1e-9), name


def test_percentiles_count_the_networks_of_the_split(both):
    with filterdb.open(both[0]) as db:
        found = compare(stranger(), db.split("robust"))
        values = db.split("robust").metrics("model")["sparsity"].to_numpy()
    assert found.n_networks == 3
    assert found.overall.sparsity_percentile == pytest.approx(100 * np.mean(values <= found.overall.sparsity))


def test_a_network_of_the_split_is_near_it(both):
    with filterdb.open(both[0]) as db:
        split = db.split("model = 'local/robust0'")
        found = compare(random_network("robust0", seed=0, n_layers=6), split)
    assert found.overall.kl == pytest.approx(0, abs=1e-12)
    assert found.explained_variance_ratio["network"] == pytest.approx(found.explained_variance_ratio["split"])


def test_what_cannot_be_compared_says_so(both):
    with filterdb.open(both[0]) as db:
        with pytest.raises(UsageError, match="fewer than two non-sparse filters"):
            compare(stranger(), db.split("false"))
        with pytest.raises(SourceError, match="no 3×3 convolution"):
            compare(Network(Facts(model="local/x", source="local", name="x"), ()), db.split("robust"))

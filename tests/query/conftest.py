import numpy as np
import pytest

import filterdb
from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_network
from filterdb.network import Facts, Network
from tests.networks import layer_of, random_network


@pytest.fixture(scope="session")
def networks():
    """Three data sets, robust and normal, of several depths; one depthwise layer, one without any variance."""
    made = [
        random_network(f"{kind}-{dataset}-{i}", seed=hash_of(kind, dataset, i), n_layers=3 + i, dataset=dataset)
        for kind in ("robust", "plain")
        for dataset in ("cifar10", "cifar100")
        for i in range(3)
    ]
    same = layer_of(np.ones((6, 9), np.float32), 2, 3, 0, 1, "same")
    odd = Network(Facts(model="local/odd", source="local", name="odd", dataset="o'hara", robust=None), (same,))
    return [*made, odd]


def hash_of(*parts: object) -> int:
    return sum(ord(c) * 31**i for i, c in enumerate("".join(map(str, parts)))) % 2**32


@pytest.fixture(scope="session")
def lake_root(networks, tmp_path_factory):
    root = tmp_path_factory.mktemp("lake") / "zoo.lake"
    lake = Lake.create(root)
    for network in networks:
        write_network(lake, network)
    return root


@pytest.fixture
def db(lake_root):
    with filterdb.open(lake_root, threads=2) as database:
        yield database

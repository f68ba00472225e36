"""Lakes for the report: made-up networks with pairs, a twin that serves twice, untrained ones; and real filters."""

import numpy as np
import pytest

import filterdb
from filterdb.lake.ingestion import ingest
from filterdb.lake.lake import Lake
from filterdb.network import Facts, Job, Network
from tests.networks import random_network
from tests.report.oracle import Oracle


def make_lake(root, networks, pairs=()):
    """A lake of these networks; pairs are (robust, normal) names."""
    rows = [
        {"robust_model": f"local/{r}", "normal_model": f"local/{n}", "architecture": "Toy", "dataset": "any"}
        for r, n in pairs
    ]
    Lake.create(root)
    jobs = [Job(network.facts.model, lambda network=network: network) for network in networks]
    for report in ingest(root, jobs, pairs=rows):
        if report.error:
            raise report.error
    return root


def made_up(name, seed, **facts):
    """A network whose filters have some structure, and differ with robustness."""
    network = random_network(name, seed=seed, width=6, **facts)
    rng = np.random.default_rng(seed)
    mixing = np.eye(9) + (0.6 if "robust" in name else 1.2) * np.outer(np.ones(9), rng.normal(size=9)) / 3
    layers = []
    for layer in network.layers:
        filters = (layer.read() @ mixing).astype(np.float32)
        layers.append(layer.__class__(**{**vars(layer), "read": lambda filters=filters: filters}))
    return Network(network.facts, tuple(layers), network.skips)


def without_first_layer(network):
    return Network(network.facts, network.layers[1:], network.skips)


def zoo():
    """Two data sets with depths, one of them without 3×3 first layers, one normal twin of two robust networks."""
    networks, pairs = [], []
    for offset, dataset in ((0, "cifar10"), (50, "imagenet")):
        for i in range(4):
            seed = offset + i
            facts = {"dataset": dataset, "n_layers": 12 if i % 2 else 7}
            robust = made_up(
                f"robust-{dataset}-{i}", seed, **facts, clean_accuracy=80.0 + i, robust_accuracy=50.0 + i**2
            )
            normal = made_up(f"plain-{dataset}-{i}", seed + 20, **facts, clean_accuracy=90.0 + i / 3)
            networks += [robust, normal]
            pairs.append((robust.facts.name, f"plain-{dataset}-{max(i, 1)}"))
        networks.append(
            random_network(f"x-{dataset}@random", seed=offset + 40, dataset=dataset, robust=None, n_layers=12)
        )
    networks.append(made_up("robust-alone", 99, dataset="cifar100", n_layers=12))
    networks.append(
        Network(Facts(model="local/what", source="local", name="what", dataset="cifar10"), networks[0].layers)
    )
    return [without_first_layer(n) if n.facts.dataset == "imagenet" else n for n in networks], pairs


@pytest.fixture(scope="session")
def zoo_lake(tmp_path_factory):
    return make_lake(tmp_path_factory.mktemp("report") / "zoo.lake", *zoo())


@pytest.fixture(scope="session")
def demo_lake(demo):
    """Networks that were really trained, on real images."""
    return demo / "demo" / "digits.lake"


@pytest.fixture(scope="session", params=["zoo", "reference", pytest.param("demo", marks=pytest.mark.slow)])
def lake(request):
    """Each of these in turn."""
    return request.getfixturevalue(f"{request.param}_lake")


@pytest.fixture(scope="session")
def oracle(lake):
    with filterdb.open(lake, threads=2) as db:
        return Oracle(db)


@pytest.fixture(scope="session")
def zoo_oracle(zoo_lake):
    with filterdb.open(zoo_lake, threads=2) as db:
        return Oracle(db)


@pytest.fixture
def db(lake):
    with filterdb.open(lake, threads=2) as database:
        yield database


@pytest.fixture
def zoo_db(zoo_lake):
    with filterdb.open(zoo_lake, threads=2) as database:
        yield database

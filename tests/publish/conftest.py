import hashlib

import pytest

from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_failures, write_network, write_pairs
from filterdb.publish import metadata
from filterdb.publish.tree import write_tree
from tests.networks import random_network

RELEASE = """\
[release]
title = "Filters of toys: a | test"
version = "1.2.0"
description = "Toys, *mostly*."
keywords = ["toys", "tests"]
released = 2025-03-31
url = "https://example.org/toys"
repository = "https://example.org/code"
doi = "10.1234/toys"
contact = "toys@example.org"

[[release.authors]]
given = "Ada"
family = "Lovelace"
orcid = "0000-0002-1825-0097"
affiliation = "Analytical Engines"

[[release.authors]]
name = "The toy makers"
"""


@pytest.fixture(scope="session")
def lake_root(tmp_path_factory):
    """Four networks under three licences, one of them non-commercial; a pair; a failure; odd names."""
    root = tmp_path_factory.mktemp("publish") / "toys.lake"
    lake = Lake.create(root)
    facts = [
        ("robust-a", {"license": "mit", "dataset": "cifar10", "clean_accuracy": 84.5}),
        ("plain-a", {"license": "MIT", "dataset": "cifar10"}),
        ("robust/b 100%", {"license": "apache-2.0", "dataset": "o'hara/x|y", "robust": None}),
        ("plain-c", {"license": "CC-BY-NC-4.0", "dataset": None}),
    ]
    for seed, (name, known) in enumerate(facts):
        write_network(lake, random_network(name, seed=seed, n_layers=3 + seed, **known))
    pairs = [("local/robust-a", "local/plain-a"), ("local/robust-a", "local/plain-c")]
    write_pairs(
        lake,
        [{"robust_model": r, "normal_model": n, "architecture": "Toy", "dataset": "cifar10"} for r, n in pairs],
    )
    write_failures(lake, [("local/broken", "/secret/place/broken.pt: gone")])
    return root


@pytest.fixture(scope="session")
def release_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("release") / "release.toml"
    file.write_text(RELEASE, encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def tree(lake_root, release_file, tmp_path_factory):
    """A published tree; tests must not change it."""
    root = tmp_path_factory.mktemp("tree") / "toys"
    write_tree(lake_root, root, metadata.load(release_file))
    return root


def digests(root):
    return {
        file.relative_to(root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in root.rglob("*")
        if file.is_file()
    }

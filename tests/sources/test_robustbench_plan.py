"""Every architecture of the zoo is built and planned without weights, whatever its constructor tries."""

import gc
import sys
from collections import Counter
from types import FunctionType, ModuleType

import pytest
import torch

from filterdb.errors import SourceError
from filterdb.sources.planning import plan
from filterdb.sources.robustbench import build, catalogue, find, pairs


@pytest.fixture(autouse=True)
def no_connections(monkeypatch):
    """A plan needs no network."""

    def refuse(*_: object) -> None:
        raise AssertionError("a plan opened a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


def deepest(network) -> int:
    return max(layer.conv_depth for layer in network.layers)


@pytest.mark.parametrize(
    ("key", "n_layers", "n_filters", "conv_depth"),
    [
        ("cifar10/Linf/Carmon2019Unlabeled", 25, 4_021_808, 24),
        ("cifar10/Linf/Gowal2020Uncovering_28_10_extra", 25, 4_021_808, 27),
        ("cifar10/Linf/Gowal2020Uncovering_70_16", 67, 29_560_880, 69),
        ("cifar10/Linf/Addepalli2021Towards_RN18", 17, 1_220_800, 16),
        ("cifar10/Linf/Wong2020Fast", 17, 1_220_800, 19),
        ("imagenet/Linf/Salman2020Do_R50", 16, 1_257_472, 47),
        ("imagenet/Linf/Salman2020Do_50_2", 16, 5_029_888, 47),
    ],
)
def test_layers_and_depth(key, n_layers, n_filters, conv_depth):
    network = plan(find(key))
    assert (len(network.layers), network.n_filters, deepest(network)) == (n_layers, n_filters, conv_depth)


@pytest.mark.parametrize(
    ("key", "n_layers"),
    [
        pytest.param("cifar10/Linf/Debenedetti2022Light_XCiT-S12", 28, id="registered with timm under another name"),
        pytest.param("imagenet/corruptions/AlexNet", 3, id="AlexNet, registered under another name"),
        pytest.param("imagenet/Linf/Standard_R50", 16, id="downloads from torchvision"),
        pytest.param("imagenet/corruptions/Tian2022Deeper_DeiT-S", 0, id="downloads from GitHub"),
        pytest.param("cifar100/Linf/Bai2023Improving_trades", 129, id="asks for a GPU"),
        pytest.param("imagenet/Linf/Xu2024MIMIR_Swin-B", 0, id="computes with .item()"),
        pytest.param("cifar10/L2/Amini2024MeanSparse_S-WRN-70-16", 67, id="branches on a buffer"),
    ],
)
def test_traps(key, n_layers):
    assert len(plan(find(key)).layers) == n_layers


def test_networks_without_3x3_convolutions_say_what_they_have():
    network = plan(find("imagenet/Linf/Mo2022When_ViT-B"))
    assert network.layers == ()
    assert [(skip.kernel, skip.reason) for skip in network.skips] == [("16x16", "kernel 16x16")]


def test_folding_changes_the_id_alone():
    entry = find("cifar10/Linf/Ding2020MMA")
    raw, folded = plan(entry), plan(entry, fold_batchnorm=True)
    assert folded.facts.model == "robustbench/cifar10/Linf/Ding2020MMA@bn_folded"
    assert folded.facts.weights == "bn_folded"
    assert [layer.name for layer in folded.layers] == [layer.name for layer in raw.layers]


def test_planned_layers_cannot_be_read():
    network = plan(find("cifar10/Linf/Ding2020MMA"))
    with pytest.raises(
        SourceError, match=r"Ding2020MMA: layer .*\.weight is planned without weights; load the network"
    ):
        network.layers[0].read()


def test_plans_hold_no_tensors():
    network = plan(find("cifar10/Linf/Ding2020MMA"))
    tensors = [value for value in reachable(network) if isinstance(value, torch.Tensor)]
    assert tensors == []


def reachable(root: object) -> list[object]:
    """Everything that `root` refers to, short of modules and classes."""
    found, front = {id(root): root}, [root]
    while front:
        for value in gc.get_referents(front.pop()):
            if id(value) not in found and not isinstance(value, (type, ModuleType, FunctionType)):
                found[id(value)] = value
                front.append(value)
    return list(found.values())


def test_twins_have_the_architecture_of_their_robust_networks():
    for pair in pairs()[:3] + pairs()[-1:]:
        robust, normal = plan(pair.robust), plan(pair.normal)
        assert [layer.n_filters for layer in normal.layers] == [layer.n_filters for layer in robust.layers]


def test_importing_the_zoo_leaves_no_placeholder():
    build.timm_name(find("cifar10/Linf/Standard"))
    assert "robustbench.model_zoo.models" in sys.modules
    assert "robustbench" not in sys.modules or sys.modules["robustbench"].__file__


def test_entry_that_the_installed_zoo_lacks(monkeypatch):
    entry = find("cifar10/Linf/Standard")
    by_dataset = {d.value: {t.value: models for t, models in by_threat.items()} for d, by_threat in zoo().items()}
    monkeypatch.delitem(by_dataset["cifar10"]["Linf"], "Standard")
    with pytest.raises(SourceError, match=r"cifar10/Linf/Standard: the installed robustbench lacks it; pip"):
        plan(entry)


def zoo():
    build.timm_name(find("cifar10/Linf/Standard"))
    return sys.modules["robustbench.model_zoo.models"].model_dicts


@pytest.mark.slow
def test_whole_zoo():
    """All 206 entries; the paper's 71 hold exactly the filters that the paper counted."""
    filters, layers, bins = Counter(), Counter(), Counter()
    for entry in catalogue():
        network = plan(entry)
        groups = ["all", entry.threat_model, *(["paper", f"paper {entry.dataset}"] if entry.in_paper else [])]
        filters.update(dict.fromkeys(groups, network.n_filters))
        layers.update(dict.fromkeys(groups, len(network.layers)))
        bins.update(layer.depth_decile for layer in network.layers if entry.in_paper)
    assert filters["paper"] == 615_863_744
    assert filters["paper cifar10"] == 447_825_488
    assert filters["paper cifar100"] == 158_015_344
    assert filters["paper imagenet"] == 10_022_912
    assert filters["Linf"] == 1_367_902_224
    assert filters["all"] == 1_865_326_192
    assert (layers["paper"], layers["all"]) == (2252, 7160)
    assert [bins[decile] for decile in range(11)] == [68, 177, 228, 230, 201, 237, 213, 213, 226, 219, 240]

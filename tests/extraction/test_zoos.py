"""The zoos' own architectures: known depths and counts."""

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
from torch import nn

from filterdb.extraction import Extraction, extract

CIFAR, IMAGENET = (3, 32, 32), (3, 224, 224)

pytestmark = pytest.mark.filterwarnings("ignore")  # what old zoo code warns of when imported


@pytest.fixture(scope="module")
def architectures():
    """`architectures(module)` imports one of RobustBench's, without its package's own imports."""
    spec = find_spec("robustbench")
    if spec is None:
        pytest.skip("robustbench is not installed")
    package = ModuleType("robustbench")
    package.__path__ = list(spec.submodule_search_locations)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "robustbench", package)
        yield lambda name: import_module(f"robustbench.model_zoo.architectures.{name}")


def three_by_three(extraction: Extraction) -> tuple[int, int]:
    """Number of 3×3 layers, and of filters in them."""
    layers = [c for c in extraction.convolutions if c.kernel == (3, 3)]
    return len(layers), sum(c.n_filters for c in layers)


def observed(make, shape: tuple[int, int, int]) -> Extraction:
    with torch.device("meta"):
        module = make()
    assert isinstance(module, nn.Module)
    return extract(module, shape)


def deepest(extraction: Extraction) -> int:
    return max(c.conv_depth for c in extraction.convolutions)


@pytest.mark.parametrize(
    ("file", "make", "expected"),
    [
        ("wide_resnet", lambda m: m.WideResNet(28, widen_factor=10, sub_block1=True), (24, 25, 4_021_808)),
        ("wide_resnet", lambda m: m.WideResNet(34, widen_factor=10, sub_block1=False), (30, 31, 5_097_008)),
        ("dm_wide_resnet", lambda m: m.DMWideResNet(depth=28, width=10), (27, 25, 4_021_808)),
        ("dm_wide_resnet", lambda m: m.DMWideResNet(depth=34, width=10), (33, 31, 5_097_008)),
        ("dm_wide_resnet", lambda m: m.DMWideResNet(depth=70, width=16), (69, 67, 29_560_880)),
        ("dm_wide_resnet", lambda m: m.DMWideResNet(depth=106, width=16), (105, 103, 46_075_952)),
        ("dm_wide_resnet", lambda m: m.DMPreActResNet(depth=18), (19, 20, 1_392_832)),
        ("resnet", lambda m: m.PreActResNet(m.PreActBlockV2, [2, 2, 2, 2]), (16, 17, 1_220_800)),
        ("resnet", lambda m: m.PreActResNet(m.PreActBlock, [2, 2, 2, 2]), (19, 17, 1_220_800)),
        ("resnet", lambda m: m.ResNet18(), (16, 17, 1_220_800)),
        ("resnet", lambda m: m.ResNet50(), (48, 17, 1_257_664)),
    ],
    ids=["WRN-28", "WRN-34", "DM-28", "DM-34", "DM-70", "DM-106", "DM-18", "V2-18", "PreAct-18", "18", "50"],
)
def test_robustbench_architectures(architectures, file, make, expected):
    module = architectures(file)
    extraction = observed(lambda: make(module), CIFAR)
    assert (deepest(extraction), *three_by_three(extraction)) == expected


def test_blocks_that_forward_never_calls(architectures):
    """`sub_block1` of the TRADES code belongs to the state dict and to nothing else."""
    wide_resnet = architectures("wide_resnet")
    extraction = observed(lambda: wide_resnet.WideResNet(28, widen_factor=10, sub_block1=True), CIFAR)
    assert len(extraction.skips) == 9
    assert all(skip.layer.startswith("sub_block1.") for skip in extraction.skips)
    assert {skip.reason for skip in extraction.skips} == {"dead in forward"}


def test_timm_resnet18_has_no_first_layer_of_filters():
    timm = pytest.importorskip("timm")
    extraction = observed(lambda: timm.create_model("resnet18"), IMAGENET)
    assert three_by_three(extraction) == (16, 1_220_608)
    layers = [c for c in extraction.convolutions if c.kernel == (3, 3)]
    assert min(c.depth_decile for c in layers) == 1
    assert [c.name for c in extraction.convolutions][:3] == [
        "conv1.weight",
        "layer1.0.conv1.weight",
        "layer1.0.conv2.weight",
    ]
    assert extraction.skips == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50", (48, 53)),
        ("wide_resnet50_2", (48, 53)),
        ("densenet121", (119, 120)),
        ("efficientnet_b0", (80, 81)),
        ("hrnet_w18_small", (45, 91)),
        ("res2net50_26w_4s", (72, 85)),
        ("skresnet18", (35, 44)),
        ("inception_v3", (55, 94)),
        ("ghostnet_100", (89, 95)),
        ("dla34", (37, 38)),
    ],
)
def test_timm_depths_are_those_of_the_exported_graphs(name, expected):
    """Highest conv_depth and number of convolutions, as counted in the nodes of ONNX exports (TorchScript exporter)."""
    timm = pytest.importorskip("timm")
    extraction = observed(lambda: timm.create_model(name), IMAGENET)
    assert (deepest(extraction), len(extraction.convolutions)) == expected


def test_depth_alone_needs_no_torch():
    check = "import sys, filterdb.extraction.depth; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0

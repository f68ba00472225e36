"""A checkpoint and an architecture by name give a network; whatever does not fit is said."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from filterdb.errors import SourceError, UsageError
from filterdb.network import Facts
from filterdb.sources.architectures import build
from filterdb.sources.checkpoint import network
from filterdb.sources.weightless import quiet

with quiet():
    timm = pytest.importorskip("timm")

FACTS = Facts(model="local/mine", source="local", name="mine", dataset="cifar10", robust=True)

FACTORIES = """
    import torch
    from torch import nn

    class Small(nn.Module):
        def __init__(self, classes=10):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Conv2d(5, 6, 1)
            )
            self.unused = nn.Conv2d(6, 6, 3)
            self.classifier = nn.Linear(6, classes)

        def forward(self, image):
            return self.classifier(self.features(image).mean((2, 3)))

    class Big(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = nn.Sequential(nn.Conv2d(3, 128, 3), nn.Conv2d(128, 128, 3), nn.Flatten())
            self.model.append(nn.Linear(128 * 28 * 28, 300))
            self.register_buffer("mean", torch.full((3, 1, 1), 0.5))

        def forward(self, image):
            return self.model(image - self.mean)

    def small_for_7():
        from helper_beside_it import CLASSES
        return Small(CLASSES)

    def broken():
        raise KeyError("depth")

    def no_network():
        return {}

    def text_only():
        return nn.Linear(2, 2)

    constant = 3
"""


@pytest.fixture
def factories(tmp_path, monkeypatch):
    """A module `my_networks` in the current directory, and another that it imports late."""
    (tmp_path / "my_networks.py").write_text(textwrap.dedent(FACTORIES))
    (tmp_path / "helper_beside_it.py").write_text("CLASSES = 7\n")
    (tmp_path / "half_written.py").write_text("import not_installed_anywhere\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    yield tmp_path
    assert sys.path == before
    for name in ("my_networks", "helper_beside_it"):
        sys.modules.pop(name, None)


def trained(architecture: str) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    module = build(architecture, {}, None)
    state = {name: torch.randn(tensor.shape, generator=generator) for name, tensor in module.state_dict().items()}
    module.load_state_dict(state, assign=True)
    return module


def test_a_factory_in_the_current_directory(factories):
    module = trained("my_networks:Small")
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in module.state_dict().items()}}, "small.pt")
    result = network("small.pt", "my_networks:Small", FACTS)
    assert result.facts.model == "local/mine"
    assert result.facts.weights == "raw"
    assert [layer.name for layer in result.layers] == ["features.0.weight", "features.3.weight"]
    assert [(layer.conv_depth, layer.depth_decile) for layer in result.layers] == [(0, 0), (1, 5)]
    for layer, weight in zip(result.layers, (module.features[0].weight, module.features[3].weight), strict=True):
        np.testing.assert_array_equal(layer.read(), weight.detach().numpy().reshape(-1, 9))
    assert {(skip.layer, skip.kernel) for skip in result.skips} >= {
        ("features.4.weight", "1x1"),
        ("unused.weight", "3x3"),
    }


def test_folding_multiplies_the_normalisation_in(factories):
    module = trained("my_networks:Small")
    module.features[1].running_var.abs_()
    torch.save(module.state_dict(), "small.pt")
    result = network("small.pt", "my_networks:Small", FACTS, fold_batchnorm=True)
    norm = module.features[1]
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().numpy()
    expected = module.features[0].weight.detach().numpy() * scale[:, None, None, None]
    np.testing.assert_allclose(result.layers[0].read(), expected.reshape(-1, 9), rtol=1e-6)
    assert result.facts.weights == "bn_folded"


def test_another_classifier_and_unread_objects_are_skips(factories):
    torch.save(
        {"net": trained("my_networks:small_for_7").state_dict(), "scale": torch.device, "kind": nn.Conv2d}, "seven.pt"
    )
    result = network("seven.pt", "my_networks:Small", FACTS)
    reasons = {skip.layer: skip.reason for skip in result.skips}
    assert reasons["classifier.weight"] == reasons["classifier.bias"] == "not in the checkpoint, or of another shape"
    assert reasons[None] == "objects left as inert stubs: torch.nn.modules.conv.Conv2d"
    assert len(network("seven.pt", "my_networks:small_for_7", FACTS).layers) == 2


def test_large_layers_and_buffers_that_the_file_lacks(factories):
    """A classifier of 30 million weights that is not in the file takes no memory; a buffer keeps its value."""
    generator = torch.Generator().manual_seed(2)
    weights = {"0.weight": (128, 3, 3, 3), "0.bias": (128,), "1.weight": (128, 128, 3, 3), "1.bias": (128,)}
    torch.save({name: torch.randn(shape, generator=generator) for name, shape in weights.items()}, "backbone.pt")
    result = network("backbone.pt", "my_networks:Big", FACTS)
    assert [layer.n_filters for layer in result.layers] == [128 * 3, 128 * 128]
    assert {skip.layer for skip in result.skips} == {"model.3.weight", "model.3.bias"}


def test_layers_that_are_not_finite_are_skips(factories):
    module = trained("my_networks:Small")
    with torch.no_grad():
        module.features[0].weight[0, 0, 0, 0] = torch.nan
    torch.save(module.state_dict(), "nan.pt")
    result = network("nan.pt", "my_networks:Small", FACTS)
    assert [layer.name for layer in result.layers] == ["features.3.weight"]
    assert ("features.0.weight", "non-finite weights") in {(skip.layer, skip.reason) for skip in result.skips}


@pytest.mark.parametrize(
    ("architecture", "kind", "message"),
    [
        ("resnet18", UsageError, "architecture 'resnet18' is neither timm:NAME nor package.module:factory"),
        ("timm:", UsageError, "architecture 'timm:' is neither timm:NAME nor package.module:factory"),
        ("timm:resnet18x", UsageError, r"timm [\d.]+ has no architecture 'resnet18x'; did you mean resnet18 or "),
        ("timm:resnet18.made_up", SourceError, r"timm:resnet18.made_up failed: \w+: .*made_up"),
        (
            "my_network:Small",
            UsageError,
            "cannot import 'my_network' .*must be installed or lie in the current directory, /",
        ),
        ("half_written:Net", UsageError, "cannot import 'half_written' .*not_installed_anywhere"),
        ("my_networks:small", UsageError, "my_networks has no factory 'small'; did you mean Small or "),
        ("my_networks:constant", UsageError, "my_networks has no factory 'constant'"),
        ("my_networks:broken", SourceError, "my_networks:broken failed: KeyError: 'depth'"),
        ("my_networks:no_network", SourceError, "my_networks:no_network returned dict, not a torch.nn.Module"),
        ("my_networks:text_only", SourceError, "uses no 2-D convolution|forward fails"),
    ],
)
def test_architectures_that_cannot_be_built(factories, architecture, kind, message):
    torch.save({"weight": torch.ones(2, 2), "bias": torch.ones(2)}, "file.pt")
    with pytest.raises(kind, match=message) as error:
        network("file.pt", architecture, FACTS)
    assert "\n" not in str(error.value)


def test_networks_of_timm_import_nothing_from_the_current_directory(factories, monkeypatch):
    make, seen = timm.create_model, []
    monkeypatch.setattr(
        timm, "create_model", lambda *names, **options: seen.extend(sys.path) or make(*names, **options)
    )
    build("timm:resnet10t", {}, None)
    assert seen
    assert str(factories) not in seen


def test_timm_resnet18(tmp_path):
    """16 layers of 3×3 filters, 1,220,608 filters; the first layer is 7×7, so none is in decile 0."""
    state = {
        f"model.{name}": tensor for name, tensor in timm.create_model("resnet18", num_classes=7).state_dict().items()
    }
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    result = network(tmp_path / "last.ckpt", "timm:resnet18", FACTS)
    assert (len(result.layers), result.n_filters) == (16, 1_220_608)
    assert min(layer.depth_decile for layer in result.layers) == 1
    assert not [skip for skip in result.skips if skip.layer and skip.layer.startswith("fc")]


def test_timm_takes_classes_from_the_file_and_channels_from_the_input_shape(tmp_path):
    module = timm.create_model("resnetv2_50x1_bit", num_classes=5, in_chans=1)
    torch.save(module.state_dict(), tmp_path / "gray.pt")
    result = network(tmp_path / "gray.pt", "timm:resnetv2_50x1_bit", FACTS, input_shape=(1, 64, 64))
    assert len(result.layers) == 16
    assert not [skip for skip in result.skips if skip.reason.startswith("not in the checkpoint")]


def test_another_architecture_is_refused(tmp_path):
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "file.pt")
    with pytest.raises(
        SourceError, match=r"not the weights of ResNet: 100 of its 180 .* 80 missing \(layer1.2.conv1.weight"
    ):
        network(tmp_path / "file.pt", "timm:resnet34", FACTS)


def test_importing_the_sources_is_cheap():
    code = "import filterdb.sources.table, sys; sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

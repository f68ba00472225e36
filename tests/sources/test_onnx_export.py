"""The paper's route: a checkpoint with BatchNorm folded and its export in evaluation mode give the same network."""

import contextlib
import io
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.nn.utils.parametrizations import weight_norm  # noqa: E402

from filterdb import extraction  # noqa: E402
from filterdb.network import Facts  # noqa: E402
from filterdb.sources import onnx  # noqa: E402

FACTS = Facts(model="local/net", source="local", name="net")


def conv(in_channels, out_channels, kernel=3, **options):
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False, **options)


def conv_bn(in_channels, out_channels, kernel=3, **options):
    return nn.Sequential(conv(in_channels, out_channels, kernel, **options), nn.BatchNorm2d(out_channels))


class Residual(nn.Module):
    """A basic block whose shortcut convolves."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first = conv_bn(3, 4), conv_bn(4, 8, stride=2)
        self.second, self.shortcut = conv_bn(8, 8), conv_bn(4, 8, 1, stride=2)

    def forward(self, image):
        data = torch.relu(self.stem(image))
        return torch.relu(self.second(torch.relu(self.first(data))) + self.shortcut(data))


class Preactivated(nn.Module):
    """BatchNorm before convolutions, which cannot fold; a shortcut that reads before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.first = conv(3, 4), nn.BatchNorm2d(4), conv(4, 8)
        self.inner, self.second, self.shortcut = nn.BatchNorm2d(8), conv(8, 8), conv(4, 8, 1)

    def forward(self, image):
        data = self.stem(image)
        branch = self.first(torch.relu(self.norm(data)))
        return self.second(torch.relu(self.inner(branch))) + self.shortcut(data)


class Padded(nn.Module):
    """An explicit pad lifts a 3×3 above its 1×1 shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.main, self.shortcut = conv_bn(3, 4), nn.Conv2d(4, 4, 3, bias=False), conv(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, image):
        data = functional.silu(self.stem(image))
        return self.norm(self.main(functional.pad(data, (1, 1, 1, 1)))) + self.shortcut(data)


class Shared(nn.Module):
    """One convolution called twice, and two with equal weights, which are two."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.shared, self.first, self.second = conv_bn(3, 12), conv(12, 12), conv(12, 12), conv(12, 12)
        nn.init.zeros_(self.first.weight)
        nn.init.zeros_(self.second.weight)

    def forward(self, image):
        data = self.shared(torch.relu(self.shared(self.stem(image))))
        return self.second(torch.relu(self.first(data)))


class Standardised(nn.Conv2d):
    """A convolution whose weight is computed at each call."""

    def forward(self, image):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(image, weight, padding=1)


NETWORKS = {
    "plain": lambda: nn.Sequential(conv_bn(3, 4), nn.ReLU(), conv_bn(4, 8, dilation=2), nn.ReLU(), conv(8, 8)),
    "residual": Residual,
    "preactivated": Preactivated,
    "grouped": lambda: nn.Sequential(conv_bn(3, 6, groups=3), nn.ReLU6(), conv_bn(6, 6, groups=6), conv_bn(6, 9, 1)),
    "padded": Padded,
    "shared": Shared,
    "norms in a row": lambda: nn.Sequential(conv_bn(3, 4), nn.BatchNorm2d(4), nn.ReLU(), conv_bn(4, 4)),
    "computed": lambda: nn.Sequential(weight_norm(conv(3, 4)), nn.Hardswish(), Standardised(4, 4, 3)),
}


def with_statistics(module):
    """In evaluation mode, with BatchNorms that are no identity."""
    generator = torch.Generator().manual_seed(0)
    for norm in (each for each in module.modules() if isinstance(each, nn.BatchNorm2d)):
        for tensor in (norm.weight.data, norm.running_var):
            tensor.uniform_(0.5, 2, generator=generator)
        for tensor in (norm.bias.data, norm.running_mean):
            tensor.normal_(generator=generator)
    return module.eval()


def exported(module, shape, folder, fold_batchnorm=False, **options):
    path = folder / "net.onnx"
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporters' own
        torch.onnx.export(module, (torch.zeros(1, *shape),), path, verbose=False, **options)
    return onnx.network(path, FACTS, fold_batchnorm=fold_batchnorm)


def assert_same(ours, theirs):
    """The same layers, their facts, depths and filters; names where the exporter had no reason to change them."""
    facts = ("n_filters", "in_channels", "out_channels", "groups", "stride", "dilation", "conv_depth", "depth_decile")
    assert [[getattr(layer, fact) for fact in facts] for layer in theirs] == [
        [getattr(layer, fact) for fact in facts] for layer in ours
    ]
    assert sorted((skip.kernel, skip.reason) for skip in theirs.skips) == sorted(
        (skip.kernel, skip.reason) for skip in ours.skips
    )
    for layer, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(other.read(), layer.read(), rtol=0, atol=1e-6)
    assert ours.facts.weights == theirs.facts.weights == "bn_folded"


TORCHSCRIPT, DYNAMO = {"dynamo": False}, {"dynamo": True}
UNOPTIMISED = {"dynamo": True, "optimize": False, "fold_batchnorm": True}


def both_routes(name, folder, **options):
    """From a module, and from its export."""
    torch.manual_seed(0)
    module = with_statistics(NETWORKS[name]())
    ours = extraction.network(module, FACTS, (3, 16, 16), fold_batchnorm=True)
    return ours, exported(module, (3, 16, 16), folder, **options)


@pytest.mark.parametrize("name", NETWORKS)
def test_small_networks_through_torchscript(tmp_path, name):
    assert_same(*both_routes(name, tmp_path, **TORCHSCRIPT))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"padded"}))
def test_small_networks_through_dynamo(tmp_path, name):
    assert_same(*both_routes(name, tmp_path, **DYNAMO))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_small_networks_through_dynamo_as_it_traces_them(tmp_path, name):
    assert_same(*both_routes(name, tmp_path, **UNOPTIMISED))


@pytest.mark.slow
def test_dynamo_moves_a_pad_into_the_convolution(tmp_path):
    """Its optimiser writes another graph, in which the convolution lies where its shortcut does."""
    ours, theirs = both_routes("padded", tmp_path, **DYNAMO)
    assert [[layer.conv_depth for layer in network] for network in (ours, theirs)] == [[0, 2], [0, 1]]
    for layer, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(other.read(), layer.read(), rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [("resnet18", TORCHSCRIPT), ("densenet121", TORCHSCRIPT), ("mobilenetv2_100", TORCHSCRIPT), ("resnet18", DYNAMO)],
)
def test_timm_networks(tmp_path, name, options):
    module = with_statistics(pytest.importorskip("timm").create_model(name))
    ours = extraction.network(module, FACTS, (3, 64, 64), fold_batchnorm=True)
    assert_same(ours, exported(module, (3, 64, 64), tmp_path, **options))


def test_names_are_those_of_the_state_dict(tmp_path):
    """Where the exporter folds no BatchNorm into a weight."""
    ours, theirs = both_routes("shared", tmp_path, **TORCHSCRIPT)
    assert [layer.name for layer in theirs][1:] == ["shared.weight", "first.weight", "second.weight"]
    assert [layer.name for layer in ours][1:] == ["shared.weight", "first.weight", "second.weight"]


def test_export_of_training_keeps_batchnorm(tmp_path):
    """With the BatchNorms still in the graph the filters are raw, and multiplied in on request."""
    torch.manual_seed(0)
    module = with_statistics(Residual())
    raw = exported(
        module,
        (3, 16, 16),
        tmp_path,
        dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
    )
    assert raw.facts.weights == "raw"
    for layer, other in zip(extraction.network(module, FACTS, (3, 16, 16)), raw, strict=True):
        np.testing.assert_array_equal(other.read(), layer.read())
    assert_same(
        extraction.network(module, FACTS, (3, 16, 16), fold_batchnorm=True),
        onnx.network(tmp_path / "net.onnx", FACTS, fold_batchnorm=True),
    )

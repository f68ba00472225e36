"""BatchNorm folding against PyTorch's own exporter, and against what a folded weight must do."""

import io
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from filterdb.extraction import extract
from filterdb.extraction.folding import is_finite

SHAPE = (4, 8, 8)


def conv(out_channels: int = 4, **options) -> nn.Conv2d:
    return nn.Conv2d(4, out_channels, 3, **{"padding": 1, "bias": False} | options)


def norm(**options) -> nn.BatchNorm2d:
    """A BatchNorm that changes each channel in its own way."""
    module = nn.BatchNorm2d(4, **options)
    for tensor in (module.running_mean, module.running_var, *module.parameters()):
        tensor.data.uniform_(0.2, 3)
    return module


class Net(nn.Module):
    """Three convolutions, two BatchNorms, and a function of the module and its input."""

    def __init__(self, does):
        super().__init__()
        self.a, self.b, self.c, self.unpadded = conv(), conv(), conv(), conv(padding=0)
        self.norm, self.other = norm(), norm()
        self.does = does

    def forward(self, x):
        return self.does(self, x)


def residual_with_pad(net, x):
    x = net.norm(net.a(x)).relu()
    return net.b(x) + net.c(net.other(net.unpadded(F.pad(x, (1, 1, 1, 1)))).relu())


def read_beside(net, x):
    y = net.a(x)
    return net.b(net.norm(y)) + net.c(y.relu())


def returned_too(net, x):
    y = net.a(x)
    return net.b(net.norm(y)), y


def dead_user(net, x):
    y = net.a(x)
    net.c(y)
    return net.b(net.norm(y))


NETS = {
    "plain": lambda: nn.Sequential(conv(), norm(), nn.ReLU(), conv(bias=True), norm(), nn.ReLU(), conv()),
    "preact": lambda: nn.Sequential(norm(), nn.ReLU(), conv(), norm(), nn.ReLU(inplace=True), conv()),
    "grouped": lambda: nn.Sequential(conv(groups=2), norm(), nn.ReLU(), conv(groups=4, stride=2), norm()),
    "no affine": lambda: nn.Sequential(conv(), norm(affine=False), nn.ReLU(), conv()),
    "two in a row": lambda: nn.Sequential(conv(), norm(), norm(eps=0.1), nn.ReLU(), conv()),
    "dropout between": lambda: nn.Sequential(conv(), nn.Dropout(), norm(), conv()),
    "relu between": lambda: nn.Sequential(conv(), nn.ReLU(), norm(), conv()),
    "residual with pad": lambda: Net(residual_with_pad),
    "shared norm": lambda: Net(lambda net, x: net.norm(net.b(net.norm(net.a(x)).relu()))),
    "shared convolution": lambda: Net(lambda net, x: net.other(net.a(net.norm(net.a(x)).relu()))),
    "called twice": lambda: Net(lambda net, x: net.norm(net.a(x)) + net.b(net.a(x.relu()))),
    "read beside": lambda: Net(read_beside),
    "returned too": lambda: Net(returned_too),
    "dead user": lambda: Net(dead_user),
}

# Where the exported graph calls a convolution again, which is listed at its first call only.
SECOND_CALLS = {"shared convolution": {1}, "called twice": {1}}


@pytest.fixture(params=NETS.values(), ids=NETS.keys())
def module(request) -> nn.Module:
    torch.manual_seed(0)
    return request.param().eval()


def exported(module: nn.Module) -> list[tuple[torch.Tensor, int]]:
    """(weight, node depth) of each convolution of the module's ONNX graph, in its order."""
    onnx = pytest.importorskip("onnx")
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.rand(1, *SHAPE),), file, dynamo=False)
    graph = onnx.load_from_string(file.getvalue()).graph
    weights = {tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    depths = {value.name: 0 for value in graph.input}
    convolutions = []
    for node in graph.node:
        before = [depths[name] for name in node.input if name in depths]
        if node.op_type == "Identity" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]]
        elif before:
            depths.update(dict.fromkeys(node.output, 1 + max(before)))
        if node.op_type == "Conv":
            convolutions.append((weights[node.input[1]], depths[node.output[0]]))
    return convolutions


def test_folded_as_pytorch_exports_to_onnx(module, request):
    theirs = exported(module)
    levels = sorted({depth for _, depth in theirs})
    ours = extract(module, SHAPE, fold_batchnorm=True).convolutions
    theirs = [call for i, call in enumerate(theirs) if i not in SECOND_CALLS.get(request.node.callspec.id, ())]
    assert [c.conv_depth for c in ours] == [levels.index(depth) for _, depth in theirs]
    for convolution, (weight, _) in zip(ours, theirs, strict=True):
        assert convolution.weight.dtype == torch.float32
        torch.testing.assert_close(convolution.weight, weight, rtol=1e-6, atol=1e-6)


def test_folded_weights_do_what_convolution_and_norm_did(module):
    raw, folded = (extract(module, SHAPE, fold_batchnorm=fold).convolutions for fold in (False, True))
    assert [c.name for c in raw] == [c.name for c in folded]
    assert [c.conv_depth for c in raw] == [c.conv_depth for c in folded]
    for before, after in zip(raw, folded, strict=True):
        ratio = after.weight / before.weight
        assert torch.allclose(ratio, ratio[:, :1, :1, :1].expand_as(ratio), rtol=1e-5)


def test_the_folded_network_computes_the_same():
    torch.manual_seed(0)
    convolution, batchnorm = conv(), norm()
    (folded,) = extract(nn.Sequential(convolution, batchnorm), SHAPE, fold_batchnorm=True).convolutions
    x, zero = torch.rand(1, *SHAPE), torch.zeros(1, *SHAPE)
    chain = nn.Sequential(convolution, batchnorm).eval()
    torch.testing.assert_close(F.conv2d(x, folded.weight, padding=1), chain(x) - chain(zero), rtol=1e-4, atol=1e-5)


def test_products_are_taken_in_float64():
    torch.manual_seed(0)
    convolution, batchnorm = conv(), norm()
    scale = batchnorm.weight.double() / (batchnorm.running_var.double() + batchnorm.eps).sqrt()
    exact = (convolution.weight.double() * scale[:, None, None, None]).float()
    (folded,) = extract(nn.Sequential(convolution, batchnorm), SHAPE, fold_batchnorm=True).convolutions
    assert torch.equal(folded.weight, exact)
    half = nn.Sequential(convolution, batchnorm).half()
    (folded,) = extract(half, SHAPE, fold_batchnorm=True).convolutions
    assert folded.weight.dtype == torch.float32


def test_folding_on_the_meta_device():
    chain = nn.Sequential(conv(), norm(), conv()).to("meta")
    first, second = extract(chain, SHAPE, fold_batchnorm=True).convolutions
    assert first.weight.shape == second.weight.shape == (4, 4, 3, 3)
    assert first.weight.is_meta
    assert first.weight.dtype == torch.float32


def test_finite_means_finite_float32_after_folding():
    weight, scale = torch.ones(2, 3, 3, 3), torch.ones(2, dtype=torch.float64)
    assert is_finite(weight)
    assert is_finite(weight, scale)
    for bad in (float("nan"), float("inf"), -float("inf")):
        broken = weight.clone()
        broken[1, 2, 0, 1] = bad
        assert not is_finite(broken)
        assert not is_finite(weight, scale * bad)
    assert not is_finite(weight.double() * 1e300)
    assert not is_finite(weight * 1e30, scale * 1e30)
    assert is_finite(weight * 1e30, scale * 1e-30)

"""Weights that are computed resolve to the parameter they come from, and are what reaches the operator."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune

from filterdb.extraction import extract

SHAPE = (4, 8, 8)


def conv() -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, padding=1)


def old_weight_norm() -> nn.Module:
    return nn.utils.weight_norm(conv())


def old_spectral_norm() -> nn.Module:
    return nn.utils.spectral_norm(conv())


def weight_norm() -> nn.Module:
    return parametrizations.weight_norm(conv())


def spectral_norm() -> nn.Module:
    return parametrizations.spectral_norm(conv())


def orthogonal() -> nn.Module:
    return parametrizations.orthogonal(conv(), orthogonal_map="matrix_exp")


def pruned() -> nn.Module:
    return prune.l1_unstructured(conv(), "weight", amount=0.5)


class Orthonormal(nn.Module):
    """Björck's iteration: a product of the weight with itself, over and over."""

    def forward(self, weight):
        matrix = weight.flatten(1) / weight.norm()
        for _ in range(25):
            matrix = 1.5 * matrix - 0.5 * matrix @ matrix.T @ matrix
        return matrix.view_as(weight)


class Halved(nn.Module):
    def forward(self, weight):
        return weight / 2


def chained() -> nn.Module:
    module = conv()
    parametrize.register_parametrization(module, "weight", Orthonormal())
    return parametrize.register_parametrization(module, "weight", Halved())


def standardised() -> nn.Module:
    return pytest.importorskip("timm.layers").StdConv2d(4, 4, 3, padding=1)


def scaled_standardised() -> nn.Module:
    return pytest.importorskip("timm.layers").ScaledStdConv2d(4, 4, 3, padding=1)


class LowRank(nn.Conv2d):
    """The change is computed from more numbers than the weight has."""

    def __init__(self):
        super().__init__(4, 4, 3, padding=1)
        self.down, self.up = nn.Parameter(torch.rand(50, 4, 9)), nn.Parameter(torch.rand(4, 50))

    def forward(self, x):
        change = torch.einsum("or,rik->oik", self.up, self.down)
        return F.conv2d(x, self.weight + change.view_as(self.weight), self.bias, padding=1)


class Masked(nn.Conv2d):
    """The buffer has the weight's shape too, and comes first."""

    def __init__(self):
        super().__init__(4, 4, 3, padding=1)
        self.register_buffer("a_mask", torch.ones(4, 4, 3, 3).triu())

    def forward(self, x):
        return F.conv2d(x, self.a_mask * self.weight, self.bias, padding=1)


class Binary(nn.Conv2d):
    def __init__(self):
        super().__init__(4, 4, 3, padding=1)

    def forward(self, x):
        return F.conv2d(x, self.weight.data.sign() * self.weight.abs().mean(), self.bias, padding=1)


class FromCode(nn.Module):
    """A small code is expanded to the weight: no parameter has its shape."""

    def __init__(self):
        super().__init__()
        self.gain, self.code = nn.Parameter(torch.rand(1)), nn.Parameter(torch.rand(4, 4, 3))

    def forward(self, x):
        return F.conv2d(x, self.gain * self.code[..., None].expand(4, 4, 3, 3), padding=1)


class FromBasis(nn.Module):
    """What is learned are a few coefficients of a large fixed basis."""

    def __init__(self):
        super().__init__()
        self.code = nn.Parameter(torch.rand(5))
        self.register_buffer("basis", torch.rand(5, 4, 4, 3, 3))

    def forward(self, x):
        return F.conv2d(x, torch.tensordot(self.code, self.basis, 1), padding=1)


MAKERS = {
    old_weight_norm: "weight_v",
    old_spectral_norm: "weight_orig",
    weight_norm: "parametrizations.weight.original1",
    spectral_norm: "parametrizations.weight.original",
    orthogonal: "parametrizations.weight.original",
    pruned: "weight_orig",
    chained: "parametrizations.weight.original",
    standardised: "weight",
    scaled_standardised: "weight",
    LowRank: "weight",
    Masked: "weight",
    Binary: "weight",
    FromCode: "code",
    FromBasis: "code",
}


@pytest.fixture(params=MAKERS, ids=lambda make: make.__name__)
def computed(request) -> tuple[nn.Module, str]:
    """A module between two plain convolutions, and the name its weight should have."""
    torch.manual_seed(0)
    return nn.Sequential(conv(), request.param(), nn.ReLU(), conv()), f"1.{MAKERS[request.param]}"


pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning", "ignore:.*spectral_norm:FutureWarning")


def test_names_and_depths(computed):
    module, name = computed
    convolutions = extract(module, SHAPE).convolutions
    assert [(c.name, c.conv_depth) for c in convolutions] == [("0.weight", 0), (name, 1), ("3.weight", 2)]
    assert name in module.state_dict()
    assert extract(module, SHAPE).skips == ()


def test_the_weight_is_what_reaches_the_operator(computed):
    module, _ = computed
    x = torch.rand(1, *SHAPE)
    weight = extract(module, SHAPE).convolutions[1].weight
    module.eval()
    plain = F.conv2d(x, weight, getattr(module[1], "bias", None), padding=1)
    assert torch.allclose(plain, module[1](x), atol=1e-5)


def test_on_the_meta_device(computed):
    module, name = computed
    convolutions = extract(module.to("meta"), SHAPE).convolutions
    assert [c.name for c in convolutions] == ["0.weight", name, "3.weight"]
    assert all(c.weight.is_meta for c in convolutions)


def test_partly_on_the_meta_device():
    module = Masked()
    module.weight = nn.Parameter(module.weight.to("meta"))
    (convolution,) = extract(module, SHAPE).convolutions
    assert convolution.name == "weight"
    assert convolution.weight.is_meta


def test_an_unused_computed_weight_is_named_after_its_parameter_and_not_the_bias():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = conv(), nn.Conv2d(4, 4, 1, groups=4)
            parametrize.register_parametrization(self.unused, "weight", Halved())

        def forward(self, x):
            return self.used(x)

    (skip,) = extract(Unused(), SHAPE).skips
    assert skip.layer == "unused.parametrizations.weight.original"
    assert (skip.kernel, skip.reason) == ("1x1", "dead in forward")


def test_a_weight_computed_at_each_call_is_one_layer():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = scaled_standardised()

        def forward(self, x):
            return self.convolution(self.convolution(x))

    assert [c.name for c in extract(Twice(), SHAPE).convolutions] == ["convolution.weight"]


def test_a_weight_computed_in_place_at_each_call_is_one_layer():
    class Twice(nn.Conv2d):
        def forward(self, x):
            for _ in range(2):
                weight = torch.zeros_like(self.weight)
                weight[:, 1:] = self.weight[:, 1:]
                x = F.conv2d(x, weight.mul_(2), padding=1)
            return x

    module = Twice(4, 4, 3)
    (convolution,) = extract(module, SHAPE).convolutions
    assert convolution.name == "weight"
    assert not convolution.weight[:, 0].any()
    assert torch.equal(convolution.weight[:, 1:], 2 * module.weight[:, 1:])


def test_weights_of_one_formula_and_different_shapes_are_layers_of_their_own():
    class Box(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Parameter(torch.rand(6, 4, 3, 3)), nn.Parameter(torch.rand(2, 6, 3, 3))

        def forward(self, x):
            for parameter in (self.first, self.second):
                x = F.conv2d(x, torch.ones_like(parameter), padding=1) * parameter.sum()
            return x

    convolutions = extract(Box(), SHAPE).convolutions
    assert [(c.name, c.out_channels) for c in convolutions] == [(None, 6), (None, 2)]


def test_a_weight_drawn_at_random_is_another_at_each_call():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(4, 4, 3, 3))

        def forward(self, x):
            for _ in range(2):
                x = F.conv2d(x, self.weight + torch.rand(4, 4, 3, 3), padding=1)
            return x

    assert [c.name for c in extract(Noisy(), SHAPE).convolutions] == ["weight", "weight"]


def test_a_weight_made_from_the_input_shape_alone_has_its_values():
    class Moved(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(x, self.weight.to(x.device) + torch.zeros(3, device=x.device), padding=1)

    module = Moved(4, 4, 3)
    (convolution,) = extract(module, SHAPE).convolutions
    assert torch.equal(convolution.weight, module.weight)


def test_a_weight_that_needs_the_input_s_memory_is_computed_in_a_second_run():
    class Like(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(x, self.weight + x.new_ones(3), padding=1)

    module = Like(4, 4, 3)
    (convolution,) = extract(module, SHAPE).convolutions
    assert torch.equal(convolution.weight, module.weight + 1)

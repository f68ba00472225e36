"""Tensors are followed through whatever a forward pass does with them."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from filterdb.extraction import extract

SHAPE = (2, 8, 8)


def conv(in_channels: int = 2, out_channels: int = 2, **options) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, **options)


def depths(module: nn.Module) -> dict[str | None, int]:
    return {c.name and c.name.removesuffix(".weight"): c.conv_depth for c in extract(module, SHAPE).convolutions}


class Net(nn.Module):
    """Three convolutions a, b, c and a function of the module and its input."""

    def __init__(self, forward):
        super().__init__()
        self.a, self.b, self.c = conv(), conv(), conv()
        self.register_buffer("canvas", torch.zeros(1, 2, 10, 10))
        self.does = forward

    def forward(self, x):
        return self.does(self, x)


def through_slices(net, x):
    out = torch.zeros(1, 4, 8, 8, device=x.device)
    out[:, :2] = net.a(x)
    out[:, 2:] = net.b(x)
    return net.c(out[:, 1:3])


def through_a_buffer(net, x):
    net.canvas[:, :, :5, 1:-1] = net.a(x)[:, :, :5]
    net.canvas[:, :, 5:, 1:-1] = net.b(x)[:, :, :5]
    return net.c(net.canvas)


def through_an_out_argument(net, x):
    out = torch.empty(1, 4, 8, 8, device=x.device)
    torch.cat([net.a(x), net.b(x)], 1, out=out)
    return net.c(out[:, 1:3])


def through_an_alias(net, x):
    y = torch.zeros_like(x)
    alias = y.view(2, 64)
    y.copy_(net.a(x)).add_(net.b(x))
    return net.c(alias.view(1, 2, 8, 8))


def through_lists(net, x):
    halves = torch.stack([net.a(x), net.b(x)]).unbind(0)
    return net.c(torch.einsum("bchw,bchw->bchw", *halves))


@pytest.mark.parametrize(
    "forward",
    [through_slices, through_a_buffer, through_an_out_argument, through_an_alias, through_lists],
    ids=lambda forward: forward.__name__,
)
def test_two_branches_meet(forward):
    assert depths(Net(forward)) == {"a": 0, "b": 0, "c": 1}


@pytest.mark.parametrize(
    "twin",
    [
        (lambda n, x: n.c(n.a(x).relu_()) + n.b(x.relu()), lambda n, x: n.c(n.a(x).relu()) + n.b(x.relu())),
        (lambda n, x: n.c(n.b(n.a(x)).add_(x)), lambda n, x: n.c(n.b(n.a(x)) + x)),
        (lambda n, x: n.c(n.a(x).mul_(n.b(x.sin().cos()))), lambda n, x: n.c(n.a(x) * n.b(x.sin().cos()))),
    ],
    ids=["relu_", "add_", "mul_"],
)
def test_in_place_operators_count_like_the_others(twin):
    in_place, plain = twin
    assert depths(Net(in_place)) == depths(Net(plain))


def test_a_later_write_deepens_what_is_read_after_it_and_not_before():
    def forward(net, x):
        before = net.a(x)
        early = net.b(before)
        before.sin_().cos_()
        return early + net.c(before)

    assert depths(Net(forward)) == {"a": 0, "b": 1, "c": 2}


def test_a_constant_written_over_a_part_keeps_the_rest():
    def forward(net, x):
        x = net.a(x)
        x[:, 0] = 0
        return net.c(x)

    assert depths(Net(forward)) == {"a": 0, "c": 1}


def test_what_an_out_argument_held_does_not_matter():
    def forward(net, x):
        out = net.a(x)
        return net.c(torch.sin(x, out=out))

    assert depths(Net(forward)) == {"c": 0}


Pair = namedtuple("Pair", "first second")


@dataclass
class Output:
    logits: Tensor
    features: dict[str, list[Tensor]]


class Plain:
    def __init__(self, value):
        self.value = value
        self.itself = self


@pytest.mark.parametrize(
    "wrap",
    [
        lambda a, b: (a, [b, None, "text"]),
        lambda a, b: {"a": a, "nested": {"b": (b,)}},
        lambda a, b: Pair(a, b),
        lambda a, b: Output(a, {"b": [b]}),
        lambda a, b: Plain(Plain({"a": a, "b": b})),
    ],
    ids=["tuple", "dict", "namedtuple", "dataclass", "object"],
)
def test_every_kind_of_output_is_searched(wrap):
    module = Net(lambda net, x: wrap(net.a(x), net.b(net.a(x))))
    assert depths(module) == {"a": 0, "b": 1}
    assert [(skip.layer, skip.reason) for skip in extract(module, SHAPE).skips] == [("c.weight", "dead in forward")]


def test_shape_and_type_of_a_tensor_are_no_values():
    def forward(net, x):
        noise = net.a(torch.zeros_like(x)) + net.a(x.new_ones(x.shape)) + net.a(torch.full_like(x, 3.0))
        return net.b(x) + noise

    extraction = extract(Net(forward), SHAPE)
    assert [c.name for c in extraction.convolutions] == ["b.weight"]
    assert (extraction.skips[0].layer, extraction.skips[0].reason) == ("a.weight", "independent of the input")


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(context, x, module):
        return module(x) * 2

    @staticmethod
    def backward(context, gradient):
        raise NotImplementedError


def under_no_grad(net, x):
    with torch.no_grad():
        x = net.a(x)
    with torch.enable_grad():
        return net.b(x).detach()


def under_inference_mode(net, x):
    with torch.inference_mode():
        return net.b(net.a(x).flatten(2).unflatten(2, (8, 8)))


@pytest.mark.parametrize(
    "forward",
    [
        under_no_grad,
        under_inference_mode,
        lambda net, x: net.b(Doubled.apply(x, net.a)),
        lambda net, x: net.b(checkpoint(net.a, x, use_reentrant=False)),
        lambda net, x: net.b(checkpoint(net.a, x, use_reentrant=True, preserve_rng_state=False)),
        lambda net, x: net.b(net.a(x[0])).unsqueeze(0),
        lambda net, x: net.b(net.a(x.cpu() if x.device.type == "cpu" else x).to(x.device)),
        lambda net, x: net.b(torch.vmap(net.a)(x[None])[0]),
        lambda net, x: F.conv2d(net.a(x).data, net.b.weight.data),
    ],
    ids=["no_grad", "inference", "autograd", "checkpoint", "reentrant", "unbatched", "to device", "vmap", "data"],
)
def test_ways_to_call_a_convolution(forward):
    assert depths(Net(forward)) == {"a": 0, "b": 1}


def test_inference_mode_around_the_extraction():
    chain = nn.Sequential(conv(), nn.BatchNorm2d(2), nn.Dropout(), conv())
    with torch.inference_mode():
        assert depths(chain) == {"0": 0, "3": 1}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
def test_scripted_and_traced_modules():
    chain = nn.Sequential(conv(), nn.BatchNorm2d(2), nn.ReLU(inplace=True), conv()).eval()
    scripted = nn.Sequential(torch.jit.script(chain), conv())
    traced = nn.Sequential(torch.jit.trace(chain, torch.rand(1, *SHAPE)), conv())
    for module in (scripted, traced):
        assert depths(module) == {"0.0": 0, "0.3": 1, "1": 2}
        assert module.state_dict()["0.3.weight"].data_ptr() == extract(module, SHAPE).convolutions[1].weight.data_ptr()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
def test_a_frozen_script_has_weights_without_names():
    frozen = torch.jit.freeze(torch.jit.script(nn.Sequential(conv(), nn.ReLU(), conv()).eval()))
    convolutions = extract(frozen, SHAPE).convolutions
    assert [(c.name, c.conv_depth) for c in convolutions] == [(None, 0), (None, 1)]


class Normalised(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.mean, self.deviation = torch.tensor([0.5, 0.4]).view(2, 1, 1), torch.tensor([0.2, 0.3]).view(2, 1, 1)
        self.module = module

    def forward(self, x):
        return self.module((x - self.mean) / self.deviation)


class Ensemble(nn.Module):
    def __init__(self, *members):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x):
        return torch.stack([member(x) for member in self.members]).mean(0)


@pytest.mark.parametrize("on_meta", [False, True])
def test_wrappers(on_meta):
    members = [nn.DataParallel(nn.Sequential(conv(), conv())), Normalised(nn.Sequential(conv()))]
    module = Normalised(Ensemble(*members))
    prefix = "module.members"
    assert depths(module.to("meta") if on_meta else module) == {
        f"{prefix}.0.module.0": 0,
        f"{prefix}.0.module.1": 1,
        f"{prefix}.1.module.0": 2,
    }


def test_data_parallel_needs_no_gpu():
    module = nn.DataParallel(nn.Sequential(conv()))
    module.device_ids, module.output_device, module.src_device_obj = [0, 1], 0, torch.device("cuda:0")
    assert depths(module) == {"module.0": 0}
    assert module.device_ids == [0, 1]


def test_channels_last():
    module = nn.Sequential(conv(), nn.ReLU(), conv(2, 4)).to(memory_format=torch.channels_last)
    assert depths(module) == {"0": 0, "2": 1}


def test_functional_convolutions():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.Parameter(torch.rand(2, 2, 3, 3))
            self.register_buffer("blur", torch.ones(2, 1, 3, 3))
            self.register_buffer("transient", torch.ones(2, 2, 3, 3), persistent=False)
            self.plain = torch.ones(2, 2, 3, 3)

        def forward(self, x):
            x = F.conv2d(F.conv2d(x, self.kernel, padding=1), self.blur, padding=1, groups=2)
            return F.conv2d(F.conv2d(x, self.transient), self.plain)

    assert depths(Functional()) == {"kernel": 0, "blur": 1, "transient": 2, None: 3}


def test_tied_weights_are_one_layer_under_their_first_name():
    module = nn.Sequential(conv(), conv(), conv())
    module[2].weight = module[0].weight
    extraction = extract(module, SHAPE)
    assert [(c.name, c.conv_depth) for c in extraction.convolutions] == [("0.weight", 0), ("1.weight", 1)]
    assert extraction.skips == ()


def test_parts_of_one_weight_are_layers_of_their_own():
    class Sliced(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(4, 2, 3, 3))

        def forward(self, x):
            for start in (0, 2, 0):
                x = F.conv2d(x, self.weight[start : start + 2], padding=1)
            return x

    module = Sliced()
    convolutions = extract(module, SHAPE).convolutions
    assert [(c.name, c.conv_depth) for c in convolutions] == [("weight", 0), ("weight", 1)]
    assert torch.equal(torch.cat([c.weight for c in convolutions]), module.weight)


def test_a_parameter_given_other_memory_is_what_was_put_there():
    class Overwritten(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = conv(), conv()

        def forward(self, x):
            x = self.a(x)
            self.b.weight.data = self.b.weight * x.mean()
            return self.b(x)

    extraction = extract(Overwritten(), SHAPE)
    assert [c.name for c in extraction.convolutions] == ["a.weight"]
    assert [(skip.layer, skip.reason) for skip in extraction.skips] == [("b.weight", "weights depend on the input")]


def test_weights_that_depend_on_the_input_are_no_filters():
    class Dynamic(nn.Module):
        def __init__(self):
            super().__init__()
            self.experts, self.gate = nn.Parameter(torch.rand(3, 2 * 2 * 9)), nn.Linear(2, 3)
            self.a, self.b = conv(), conv()

        def forward(self, x):
            x = self.a(x)
            gates = self.gate(x.mean((2, 3))).softmax(1)
            return self.b(F.conv2d(x, (gates @ self.experts).view(2, 2, 3, 3), padding=1))

    extraction = extract(Dynamic(), SHAPE)
    assert [(c.name, c.conv_depth) for c in extraction.convolutions] == [("a.weight", 0), ("b.weight", 2)]
    (skip,) = extraction.skips
    assert (skip.layer, skip.kernel, skip.reason) == ("experts", "3x3", "weights depend on the input")

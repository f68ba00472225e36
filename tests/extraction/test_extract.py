"""Live convolutions and their depth on small networks, worked out by hand or by enumerating paths."""

import random

import pytest
import torch
from torch import nn

from filterdb.errors import SourceError
from filterdb.extraction import extract
from filterdb.network import Skip

SHAPE = (2, 8, 8)


def conv3(in_channels: int = 2, out_channels: int = 2, **options) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, **{"padding": 1, "bias": False} | options)


def conv1() -> nn.Conv2d:
    return nn.Conv2d(2, 2, 1, bias=False)


def depths(module: nn.Module, shape: tuple[int, ...] = SHAPE) -> dict[str, int]:
    return {c.name.removesuffix(".weight"): c.conv_depth for c in extract(module, shape).convolutions}


class Block(nn.Module):
    """A residual block with a 1×1 shortcut."""

    def __init__(self, *, shortcut_first: bool = False, pads: bool = False):
        super().__init__()
        self.shortcut_first, self.pads = shortcut_first, pads
        self.stem, self.first, self.second, self.shortcut = conv3(), conv3(padding=int(not pads)), conv3(), conv1()
        self.norm, self.inner = nn.BatchNorm2d(2), nn.BatchNorm2d(2)

    def forward(self, x):
        x = self.stem(x)
        activated = self.norm(x).relu()
        out = nn.functional.pad(activated, (1, 1, 1, 1)) if self.pads else activated
        out = self.second(self.inner(self.first(out)).relu())
        return out + self.shortcut(x if self.shortcut_first else activated)


def test_shortcut_beside_the_first_convolution_shares_its_level():
    assert depths(Block()) == {"stem": 0, "first": 1, "second": 2, "shortcut": 1}


def test_shortcut_that_reads_before_norm_and_relu_lies_below():
    assert depths(Block(shortcut_first=True)) == {"stem": 0, "first": 2, "second": 3, "shortcut": 1}


def test_pad_lifts_a_convolution_above_its_shortcut():
    assert depths(Block(pads=True)) == {"stem": 0, "first": 2, "second": 3, "shortcut": 1}


def test_convolutions_side_by_side_share_a_level():
    class Inception(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.a, self.b1, self.b2, self.end = conv3(), conv1(), conv1(), conv3(), conv3(4)

        def forward(self, x):
            x = self.stem(x)
            return self.end(torch.cat([self.a(x), self.b2(self.b1(x))], 1))

    assert depths(Inception()) == {"stem": 0, "a": 1, "b1": 1, "b2": 2, "end": 3}


def test_batchnorm_that_folds_counts_nothing():
    class Two(nn.Module):
        def __init__(self, is_shared: bool):
            super().__init__()
            self.a, self.norm, self.b, self.c = conv3(), nn.BatchNorm2d(2), conv3(), conv3()
            self.is_shared = is_shared

        def forward(self, x):
            a = self.a(x)
            normed = self.norm(a)
            return self.b(normed) + self.c(a.relu()) if self.is_shared else self.b(normed) + self.c(normed.relu())

    assert depths(Two(is_shared=False)) == {"a": 0, "b": 1, "c": 2}
    assert depths(Two(is_shared=True)) == {"a": 0, "b": 1, "c": 1}


def test_batchnorm_without_running_statistics_does_not_fold():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c, self.d = conv3(), conv3(), conv3(), conv3()
            self.norm = nn.BatchNorm2d(2, track_running_stats=False)

        def forward(self, x):
            return self.b(self.norm(self.a(x))) + self.d(self.c(x))

    assert depths(Branches()) == {"a": 0, "b": 2, "c": 0, "d": 1}


def test_batchnorm_behind_a_transposed_convolution_does_not_fold():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.norm = nn.ConvTranspose2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
            self.b, self.c, self.d = conv3(), conv3(), conv3()

        def forward(self, x):
            return self.b(self.norm(self.up(x))) + self.d(self.c(x))

    assert depths(Branches()) == {"b": 2, "c": 0, "d": 1}


def test_a_change_of_type_counts_and_a_copy_does_not():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c, self.d = conv3(), conv3(), conv3(), conv3()

        def forward(self, x):
            x = self.a(x)
            return self.b(x.half().float()) + self.c(x.to(x.device, copy=True)) + self.d(x.relu())

    assert depths(Branches()) == {"a": 0, "b": 3, "c": 1, "d": 2}


def test_dropout_and_identity_count_nothing():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = conv3(), conv3(), conv3()
            self.nothing = nn.Sequential(nn.Dropout(0.5), nn.Identity(), nn.Dropout2d(0.5))

        def forward(self, x):
            x = self.a(x)
            return self.b(self.nothing(x).clone().contiguous().float()) + self.c(x)

    assert depths(Branches()) == {"a": 0, "b": 1, "c": 1}


def test_deciles_of_a_chain():
    convolutions = extract(nn.Sequential(*(conv3() for _ in range(13))), SHAPE).convolutions
    assert [c.conv_depth for c in convolutions] == list(range(13))
    assert [c.depth for c in convolutions] == [i / 12 for i in range(13)]
    assert [c.depth_decile for c in convolutions] == [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 10]


def test_a_convolution_is_described():
    chain = nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1, groups=2),
        nn.Conv2d(6, 6, (3, 5), stride=(1, 2), padding=4, dilation=(2, 1), groups=6),
        nn.Conv2d(6, 4, 3, dilation=2, padding="same"),
    )
    strided, depthwise, dilated = extract(chain, SHAPE).convolutions
    assert (strided.kernel, strided.in_channels, strided.out_channels, strided.groups) == ((3, 3), 1, 6, 2)
    assert (strided.stride, strided.dilation, strided.n_filters) == (2, 1, 6)
    assert (depthwise.kernel, depthwise.in_channels, depthwise.groups) == ((3, 5), 1, 6)
    assert (depthwise.stride, depthwise.dilation) == (None, None)
    assert (dilated.stride, dilated.dilation, dilated.n_filters) == (1, 2, 24)


def test_no_live_convolution_gives_an_empty_extraction():
    extraction = extract(nn.Linear(8, 2), SHAPE)
    assert extraction.convolutions == extraction.skips == ()


def test_everything_that_is_no_live_2d_convolution_is_skipped_by_name():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.live, self.unused, self.never = conv3(), conv3(), conv3()
            self.up = nn.ConvTranspose2d(2, 2, 4, stride=2)
            self.flat, self.deep = nn.Conv1d(2, 2, 3), nn.Conv3d(2, 2, (1, 2, 3))
            self.never_flat, self.never_up = nn.Conv1d(2, 2, 5), nn.ConvTranspose2d(2, 3, 2)
            self.as_matrix = nn.Conv2d(2, 2, 1)
            self.orphan = nn.Parameter(torch.rand(4, 2, 3, 3))
            self.register_buffer("image", torch.rand(1, 2, 8, 8))
            self.on_constant = conv3()

        def forward(self, x):
            x = self.live(x) + self.on_constant(self.image)
            self.unused(x)
            x = self.up(self.deep(x[:, :, None]).squeeze(2))
            return self.flat(x.flatten(2)) + self.as_matrix.weight.flatten(1) @ x.new_ones(2, 1)

    extraction = extract(Mixed(), SHAPE)
    assert [(c.name, c.conv_depth) for c in extraction.convolutions] == [("live.weight", 0)]
    assert extraction.skips == (
        Skip("on_constant.weight", "3x3", "independent of the input"),
        Skip("unused.weight", "3x3", "dead in forward"),
        Skip("deep.weight", "1x2x3", "3-D convolution"),
        Skip("up.weight", "4x4", "transposed"),
        Skip("flat.weight", "3", "1-D convolution"),
        Skip("never.weight", "3x3", "dead in forward"),
        Skip("never_flat.weight", "5", "dead in forward"),
        Skip("never_up.weight", "2x2", "dead in forward"),
        Skip("as_matrix.weight", "1x1", "used outside a convolution"),
        Skip("orphan", "3x3", "dead in forward"),
    )


def test_a_convolution_called_twice_is_listed_once_and_every_call_is_a_level():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.again, self.end = conv3(), conv3(), conv3()

        def forward(self, x):
            x = self.stem(x)
            for _ in range(3):
                x = self.again(x).relu()
            return self.end(x)

    convolutions = extract(Recurrent(), SHAPE).convolutions
    assert [(c.name, c.conv_depth) for c in convolutions] == [
        ("stem.weight", 0),
        ("again.weight", 1),
        ("end.weight", 4),
    ]
    assert [c.depth for c in convolutions] == [0.0, 0.25, 1.0]


def test_a_first_call_that_is_dead_does_not_count():
    class Peeks(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = conv3(), conv3()

        def forward(self, x):
            self.b(x)
            return self.b(self.a(x))

    extraction = extract(Peeks(), SHAPE)
    assert [(c.name, c.conv_depth) for c in extraction.convolutions] == [("a.weight", 0), ("b.weight", 1)]
    assert extraction.skips == ()


def test_a_forward_that_fails_says_with_which_shape_and_why():
    with pytest.raises(SourceError, match=r"shape \(1, 5, 8, 8\).*RuntimeError: .*to have 2 channels"):
        extract(nn.Sequential(conv3()), (5, 8, 8))
    with pytest.raises(SourceError, match=r"shape \(1, 5, 8, 8\) \(with weights on the meta device\)"):
        extract(nn.Sequential(conv3()).to("meta"), (5, 8, 8))


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_parameters_are_refused():
    with pytest.raises(SourceError, match="lazy parameters"):
        extract(nn.LazyConv2d(2, 3), SHAPE)


class Random(nn.Module):
    """A random graph of operations; `plan` lists (operation, inputs), position 0 is the input."""

    OPERATIONS = ("conv3", "conv3", "conv1", "norm", "relu", "add", "up")

    def __init__(self, seed: int):
        super().__init__()
        choose = random.Random(seed)
        self.plan: list[tuple[str, tuple[int, ...]]] = [("input", ())]
        for position in range(1, choose.randrange(6, 14)):
            operation = choose.choice(self.OPERATIONS)
            inputs = tuple(choose.randrange(position) for _ in range(2 if operation == "add" else 1))
            self.plan.append((operation, inputs))
        self.outputs = choose.sample(range(1, len(self.plan)), 2)
        makers = {"conv3": conv3, "conv1": conv1, "norm": lambda: nn.BatchNorm2d(2)}
        makers["up"] = lambda: nn.ConvTranspose2d(2, 2, 3, padding=1)
        self.parts = nn.ModuleList(makers.get(operation, nn.ReLU)() for operation, _ in self.plan)

    def forward(self, x):
        values = [x]
        for (operation, inputs), part in zip(self.plan[1:], self.parts[1:], strict=True):
            arguments = [values[i] for i in inputs]
            values.append(arguments[0] + arguments[1] if operation == "add" else part(*arguments))
        return [values[i] for i in self.outputs]

    def users(self, position: int) -> list[int]:
        """Live operations that use `position`, once for each use."""
        return [u for u, (_, inputs) in enumerate(self.plan) for i in inputs if i == position and self.is_live(u)]

    def is_live(self, position: int) -> bool:
        return position in self.outputs or any(
            self.is_live(user) for user, (_, inputs) in enumerate(self.plan) if position in inputs
        )

    def counts(self, position: int) -> bool:
        operation, inputs = self.plan[position]
        if operation != "norm":
            return operation != "input"
        (before,) = inputs
        convolves = self.plan[before][0] in ("conv1", "conv3")
        return not (
            convolves and self.is_live(position) and len(self.users(before)) == 1 and before not in self.outputs
        )

    def longest(self, position: int) -> int:
        return self.counts(position) + max((self.longest(i) for i in self.plan[position][1]), default=0)

    def expected(self) -> dict[str, int]:
        planar = [i for i, (o, _) in enumerate(self.plan) if o in ("conv1", "conv3") and self.is_live(i)]
        levels = sorted({self.longest(i) for i in planar})
        return {f"parts.{i}": levels.index(self.longest(i)) for i in planar}


@pytest.mark.parametrize("seed", range(120))
def test_random_networks_agree_with_enumerating_all_paths(seed):
    module = Random(seed)
    expected = module.expected()
    assert depths(module) == expected
    unlisted = {skip.layer.removesuffix(".weight") for skip in extract(module, SHAPE).skips}
    assert unlisted == {
        f"parts.{i}"
        for i, (operation, _) in enumerate(module.plan)
        if operation in ("conv1", "conv3", "up") and f"parts.{i}" not in expected
    }

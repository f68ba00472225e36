"""A forward pass for observation leaves nothing behind, and values decide only where there are values."""

import gc

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from filterdb.errors import SourceError
from filterdb.extraction import extract

SHAPE = (2, 8, 8)


def conv(**options) -> nn.Conv2d:
    return nn.Conv2d(2, 2, 3, padding=1, **options)


class Restless(nn.Module):
    """Changes everything about itself in forward; with `looks`, needs values of its input."""

    def __init__(self, looks: bool):
        super().__init__()
        self.looks = looks
        self.a, self.b, self.norm = conv(), conv(), nn.BatchNorm2d(2)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("canvas", torch.ones(1, 2, 8, 8))
        self.register_buffer("replaced", torch.ones(3))
        self.last = None

    def forward(self, x):
        self.calls += 1
        self.canvas[:, :, 2:4] = self.a(x)[:, :, 2:4]
        self.replaced = self.replaced * 2
        self.last = x
        self.b.weight.data = self.b.weight.data.sign()
        self.a.weight.data.mul_(2)
        self.extra = nn.Identity()
        self.norm.train()
        x = self.norm(self.b(self.canvas)) + torch.randn(1)
        return x * x.abs().max().item() if self.looks else x


def state(module: nn.Module) -> tuple[dict, list, list, torch.Tensor]:
    tensors = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    memory = [tensor.data_ptr() for tensor in module.state_dict().values()]
    attributes = [(m.training, sorted(vars(m)), getattr(m, "last", None)) for m in module.modules()]
    return tensors, memory, attributes, torch.get_rng_state()


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_module_and_the_random_numbers_stay_as_they_were(looks, training):
    module = Restless(looks).train(training)
    module.a.eval()
    before = state(module)
    convolutions = extract(module, SHAPE).convolutions
    after = state(module)
    assert [(c.name, c.conv_depth) for c in convolutions] == [("a.weight", 0), ("b.weight", 1)]
    assert before[0].keys() == after[0].keys()
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1:3] == after[1:3]
    assert torch.equal(before[3], after[3])


def test_the_module_is_restored_when_the_forward_pass_fails():
    module = nn.Sequential(Restless(looks=False), nn.Linear(3, 3))
    before = state(module)
    with pytest.raises(SourceError):
        extract(module, SHAPE)
    after = state(module)
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1:3] == after[1:3]


def test_the_observed_pass_is_in_evaluation_mode():
    class OnlyWhenTraining(nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.auxiliary = conv(), conv()

        def forward(self, x):
            return (self.main(x), self.auxiliary(x)) if self.training else self.main(x)

    extraction = extract(OnlyWhenTraining().train(), SHAPE)
    assert [c.name for c in extraction.convolutions] == ["main.weight"]
    assert [(skip.layer, skip.reason) for skip in extraction.skips] == [("auxiliary.weight", "dead in forward")]


class Chooses(nn.Module):
    """Takes the branch that the values of its input decide."""

    def __init__(self, choose):
        super().__init__()
        self.positive, self.negative, self.choose = conv(), conv(), choose

    def forward(self, x):
        return self.positive(x) if self.choose(self, x) else self.negative(x)


CHOICES = {
    "item": lambda net, x: x.sum().item() > 0,
    "bool": lambda net, x: bool((x >= 0).all()),
    "mask": lambda net, x: len(x[x >= 0]) > 0,
    "nonzero": lambda net, x: (x >= 0).nonzero().shape[0] > 0,
    "list": lambda net, x: x.flatten().tolist()[0] >= 0,
    "numpy": lambda net, x: x.cpu().numpy().min() >= 0,
    "written": lambda net, x: net.write(x).item() > 0,
}


@pytest.mark.parametrize("choose", CHOICES.values(), ids=CHOICES.keys())
def test_values_that_decide_are_real_ones(choose):
    module = Chooses(choose)
    module.register_buffer("seen", torch.full((), -1.0))
    module.write = lambda x: module.seen.copy_(x.sum())
    assert [c.name for c in extract(module, SHAPE).convolutions] == ["positive.weight"]
    assert module.seen == -1.0
    with pytest.raises(SourceError, match="meta device"):
        extract(module.to("meta"), SHAPE)


def test_values_of_constants_need_no_second_run():
    runs = []

    class LooksAtItself(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = conv(), conv()
            self.register_buffer("gate", torch.tensor(1.0))

        def forward(self, x):
            runs.append(x.device.type)
            steps = torch.arange(3, device=x.device).tolist()
            return self.a(x) if self.gate.item() > 0 and len(steps) == 3 else self.b(x)

    module = LooksAtItself()
    assert [c.name for c in extract(module, SHAPE).convolutions] == ["a.weight"]
    module.a.to("meta")
    module.b.to("meta")
    assert [c.name for c in extract(module, SHAPE).convolutions] == ["a.weight"]
    assert runs == ["meta", "meta"]


def test_moving_the_input_to_the_weights_needs_no_second_run():
    runs = []

    class Moves(nn.Conv2d):
        def forward(self, x):
            runs.append(x.device.type)
            return super().forward(x.to(self.weight.device))

    assert [c.name for c in extract(Moves(2, 2, 3), SHAPE).convolutions] == ["weight"]
    assert runs == ["meta"]


def test_a_repeated_extraction_sees_the_same_random_numbers():
    class Tosses(nn.Module):
        def __init__(self):
            super().__init__()
            self.sides = nn.ModuleList(conv() for _ in range(1000))

        def forward(self, x):
            return self.sides[int(torch.randint(1000, ()).item())](x)

    module = Tosses()
    names = set()
    for seed in range(3):
        torch.manual_seed(seed)
        names.update(c.name for c in extract(module, SHAPE).convolutions)
    assert len(names) == 1


def test_weights_are_not_copied():
    module = nn.Sequential(conv(), conv().to(memory_format=torch.channels_last))
    for convolution, child in zip(extract(module, SHAPE).convolutions, module, strict=True):
        assert convolution.weight.data_ptr() == child.weight.data_ptr()
        assert convolution.weight.requires_grad is False


def test_activations_are_freed_as_in_any_forward_pass():
    most = 0

    class Watches(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = conv()

        def forward(self, x):
            nonlocal most
            for _ in range(50):
                x = self.convolution(x).relu()
            most = sum(isinstance(thing, torch.Tensor) and thing.shape == x.shape for thing in gc.get_objects())
            return x * x.sum().item()

    extract(Watches(), SHAPE)
    assert 1 <= most < 10


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_input_has_the_type_of_the_weights(dtype):
    class Looks(nn.Sequential):
        def forward(self, x):
            return super().forward(x) * x.sum().item()

    for module in (nn.Sequential(conv()), Looks(conv())):
        (convolution,) = extract(module.to(dtype), SHAPE).convolutions
        assert convolution.weight.dtype == dtype


def test_input_of_a_network_without_parameters():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("kernel", torch.ones(1, 2, 3, 3, dtype=torch.float64))

        def forward(self, x):
            return F.conv2d(x, self.kernel) * x.sum().item()

    assert [c.name for c in extract(Fixed(), SHAPE).convolutions] == ["kernel"]

"""Whatever a state_dict was wrapped in, its tensors find their parameters; another network's do not."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from filterdb.errors import SourceError
from filterdb.sources.state_dict import load, match_state_dict

PREFIXES = st.lists(st.sampled_from(["weights", "module", "model", "attack_model", "0", "conv1", "blocks"]), max_size=4)


@dataclass
class File:
    tensors: dict[str, Tensor]
    path: Path = Path("weights.pt")


class Network(nn.Module):
    def __init__(self, *, blocks: int = 2, width: int = 4, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, bias=False)
        layers = [(nn.Conv2d(width, width, 3), nn.BatchNorm2d(width), nn.ReLU()) for _ in range(blocks)]
        self.blocks = nn.Sequential(*(nn.Sequential(*block) for block in layers))
        self.fc = nn.Linear(width, classes)

    def forward(self, image):
        return self.fc(self.blocks(self.conv1(image)).mean((2, 3)))


class Normalized(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.zeros(1, 3, 1, 1))
        self.register_buffer("blur", torch.ones(3, 1, 3, 3))

    def forward(self, image):
        return self.model(image - self.mean)


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def refused(tensors, module, **options) -> str:
    with pytest.raises(SourceError) as error:
        match_state_dict(File(tensors), module, **options)
    assert str(error.value).startswith("weights.pt: ")
    return str(error.value).removeprefix("weights.pt: ")


@given(in_file=PREFIXES, in_network=PREFIXES)
def test_any_prefixes_in_the_file_and_in_the_network(in_file, in_network):
    network = Network()
    state = network.state_dict()
    module: nn.Module = network
    for name in reversed(in_network):
        wrapper = nn.Module()
        wrapper.add_module(name, module)
        module = wrapper
    inside, prefix = "".join(f"{name}." for name in in_network), "".join(f"{name}." for name in in_file)
    matched = match_state_dict(File(under(prefix, state)), module)
    assert set(matched) == set(under(inside, state))
    assert all(matched[inside + name] is tensor for name, tensor in state.items())


def test_optimizers_and_other_tensors_around_do_not_disturb():
    state = Network().state_dict()
    others = under("optimizer.state.0.", {"exp_avg": torch.zeros(4, 3, 3, 3), "weight": torch.zeros(4, 3, 3, 3)})
    matched = match_state_dict(File({**others, **under("model.module.", state), "epoch": torch.tensor(3)}), Network())
    assert {name: id(tensor) for name, tensor in matched.items()} == {name: id(state[name]) for name in state}


@pytest.mark.parametrize("averaged", ["state_dict_ema.", "ema.module.", "swa_model.module.", "teacher."])
@pytest.mark.parametrize("plain", ["state_dict.", "model.module.", "z."])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_network_itself_is_preferred_to_its_average(averaged, plain, reverse):
    network, average = Network().state_dict(), Network().state_dict()
    tensors = {**under(plain, network), **under(averaged, average)}
    if reverse:
        tensors = dict(reversed(tensors.items()))
    assert match_state_dict(File(tensors), Network())["conv1.weight"] is network["conv1.weight"]
    word = averaged.split(".")[0].upper()
    assert match_state_dict(File(tensors), Network(), select=word)["conv1.weight"] is average["conv1.weight"]


def test_a_whole_average_is_preferred_to_a_part_of_the_network():
    part = {name: tensor for name, tensor in Network().state_dict().items() if "blocks.1" not in name}
    average = Network().state_dict()
    tensors = {**under("state_dict.", part), **under("ema.", average)}
    assert match_state_dict(File(tensors), Network())["conv1.weight"] is average["conv1.weight"]


def test_among_equals_the_choice_does_not_depend_on_the_order():
    first, second = Network().state_dict(), Network().state_dict()
    tensors = {**under("nets.1.", second), **under("nets.0.", first)}
    assert match_state_dict(File(tensors), Network())["conv1.weight"] is first["conv1.weight"]
    assert match_state_dict(File(tensors), Network(), select="nets.1")["conv1.weight"] is second["conv1.weight"]


def test_selecting_what_is_not_there_lists_what_is():
    state = Network().state_dict()
    message = refused({**under("model.", state), **under("ema.", state)}, Network(), select="teacher")
    assert message == "nothing under 'teacher' fits; what fits is under 'ema.', 'model.'"


def test_a_wrapper_of_our_own_may_lack_its_buffers():
    matched = match_state_dict(File(Network().state_dict()), Normalized(Network()))
    assert set(matched) == {f"model.{name}" for name in Network().state_dict()}


@pytest.mark.parametrize("classes", [7, None])
def test_another_classifier_or_none_is_left_out(classes):
    state = Network(classes=classes or 1).state_dict()
    if classes is None:
        del state["fc.weight"], state["fc.bias"]
    matched = match_state_dict(File(state), Network())
    assert set(matched) == {name for name in Network().state_dict() if not name.startswith("fc.")}


def test_a_deeper_relative_is_refused():
    message = refused(under("net.", Network(blocks=8).state_dict()), Network(blocks=2))
    assert message == (
        "these are not the weights of Network: 13 of its 13 tensors of convolutions and normalisations fit"
        " under 'net.'; 0 missing, 0 wrongly shaped, 6 unexpected convolutions (blocks.2.0.weight, blocks.3.0.weight,"
        " blocks.4.0.weight, blocks.5.0.weight, blocks.6.0.weight, …); give the architecture that was trained"
    )


def test_a_shallower_relative_is_refused():
    message = refused(Network(blocks=1).state_dict(), Network(blocks=2))
    assert message == (
        "these are not the weights of Network: 7 of its 13 tensors of convolutions and normalisations fit; 6 missing"
        " (blocks.1.0.weight, blocks.1.0.bias, blocks.1.1.weight, blocks.1.1.bias, blocks.1.1.running_mean, …),"
        " 0 wrongly shaped, 0 unexpected convolutions; give the architecture that was trained"
    )


def test_a_wider_relative_is_refused():
    message = refused(Network(width=8).state_dict(), Network(width=4))
    assert "0 of its 13" in message
    assert (
        "13 wrongly shaped (conv1.weight (8, 3, 3, 3) instead of (4, 3, 3, 3), blocks.0.0.weight (8, 8, 3, 3)"
        in message
    )


def test_another_network_altogether_is_refused():
    message = refused({"encoder.weight": torch.ones(2, 2), "conv.weight": torch.ones(1, 1, 1, 1)}, Network())
    assert "0 of its 13 tensors" in message
    assert "13 missing (conv1.weight, blocks.0.0.weight," in message


@pytest.mark.parametrize("lost", ["conv1.weight", "blocks.0.0.bias", "blocks.1.1.running_var", "blocks.1.1.weight"])
def test_every_tensor_of_convolutions_and_normalisations_is_demanded(lost):
    state = Network().state_dict()
    del state[lost]
    assert f"1 missing ({lost})" in refused(state, Network())


def test_files_older_than_num_batches_tracked_are_complete():
    state = {name: tensor for name, tensor in Network().state_dict().items() if "num_batches" not in name}
    assert set(match_state_dict(File(state), Network())) == set(state)


def test_weights_of_functional_convolutions_are_demanded():
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Parameter(torch.ones(2, 3, 3, 3))
            self.gain = nn.Parameter(torch.ones(2))

    assert set(match_state_dict(File({"kernel": torch.zeros(2, 3, 3, 3)}), Functional())) == {"kernel"}
    assert "1 missing (kernel)" in refused({"gain": torch.zeros(2)}, Functional())


def test_parametrised_convolutions_keep_their_parts():
    network = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4))
    state = network.state_dict()
    assert match_state_dict(File(under("m.", state)), network).keys() == state.keys()
    del state["0.parametrizations.weight.original1"]
    assert "1 missing (0.parametrizations.weight.original1)" in refused(state, network)


def test_a_bare_layer():
    layer = nn.Conv2d(3, 4, 3)
    assert set(match_state_dict(File(under("conv.", layer.state_dict())), layer)) == {"weight", "bias"}


def test_loading_copies_nothing_and_needs_no_memory_before():
    state = Network().state_dict()
    with torch.device("meta"):
        network = Network()
    load(network, match_state_dict(File(under("net.", state)), network))
    assert all(network.state_dict()[name].data_ptr() == tensor.data_ptr() for name, tensor in state.items())
    assert network.conv1.weight.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted_to_the_networks_own(dtype):
    state = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in Network().state_dict().items()
    }
    network = Network()
    load(network, match_state_dict(File(state), network))
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert torch.equal(network.conv1.weight, state["conv1.weight"].float())


def test_endless_dots_in_a_name_take_no_time():
    state = Network().state_dict()
    assert len(match_state_dict(File({"a." * 1_000_000: torch.ones(1), **state}), Network())) == len(state)


def test_a_network_that_refuses_its_own_state_dict_is_named():
    class Stubborn(nn.Conv2d):
        def _load_from_state_dict(self, *_):
            raise RuntimeError("I would rather not")

    network = Stubborn(3, 4, 3)
    with pytest.raises(
        SourceError, match=r"Stubborn does not take its own state_dict \(RuntimeError: I would rather not"
    ):
        load(network, network.state_dict())

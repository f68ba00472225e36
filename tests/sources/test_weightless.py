"""Architectures without weights: foreign constructors run as they are, and nothing of them gets out."""

import threading
import warnings

import pytest
import torch
from torch import nn

from filterdb.errors import SourceError
from filterdb.network import Facts
from filterdb.sources import planning
from filterdb.sources.planning import Untrained, initialize, plan
from filterdb.sources.weightless import on_cpu, on_meta, untrained, weightless

LARGE = 512


class Talkative(nn.Module):
    """A constructor with everything that the zoos' constructors do."""

    def __init__(self):
        super().__init__()
        print("building")
        warnings.warn("deprecated", FutureWarning, stacklevel=2)
        self.mean = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1).cuda()
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]
        self.conv = nn.Conv2d(3, 8, 3)
        self.wide = nn.Linear(LARGE, LARGE)
        self.tied = nn.Linear(LARGE, LARGE)
        self.tied.weight = self.wide.weight
        self.register_buffer("threshold", torch.tensor(0.25))

    def forward(self, x):
        return self.conv(x - self.mean) if self.threshold > 0 else x


def test_large_parameters_have_no_memory_and_the_rest_its_values():
    with weightless():
        module = Talkative()
    assert module.wide.weight.is_meta
    assert module.wide.weight is module.tied.weight
    assert not module.conv.weight.is_meta
    assert module.rates == [0.0, 0.5, 1.0]
    assert module.mean.device.type == "cpu"
    assert module.threshold == 0.25


def test_untrained_networks_have_all_their_values():
    with untrained():
        module = Talkative()
    assert module.wide.weight.std() > 0
    assert module.mean.device.type == "cpu"


@pytest.mark.parametrize("building", [weightless, untrained])
def test_chatter_stays_inside(building, capsys):
    with building():
        Talkative()
    assert capsys.readouterr().out == ""


def test_afterwards_everything_is_as_before():
    download = torch.hub.download_url_to_file
    with pytest.raises(ZeroDivisionError), weightless():
        raise ZeroDivisionError
    assert torch.hub.download_url_to_file is download
    assert not nn.Linear(LARGE, LARGE).weight.is_meta


def test_other_threads_get_their_parameters():
    made: list[nn.Module] = []
    with weightless():
        thread = threading.Thread(target=lambda: made.append(nn.Linear(LARGE, LARGE)))
        thread.start()
        thread.join()
    assert not made[0].weight.is_meta
    assert made[0].weight.std() > 0


@pytest.mark.parametrize("building", [weightless, untrained])
def test_downloads_are_refused(building):
    with (
        building(),
        pytest.raises(SourceError, match=r"tried to download https://a\.b/net-12345678\.pth; architectures"),
    ):
        torch.hub.load_state_dict_from_url("https://a.b/net-12345678.pth", model_dir="/nowhere/at/all", progress=False)


def test_on_meta_keeps_scalars_and_sharing():
    with weightless():
        module = on_meta(Talkative())
    assert module.conv.weight.is_meta
    assert module.mean.is_meta
    assert module.threshold == 0.25
    assert module.wide.weight is module.tied.weight


def test_on_cpu_takes_no_memory():
    with weightless():
        module = on_cpu(Talkative())
    assert module.wide.weight.shape == (LARGE, LARGE)
    assert module.wide.weight.untyped_storage().nbytes() == 4
    assert module.wide.weight.abs().max() == 0


class Architecture:
    """A module class as a zoo's entry."""

    facts = Facts(model="zoo/net", source="zoo", name="net", dataset="cifar10", robust=True, clean_accuracy=90.0)
    input_shape = (3, 16, 16)

    def __init__(self, build):
        self.build = build


class ChecksForNaN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 256, 3)
        self.deep = nn.Conv2d(256, 256, 3)

    def forward(self, x):
        x = self.deep(self.conv(x))
        assert not x.isnan().any()
        return x


class BranchesOnActivations(ChecksForNaN):
    def forward(self, x):
        x = self.conv(x)
        return self.deep(x) if x.sum() < 1e9 else x


@pytest.mark.parametrize("module", [Talkative, ChecksForNaN, BranchesOnActivations])
def test_plan(module):
    network = plan(Architecture(module))
    assert network.facts == Architecture.facts
    assert network.n_filters == {Talkative: 24}.get(module, 3 * 256 + 256 * 256)
    with pytest.raises(SourceError, match="is planned without weights; load the network to read them"):
        network.layers[0].read()


@pytest.mark.parametrize("module", [Talkative, ChecksForNaN])
def test_plan_computes_nothing_where_only_checks_look_at_values(monkeypatch, module):
    monkeypatch.setattr(planning, "on_cpu", lambda module: pytest.fail("ran on the CPU"))
    plan(Architecture(module))


def test_plan_of_what_cannot_run():
    with pytest.raises(SourceError, match="forward fails"):
        plan(Architecture(lambda: nn.Conv2d(7, 8, 3)))


def test_before_training_only_the_architecture_is_known():
    network = initialize(Untrained(Architecture(Talkative), seed=2), fold_batchnorm=True)
    assert network.facts == Facts(
        model="zoo/net@random2@bn_folded", source="zoo", name="net", dataset="cifar10", weights="bn_folded"
    )
    assert network.layers[0].read().std() > 0

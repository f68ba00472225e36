"""A checkpoint as a network that runs: whole, or refused."""

import pytest
import torch
from safetensors.torch import save_file

from filterdb.errors import SourceError
from filterdb.sources.modules import trained_module
from filterdb.training.networks import plain_network

ARCHITECTURE = "filterdb.training.networks:plain_network"


@pytest.fixture
def network():
    torch.manual_seed(0)
    return plain_network().eval()


def test_it_computes_what_the_saved_network_computes(network, tmp_path):
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    images = torch.rand(2, 1, 8, 8)
    found = trained_module(tmp_path / "a.safetensors", ARCHITECTURE, (1, 8, 8))
    assert not found.training
    torch.testing.assert_close(found(images), network(images))


def test_a_checkpoint_that_lacks_a_part_cannot_be_run(network, tmp_path):
    tensors = {name: tensor for name, tensor in network.state_dict().items() if tensor.ndim != 2}
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(SourceError, match=r"cannot be run, the checkpoint lacks .*weight"):
        trained_module(tmp_path / "a.safetensors", ARCHITECTURE, (1, 8, 8))

"""Modules as networks: 3×3 layers with their filters, and skips for the rest."""

import numpy as np
import pytest
import torch
from torch import nn

from filterdb.errors import SourceError
from filterdb.extraction import extract, network
from filterdb.network import Facts, Skip

SHAPE = (3, 16, 16)
FACTS = Facts(model="local/toy", source="local", name="toy", dataset="cifar10", robust=True)


def toy() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 7, padding=3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, groups=2, stride=2),
        nn.Conv2d(6, 5, 1),
        nn.ConvTranspose2d(5, 5, 3),
        nn.Conv2d(5, 2, 3, dilation=2),
    )


def test_layers_and_skips():
    result = network(toy(), FACTS, SHAPE)
    assert result.facts == FACTS
    assert [(layer.name, layer.n_filters, layer.conv_depth) for layer in result] == [
        ("3.weight", 12, 1),
        ("6.weight", 10, 3),
    ]
    grouped, dilated = result.layers
    assert (grouped.in_channels, grouped.out_channels, grouped.groups, grouped.stride) == (2, 6, 2, 2)
    assert (dilated.dilation, dilated.depth, dilated.depth_decile) == (2, 1.0, 10)
    assert result.skips == (
        Skip("0.weight", "7x7", "kernel 7x7"),
        Skip("4.weight", "1x1", "kernel 1x1"),
        Skip("5.weight", "3x3", "transposed"),
    )


def test_filters_are_rows_of_nine_by_out_and_in_channel():
    module = toy()
    grouped, _ = network(module, FACTS, SHAPE).layers
    filters = grouped.read()
    assert filters.shape == (12, 9)
    assert filters.dtype == np.float32
    for row, filter_ in enumerate(filters):
        assert np.array_equal(filter_, module[3].weight[row // 2, row % 2].detach().numpy().ravel())


def test_reading_contiguous_float32_copies_nothing():
    module = toy()
    layer = network(module, FACTS, SHAPE).layers[0]
    assert layer.read().ctypes.data == module[3].weight.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_and_memory_formats_become_float32(dtype):
    module = toy().to(dtype).to(memory_format=torch.channels_last)
    for layer, child in zip(network(module, FACTS, SHAPE), (module[3], module[6]), strict=True):
        filters = layer.read()
        assert filters.dtype == np.float32
        assert filters.flags.c_contiguous
        assert np.array_equal(filters.reshape(child.weight.shape), child.weight.detach().float().numpy())


def test_weights_are_read_when_asked():
    module = toy()
    layer = network(module, FACTS, SHAPE).layers[0]
    module[3].weight.data.fill_(7)
    assert (layer.read() == 7).all()


def test_folding_is_noted_in_the_facts():
    chain = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))
    chain[1].running_var.fill_(3)
    raw, folded = (network(chain, FACTS, SHAPE, fold_batchnorm=fold) for fold in (False, True))
    assert (raw.facts.weights, folded.facts.weights) == ("raw", "bn_folded")
    (convolution,) = extract(chain, SHAPE, fold_batchnorm=True).convolutions
    assert np.array_equal(folded.layers[0].read(), convolution.weight.reshape(-1, 9).numpy())
    assert np.allclose(folded.layers[0].read(), raw.layers[0].read() / 3**0.5, rtol=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_layers_with_non_finite_weights_are_left_out(value):
    module = toy()
    module[3].weight.data[5, 1, 2, 2] = value
    result = network(module, FACTS, SHAPE)
    assert [layer.name for layer in result] == ["6.weight"]
    assert Skip("3.weight", "3x3", "non-finite weights") in result.skips


def test_a_network_on_the_meta_device_is_planned_but_not_read():
    planned, loaded = (network(module, FACTS, SHAPE) for module in (toy().to("meta"), toy()))
    assert planned.n_filters == loaded.n_filters == 22
    assert [layer.conv_depth for layer in planned] == [layer.conv_depth for layer in loaded]
    assert planned.skips == loaded.skips
    with pytest.raises(SourceError, match=r"3\.weight: no weights"):
        planned.layers[0].read()


def test_no_live_convolution_is_an_error():
    class Perceptron(nn.Module):
        def __init__(self):
            super().__init__()
            self.dead, self.up = nn.Conv2d(3, 3, 3), nn.ConvTranspose2d(3, 2, 3)

        def forward(self, x):
            return self.up(x)

    with pytest.raises(SourceError, match="local/toy: the forward pass uses no 2-D convolution"):
        network(Perceptron(), FACTS, SHAPE)


def test_a_network_without_3x3_convolutions_has_no_layers_but_skips():
    result = network(nn.Sequential(nn.Conv2d(3, 8, 16, stride=16)), FACTS, SHAPE)
    assert result.layers == ()
    assert result.skips == (Skip("0.weight", "16x16", "kernel 16x16"),)

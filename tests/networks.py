"""Networks made up for tests: random filters of given shapes, some of them sparse."""

import numpy as np

from filterdb.network import Facts, Layer, Network, Skip


def random_layer(
    rng: np.random.Generator, out_channels: int, in_channels: int, conv_depth: int, deepest: int, name: str
) -> Layer:
    filters = rng.normal(scale=0.1, size=(out_channels * in_channels, 9)).astype(np.float32)
    filters[rng.random(len(filters)) < 0.2] *= 1e-4
    return layer_of(filters, out_channels, in_channels, conv_depth, deepest, name)


def layer_of(
    filters: np.ndarray, out_channels: int, in_channels: int, conv_depth: int = 0, deepest: int = 1, name: str = "conv"
) -> Layer:
    return Layer(
        name=name,
        n_filters=len(filters),
        read=lambda: filters,
        in_channels=in_channels,
        out_channels=out_channels,
        groups=1,
        stride=1,
        dilation=1,
        conv_depth=conv_depth,
        depth=conv_depth / deepest,
        depth_decile=-(-10 * conv_depth // deepest),
    )


def random_network(name: str, *, seed: int = 0, n_layers: int = 4, width: int = 6, **facts: object) -> Network:
    rng = np.random.default_rng(seed)
    shapes = [(width, 3)] + [(width, width)] * (n_layers - 1)
    layers = [random_layer(rng, *shape, i, max(n_layers - 1, 1), f"conv{i}.weight") for i, shape in enumerate(shapes)]
    known = {"dataset": "cifar10", "robust": "robust" in name, "architecture": "Toy"} | facts
    return Network(
        Facts(model=f"local/{name}", source="local", name=name, **known),
        tuple(layers),
        (Skip("head.weight", "1x1", "kernel 1x1"),),
    )


def all_filters(network: Network) -> np.ndarray:
    return np.concatenate([layer.read() for layer in network.layers])

"""Lakes of any size: the layers of the paper's networks, weights drawn at random, written by the real ingestion.

    python -m bench.make_paper_lake DIR --filters 100_000_000

Takes about 40 bytes of disk a filter.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache, partial
from math import sqrt
from pathlib import Path

import numpy as np

from filterdb.lake.ingestion import ingest
from filterdb.network import Facts, Job, Layer, Network

PLAN = Path(__file__).parents[1] / ".cache" / "bench" / "paper_plan.json"

# Neighbouring weights covary as exp(−d²/2ℓ²): at these ℓ the first component holds 0.36 and 0.68 of the
# variance, as in the robust and the normal networks of the paper; the mean share of sparse filters is theirs too.
LENGTH_SCALE = {True: 0.9, False: 1.74}
SPARSITY = {True: 0.09, False: 0.27}


def make(root: Path, n_filters: int, threads: int = 2) -> int:
    """Write a lake of about `n_filters` into `root`; the number of filters it got. Cost: 5 to 10 M filters/s."""
    chosen = networks(n_filters)
    jobs = (Job(network.facts.model, partial(_same, network)) for network in chosen)
    return sum(report.n_filters for report in ingest(root, jobs, threads=threads, pairs=_pairs(chosen)))


def networks(n_filters: int) -> list[Network]:
    """The smallest pairs of the paper that hold `n_filters`, all narrowed alike to hold no more."""
    chosen: list[dict] = []
    for model in _smallest_first(paper_plan()):
        if sum(one["n_filters"] for one in chosen) < n_filters or len(chosen) < 2:
            chosen.append(model)
    width = min(1.0, sqrt(n_filters / sum(model["n_filters"] for model in chosen)))
    return [network_of(model, width, seed) for seed, model in enumerate(chosen)]


def in_memory(network: Network) -> Network:
    """The network with its weights drawn and held, as those of a loaded checkpoint are."""
    return replace(network, layers=tuple(replace(layer, read=partial(_same, layer.read())) for layer in network.layers))


@cache
def paper_plan() -> list[dict]:
    """The paper's networks layer by layer: `ingest robustbench --paper --dry-run`, kept for the next time."""
    if not PLAN.exists():
        command = [sys.executable, "-m", "filterdb", "ingest", "robustbench", "--paper", "--dry-run"]
        PLAN.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([*command, "--format", "json", "--output", str(PLAN)], check=True)
    return json.loads(PLAN.read_text("utf-8"))["models"]


def layer_of(filters: np.ndarray, channels: int, number: int) -> Layer:
    """A layer of as many output as input channels, with these filters."""
    return Layer(
        name=f"conv{number}",
        n_filters=len(filters),
        read=partial(_same, filters),
        in_channels=channels,
        out_channels=channels,
        groups=1,
    )


def _pairs(chosen: list[Network]) -> list[dict[str, object]]:
    """Each robust network and the first normal one of its architecture and data set."""
    twins = {(n.facts.architecture, n.facts.dataset): n.facts.model for n in reversed(chosen) if not n.facts.robust}
    keys = [(n.facts.model, (n.facts.architecture, n.facts.dataset)) for n in chosen if n.facts.robust]
    return [
        {"robust_model": model, "normal_model": twins[key], "architecture": key[0], "dataset": key[1]}
        for model, key in keys
        if key in twins
    ]


def _smallest_first(models: Iterable[dict]) -> Iterator[dict]:
    """Robust and normal networks in turn, each by size."""
    by_size = sorted(models, key=lambda model: (model["n_filters"], model["model"]))
    robust, normal = ([model for model in by_size if model["robust"] is kind] for kind in (True, False))
    for pair in zip(robust, normal, strict=False):
        yield from pair
    yield from robust[len(normal) :]


def network_of(model: dict, width: float = 1.0, seed: int = 0) -> Network:
    """A network of the plan, its channels multiplied by `width`."""
    facts = Facts(
        model=model["model"],
        source="bench",
        name=model["model"].rpartition("/")[2],
        dataset=model["dataset"],
        robust=model["robust"],
        architecture=model["architecture"],
    )
    return Network(facts, tuple(_layer(layer, facts.robust, width, seed) for layer in model["layers"]))


def _layer(layer: dict, robust: bool, width: float, seed: int) -> Layer:
    narrow = {name: _narrowed(layer[name], width) for name in ("in_channels", "out_channels")}
    n_filters = narrow["in_channels"] * narrow["out_channels"]
    return Layer(
        name=layer["name"],
        n_filters=n_filters,
        read=partial(_draw, n_filters, narrow["in_channels"], robust, (seed, layer["layer"])),
        groups=1,
        stride=1,
        dilation=1,
        conv_depth=layer["conv_depth"],
        depth_decile=layer["depth_decile"],
        **narrow,
    )


def _narrowed(channels: int, width: float) -> int:
    return channels if channels <= 3 else max(3, round(channels * width))


def _draw(n_filters: int, in_channels: int, robust: bool, seed: tuple[int, int]) -> np.ndarray:
    """(n, 9) float32 normal weights at the scale of He's initialisation; sparse ones are a thousand times smaller."""
    rng = np.random.default_rng(seed)
    filters = rng.standard_normal((n_filters, 9), dtype=np.float32) @ _mixing(robust)
    filters *= sqrt(2 / (9 * in_channels))
    share = rng.beta(1, 1 / SPARSITY[robust] - 1)
    filters[rng.random(n_filters, dtype=np.float32) < share] *= 1e-3
    return filters


@cache
def _mixing(robust: bool) -> np.ndarray:
    places = np.stack(np.divmod(np.arange(9), 3), axis=1)
    squared = ((places[:, None] - places) ** 2).sum(axis=-1)
    return np.linalg.cholesky(np.exp(-squared / (2 * LENGTH_SCALE[robust] ** 2))).T.astype(np.float32)


def _same(value):
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lake", type=Path, metavar="DIR")
    parser.add_argument("--filters", type=int, default=10_000_000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    print(f"{make(arguments.lake, arguments.filters, arguments.threads):,} filters in {arguments.lake}")


if __name__ == "__main__":
    main()

"""Networks of the RobustBench zoo and of the paper, with their weights."""

from pathlib import Path

from torch import nn

from filterdb.errors import SourceError
from filterdb.network import Network
from filterdb.sources import timm
from filterdb.sources.download import Progress, ignore
from filterdb.sources.planning import Architecture, plan_layers, with_weights
from filterdb.sources.robustbench.catalogue import Entry
from filterdb.sources.robustbench.paper import Twin
from filterdb.sources.robustbench.weights import checkpoint_files, find_file, load_checkpoints, load_file
from filterdb.sources.weightless import weightless


def load(
    network: Entry | Twin,
    *,
    cache: Path | None = None,
    checkpoints: Path | None = None,
    fold_batchnorm: bool = False,
    progress: Progress = ignore,
) -> Network:
    """The network with its weights: from the folder `checkpoints`, else the cache, else downloaded.

    `checkpoints` holds files as the zoo keeps them, `cifar10/Linf/Carmon2019Unlabeled.pt`, or flat where the
    model id is unique. The networks that the paper's authors trained are hosted nowhere one by one and only
    come from there, as `hso_normal_training_robustbench_….pt`. SourceError: no 3×3 convolution (known before
    anything is downloaded), a failed download, a file that does not fit.
    """
    plan_layers(network)
    module = _module(network, cache, checkpoints, progress)
    return with_weights(module, network, fold_batchnorm=fold_batchnorm)


def _module(network: Entry | Twin, cache: Path | None, checkpoints: Path | None, progress: Progress) -> nn.Module:
    if isinstance(network, Entry):
        files = checkpoint_files(network, cache=cache, checkpoints=checkpoints, progress=progress)
        module = _without_weights(network)
        load_checkpoints(network, module, files)
        return module
    file = checkpoints and find_file(checkpoints, (network.dataset, "."), [f"{network.name}.pt"])
    if file:
        module = _without_weights(network)
        load_file(module, file)
        return module
    if network.timm_model:
        return timm.trained(network.timm_model, cache=cache, progress=progress)
    raise SourceError(
        f"{network.facts.model}: the authors' own network, hosted nowhere by itself; put {network.name}.pt into the"
        f" folder of --checkpoints, or train it: filterdb train counterpart --architecture {_key(network)}"
    )


def _without_weights(network: Architecture) -> nn.Module:
    with weightless():
        return network.build()


def _key(twin: Twin) -> str:
    return f"robustbench:{twin.built_as.key}"

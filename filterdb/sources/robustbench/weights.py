"""The checkpoints of the RobustBench zoo: where they lie, and which part of a network each is for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from filterdb.errors import SourceError
from filterdb.sources import timm
from filterdb.sources.checkpoint import read_checkpoint
from filterdb.sources.download import Progress, cache_directory, fetch, google_drive_url, remote_name
from filterdb.sources.robustbench.build import timm_name
from filterdb.sources.robustbench.catalogue import Entry, catalogue
from filterdb.sources.state_dict import load, match_state_dict

SUFFIXES = (".pt", ".pth", ".pth.tar", ".safetensors", ".ckpt", ".bin")

_TORCHVISION = {"Standard_R50": "ResNet50_Weights.IMAGENET1K_V1"}
_LAST_EPOCH = ("Andriushchenko2020Understanding", "Kireev2021Effectiveness")
"""Beginnings of the ids whose files hold two networks, `best` and `last`; the zoo takes `last`."""


@dataclass(frozen=True)
class Remote:
    """A checkpoint on the web: its address, its file name on disk, the first digits of its SHA-256 if known."""

    url: str
    name: str
    checksum: str = ""


def remotes(entry: Entry) -> tuple[Remote, ...]:
    """Where the zoo takes the checkpoints of `entry` from: Google Drive, a GitHub release or PyTorch's server."""
    if entry.google_drive:
        names = _names(entry.model_id, len(entry.google_drive))
        pairs = zip(entry.google_drive, names, strict=True)
        return tuple(Remote(google_drive_url(file_id), name) for file_id, name in pairs)
    url = _timm_url(entry) or _torchvision_url(entry)
    return (Remote(url, *remote_name(url)),)


def checkpoint_files(entry: Entry, *, cache: Path | None, checkpoints: Path | None, progress: Progress) -> list[Path]:
    """The checkpoints of `entry`, in the zoo's order: from `checkpoints`, else from the cache, else downloaded.

    In both folders a file lies where the zoo puts it (`cifar10/Linf/<model id>.pt`); directly in
    `checkpoints` it may lie if no other entry has the same model id.
    """
    place = f"{entry.dataset}/{entry.threat_model}"
    folders = (place, ".") if _is_unique(entry.model_id) else (place,)
    files = []
    for remote in remotes(entry):
        target = (cache or cache_directory()) / "robustbench" / place / remote.name
        there = checkpoints and find_file(checkpoints, folders, _names_on_disk(entry, remote))
        files.append(there or _downloaded(remote, target, f"{place}/{remote.name}", progress))
    return files


def find_file(directory: Path, folders: Iterable[str], names: Iterable[str]) -> Path | None:
    """The first of `names`, as it is or with another suffix, in one of the `folders` of `directory`."""
    candidates = [f"{name.removesuffix('.pt')}{suffix}" for name in names for suffix in ("", *SUFFIXES)]
    paths = (directory / folder / candidate for folder in folders for candidate in candidates)
    return next((path for path in paths if path.is_file()), None)


def load_checkpoints(entry: Entry, network: nn.Module, files: list[Path]) -> None:
    """Put each checkpoint into its part of `network`; SourceError where one does not fit."""
    select = "last" if entry.model_id.startswith(_LAST_EPOCH) else None
    for part, path in zip(_parts(entry, network), files, strict=True):
        load_file(part, path, select=select)


def load_file(module: nn.Module, path: Path, *, select: str | None = None) -> None:
    """Put the tensors of a checkpoint into `module`, without copying them."""
    load(module, match_state_dict(read_checkpoint(path), module, select=select))


def _parts(entry: Entry, network: nn.Module) -> list[nn.Module]:
    """The submodules that the checkpoints are for, in the zoo's order."""
    if len(entry.google_drive) < 2:
        return [network]
    if entry.model_id.startswith("Bai2023Improving"):
        return [*network.comp_model.models, network.comp_model.policy_net]
    if entry.model_id == "Bai2024MixedNUTS":
        return [network.std_model, network.rob_model]
    return list(network.models)


def _downloaded(remote: Remote, target: Path, place: str, progress: Progress) -> Path:
    try:
        return fetch(remote.url, target, checksum=remote.checksum, progress=progress)
    except SourceError as error:
        raise SourceError(f"{error}; or put the file into the folder of --checkpoints, as {place}") from error


def _is_unique(model_id: str) -> bool:
    return sum(entry.model_id == model_id for entry in catalogue()) == 1


def _names_on_disk(entry: Entry, remote: Remote) -> tuple[str, ...]:
    """A file from the web may also be called after its network, unless there are several."""
    return (remote.name,) if len(entry.google_drive) > 1 else (remote.name, f"{entry.model_id}.pt")


def _names(model_id: str, number: int) -> Iterator[str]:
    return (f"{model_id}.pt" if number == 1 else f"{model_id}.pt_m{i}.pt" for i in range(number))


def _timm_url(entry: Entry) -> str | None:
    name = timm_name(entry)
    return timm.library().get_pretrained_cfg(name).url if name else None


def _torchvision_url(entry: Entry) -> str:
    from torchvision.models import get_weight

    if entry.model_id not in _TORCHVISION:
        raise SourceError(f"{entry.key}: the zoo names no checkpoint")
    return get_weight(_TORCHVISION[entry.model_id]).url

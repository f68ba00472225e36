"""Networks of timm (PyTorch Image Models), with the facts that it notes of their weights."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from filterdb.errors import SourceError, UsageError
from filterdb.network import Facts, Network
from filterdb.sources.checkpoint import read_checkpoint
from filterdb.sources.download import Progress, cache_directory, fetch, hugging_face_file, ignore, remote_name
from filterdb.sources.naming import did_you_mean
from filterdb.sources.planning import plan_layers, with_weights
from filterdb.sources.weightless import quiet, untrained

DATASETS = {"in1k": "imagenet", "in12k": "imagenet12k", "in21k": "imagenet21k", "in22k": "imagenet22k"}
"""What the tags of timm's weights call the ImageNets."""

_SHAPE = (3, 224, 224)
_MORE_DATA = re.compile(r"_ft_|jft|ig1b|swag|yfcc|laion|clip|seer|wsl|lvd|webli|openai|datacomp|dfn")
_ADVERSARIAL = frozenset({"adv", "ap"})
_WEIGHTS = "pytorch_model.bin"
_SAFE = {_WEIGHTS: "model.safetensors", "open_clip_pytorch_model.bin": "open_clip_model.safetensors"}


@dataclass(frozen=True)
class Model:
    """A network of timm: weights by their full name (`resnet50.a1_in1k`), or only an architecture (`resnet50`)."""

    name: str

    @property
    def architecture(self) -> str:
        return self.name.partition(".")[0]

    @property
    def facts(self) -> Facts:
        """The data set and more data from the tag, the paper, the licence.

        `robust` is False, and None (unknown) where the tag speaks of adversarial training.
        """
        noted = _noted(self.name)
        tag = noted.tag or ""
        return Facts(
            model=f"timm/{self.name}",
            source="timm",
            name=self.name,
            dataset=_dataset(tag),
            robust=None if _ADVERSARIAL & set(tag.split("_")) else False,
            architecture=self.architecture,
            extra_data=True if _MORE_DATA.search(tag) else None,
            paper=_paper(noted.paper_ids),
            license=noted.license,
        )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return tuple(_noted(self.name).input_size or _SHAPE)

    def build(self) -> nn.Module:
        return library().create_model(self.architecture, pretrained=False)


def select(patterns: Iterable[str], *, pretrained: bool = True) -> tuple[Model, ...]:
    """The networks that the names or shell patterns ask for, sorted by name.

    A pattern with a dot is compared with full names (`resnet50.*`: all weights of one architecture), one
    without with architectures (`resnet*`), which then come with their default weights. With
    `pretrained=False` they come without any: for `Untrained`. UsageError, with the nearest names, for a
    pattern that fits nothing.
    """
    names = (name for pattern in patterns for name in _matching(pattern, pretrained))
    return tuple(Model(name) for name in sorted(set(names)))


def load(
    model: Model, *, cache: Path | None = None, fold_batchnorm: bool = False, progress: Progress = ignore
) -> Network:
    """The network with its weights, from the Hugging Face hub or the address that timm notes.

    timm's own conversions are applied to the weights. SourceError: no 3×3 convolution (known before
    anything is downloaded), no weights, a failed download, weights that do not fit.
    """
    plan_layers(model)
    return with_weights(trained(model, cache=cache, progress=progress), model, fold_batchnorm=fold_batchnorm)


def trained(model: Model, *, cache: Path | None = None, progress: Progress = ignore) -> nn.Module:
    """The network as a module with its weights; see `load`."""
    state = dict(read_checkpoint(_weights_file(model, cache, progress)).tensors)
    try:
        with untrained():
            return library().create_model(model.name, pretrained=True, pretrained_cfg_overlay={"state_dict": state})
    except (RuntimeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise SourceError(f"{model.facts.model}: the weights do not fit: {reason}") from error


@cache
def library() -> ModuleType:
    """timm itself, imported without its warnings."""
    if find_spec("timm") is None:
        raise SourceError("timm is not installed; pip install 'filterdb[zoo]'")
    with quiet():
        return import_module("timm")


def _weights_file(model: Model, cache: Path | None, progress: Progress) -> Path:
    noted = _noted(model.name)
    if noted.hf_hub_id:
        filename = noted.hf_hub_filename or _WEIGHTS
        wanted = [_SAFE[filename], filename] if filename in _SAFE else [filename]
        return hugging_face_file(noted.hf_hub_id, *wanted, cache=cache)
    if noted.url:
        name, checksum = remote_name(noted.url)
        folder = (cache or cache_directory()) / "timm"
        return fetch(noted.url, folder / name, checksum=checksum, progress=progress)
    raise SourceError(f"{model.facts.model}: timm names no weights for it; only --untrained can ingest it")


def _matching(pattern: str, pretrained: bool) -> list[str]:
    known = _full_names() if pretrained else tuple(library().list_models())
    if "." in pattern:
        found = [name for name in known if fnmatchcase(name, pattern)]
    else:
        architectures = dict.fromkeys(name.partition(".")[0] for name in known)
        found = [_default(name) if pretrained else name for name in architectures if fnmatchcase(name, pattern)]
    if not found:
        what = "weights" if pretrained else "architecture"
        raise UsageError(
            f"timm {library().__version__} has no {what} {pattern!r}{did_you_mean(pattern, _names(known))}"
        )
    return found


def _default(architecture: str) -> str:
    """The full name of an architecture's default weights."""
    tag = _noted(architecture).tag
    return f"{architecture}.{tag}" if tag else architecture


def _names(full_names: Iterable[str]) -> set[str]:
    return {part for name in full_names for part in (name, name.partition(".")[0])}


@cache
def _full_names() -> tuple[str, ...]:
    return tuple(library().list_models(pretrained=True))


def _noted(name: str) -> Any:
    """timm's own record of a network, a `PretrainedCfg`; an empty one where it has none."""
    return library().get_pretrained_cfg(name) or library().models.PretrainedCfg()


def _dataset(tag: str) -> str | None:
    """The data set that training ended with: `imagenet` for `fb_in22k_ft_in1k`."""
    named = [DATASETS[word] for word in tag.split("_") if word in DATASETS]
    return named[-1] if named else None


def _paper(paper_ids: str | None) -> str | None:
    """`arXiv:2110.00476` as an address."""
    scheme, _, number = (paper_ids or "").partition(":")
    return f"https://arxiv.org/abs/{number}" if scheme.lower() == "arxiv" else paper_ids

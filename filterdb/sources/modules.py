"""A checkpoint as a network that can be run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from filterdb.errors import SourceError
from filterdb.sources.architectures import build
from filterdb.sources.checkpoint import read_checkpoint
from filterdb.sources.messages import MALFORMED, cause, listed
from filterdb.sources.state_dict import load, match_state_dict
from filterdb.sources.weightless import on_cpu


def trained_module(path: Path, architecture: str, input_shape: tuple[int, int, int] | None = None) -> nn.Module:
    """The network `architecture` with the weights at `path`, on the CPU, in evaluation mode.

    Raises SourceError where the checkpoint lacks a parameter: a network that is run must be whole. See
    `architectures.constructor` for names.
    """
    checkpoint = read_checkpoint(path)
    module = build(architecture, checkpoint.tensors, input_shape)
    matched = match_state_dict(checkpoint, module)
    lacking = [name for name, _ in module.named_parameters() if name not in matched]
    if lacking:
        raise SourceError(f"{path}: {architecture} cannot be run, the checkpoint lacks {listed(lacking)}")
    load(module, matched)
    return on_cpu(module).eval()


@contextmanager
def running(architecture: str) -> Iterator[None]:
    """A block in which a network runs on images that may not suit it: what it raises becomes SourceError."""
    try:
        yield
    except MALFORMED as error:
        raise SourceError(f"{architecture} cannot be run on these images: {cause(error)}") from error

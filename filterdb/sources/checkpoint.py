"""One network from a file of weights: .safetensors, or anything torch.save has ever written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from filterdb import extraction
from filterdb.errors import SourceError
from filterdb.network import Facts, Network, Skip
from filterdb.sources.architectures import build, known_input_shape
from filterdb.sources.messages import MALFORMED, cause, listed, printable
from filterdb.sources.state_dict import load, match_state_dict
from filterdb.sources.tensors import named_tensors, unread_names
from filterdb.sources.torch_files import TAR_BLOCK, ZIP_MAGIC, is_tar, read_torch_file
from filterdb.sources.weightless import on_cpu

DEFAULT_INPUT_SHAPE = (3, 32, 32)
LONGEST_MESSAGE = 1000
MAXIMUM_HEADER = 100_000_000
PICKLE_MAGIC = b"\x80"
OTHER_KINDS = {
    b"version https://git-lfs": "it is a Git LFS pointer, not the file itself; fetch the file with: git lfs pull",
    b"\x1f\x8b": "it is compressed with gzip; unpack it first",
    b"BZh": "it is compressed with bzip2; unpack it first",
    b"\xfd7zXZ": "it is compressed with xz; unpack it first",
    b"\x89HDF": "it is an HDF5 file; the published dataset goes in with: filterdb ingest hdf5",
    b"PAR1": "it is a Parquet file; filters in a table go in with: filterdb ingest table",
    b"\x93NUMPY": "it is one NumPy array; save the whole state_dict with safetensors.torch.save_file",
}


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file by dotted path (views of the mapped file), and what it mentions besides.

    `unread`: the qualified names of classes and functions that were left as inert stubs.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    unread: tuple[str, ...] = ()


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The tensors in `path`, memory-mapped; nothing that a pickle asks for is ever run.

    Tensors that the file does not keep aligned (most of those written before torch 1.6) are copied.
    Raises SourceError, with the remedy, for a missing file, a directory, an empty or cut-off file, an HTML
    page, a Git LFS pointer, TorchScript, any other kind of file, a pickle that names dangerous functions,
    tensors that the file is too small for, and a file without tensors.
    """
    path = Path(path)
    try:
        checkpoint = _read(path)
        if not checkpoint.tensors:
            found = f" (only {listed(checkpoint.unread)})" if checkpoint.unread else ""
            raise SourceError(f"it holds no tensors{found}; save the network's state_dict() with torch.save")
    except (SourceError, OSError) as error:
        raise SourceError(f"{path}: {printable(str(error), LONGEST_MESSAGE)}") from error
    return checkpoint


def network(
    path: str | Path,
    architecture: str,
    facts: Facts,
    *,
    input_shape: tuple[int, int, int] | None = None,
    fold_batchnorm: bool = False,
    select: str | None = None,
) -> Network:
    """The checkpoint at `path`, put into `architecture`, as a network.

    `architecture` is a name that `architectures.constructor` knows. `input_shape` (channels, height, width)
    defaults to what its zoo notes, else to (3, 32, 32). `select` picks one of several networks in a file by
    a word in the path to its weights ("ema"). Linear layers that do not fit and unread objects of the file
    become skips.
    Raises UsageError for an unknown architecture and SourceError for a file that does not fit it.
    """
    checkpoint = read_checkpoint(path)
    module = build(architecture, checkpoint.tensors, input_shape)
    matched = match_state_dict(checkpoint, module, select=select)
    lacking = tuple(_lacking(module, matched))
    load(module, matched)
    shape = input_shape or known_input_shape(architecture, module) or DEFAULT_INPUT_SHAPE
    result = extraction.network(on_cpu(module), facts, shape, fold_batchnorm=fold_batchnorm)
    return replace(result, skips=(*result.skips, *lacking, *_unread(checkpoint)))


def _lacking(module: nn.Module, matched: Mapping[str, Tensor]) -> Iterator[Skip]:
    for name, _ in module.named_parameters():
        if name not in matched:
            yield Skip(name, None, "not in the checkpoint, or of another shape")


def _unread(checkpoint: Checkpoint) -> Iterator[Skip]:
    if checkpoint.unread:
        yield Skip(None, None, f"objects left as inert stubs: {listed(checkpoint.unread)}")


def _read(path: Path) -> Checkpoint:
    begin = _begin(path)
    if _is_safetensors(begin):
        return Checkpoint(path, _read_safetensors(path))
    if begin.startswith((ZIP_MAGIC, PICKLE_MAGIC)) or is_tar(begin):
        file = read_torch_file(path)
        return Checkpoint(path, named_tensors(file), unread_names(file))
    raise SourceError(_other_kind(begin))


def _begin(path: Path) -> bytes:
    if path.is_dir():
        raise SourceError("it is a directory; name the checkpoint file in it")
    if not path.exists():
        raise SourceError("there is no such file")
    with path.open("rb") as file:
        begin = file.read(TAR_BLOCK)
    if not begin:
        raise SourceError("it is empty (0 bytes); download it again")
    return begin


def _is_safetensors(begin: bytes) -> bool:
    """Eight bytes of length, then a JSON object."""
    return begin[8:9] == b"{" and int.from_bytes(begin[:8], "little") <= MAXIMUM_HEADER


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, *MALFORMED) as error:
        raise SourceError(
            f"it is a damaged or cut-off .safetensors file ({cause(error)}); download it again"
        ) from error


def _other_kind(begin: bytes) -> str:
    if begin.lstrip().startswith(b"<"):
        return (
            "it is an HTML page, not a checkpoint (a download service answered with a web page, as Google Drive"
            " does over its quota); open the link in a browser and save the file it offers"
        )
    for magic, message in OTHER_KINDS.items():
        if begin.startswith(magic):
            return message
    return f"it begins with {begin[:8]!r}, which is neither a torch nor a .safetensors file"

"""Which tensor of a checkpoint belongs to which parameter of a network."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from filterdb.errors import SourceError
from filterdb.sources.messages import MALFORMED, cause, listed, printable

MAXIMUM_DEPTH = 20
AVERAGED = ("ema", "swa", "averag", "teacher", "momentum")
"""Words in the path to a copy that training only follows along; the network itself is preferred."""


class Weights(Protocol):
    """A file's tensors by dotted path."""

    path: Path
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class Placement:
    """Where a network lies: below `prefix` in the file; its own names without `wrapper`."""

    prefix: str
    wrapper: str

    def source(self, name: str) -> str | None:
        """The file's name for the network's tensor `name`; None for what lies outside the wrapper."""
        return self.prefix + name.removeprefix(self.wrapper) if name.startswith(self.wrapper) else None


def match_state_dict(checkpoint: Weights, module: nn.Module, *, select: str | None = None) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of `module.state_dict()`, as far as name and shape agree.

    Of all places in the file (state_dict, model, ema, …) with all prefixes (module., model., …; in the file,
    in the network, or both) the one that gives most convolutions and normalisations is taken; among equals
    no running average (unless `select`, a word in its path, asks for it), then the one that fits more, then
    the shortest. Every tensor of a convolution or normalisation layer must be there, and the file must have
    no further convolutions beside them; anything else may be missing. Works on the meta device. Raises
    SourceError with counts and the first five missing, wrongly shaped and unexpected tensors.
    """
    wanted = {name: tensor for name, tensor in module.state_dict().items() if isinstance(tensor, Tensor)}
    required = _required(module, wanted)
    placement = _best_placement(checkpoint, wanted, required, select)
    sources = {name: placement.source(name) for name in wanted}
    present = {name: checkpoint.tensors[source] for name, source in sources.items() if source in checkpoint.tensors}
    matched = {name: tensor for name, tensor in present.items() if tensor.shape == wanted[name].shape}
    _demand(checkpoint, type(module).__name__, placement, wanted, required, present)
    return matched


def load(module: nn.Module, matched: Mapping[str, Tensor]) -> None:
    """Puts the tensors into `module` without copying them, except where it computes in another dtype."""
    wanted = module.state_dict()
    converted = {name: tensor.to(wanted[name].dtype) for name, tensor in matched.items()}
    try:
        module.load_state_dict(converted, strict=False, assign=True)
    except MALFORMED as error:
        raise SourceError(f"{type(module).__name__} does not take its own state_dict ({cause(error)})") from error


def _required(module: nn.Module, wanted: Mapping[str, Tensor]) -> list[str]:
    """What decides about filters: convolutions and normalisations, and parameters in four dimensions of other layers.

    Buffers of other layers are constants (image means, blur kernels); many files lack them.
    """
    kernels = {name for name, parameter in module.named_parameters() if parameter.ndim == 4}
    layers = [f"{name}." if name else "" for name, layer in module.named_modules() if _is_essential(layer)]
    prefixes = tuple(layers)
    return [
        name
        for name in wanted
        if name in kernels or (name.startswith(prefixes) and not name.endswith("num_batches_tracked"))
    ]


def _is_essential(layer: nn.Module) -> bool:
    return isinstance(layer, (_ConvNd, _NormBase))


def _best_placement(
    checkpoint: Weights, wanted: Mapping[str, Tensor], required: Sequence[str], select: str | None
) -> Placement:
    scores = _scores(checkpoint.tensors, wanted, required)
    chosen = [place for place in scores if select is None or select.lower() in place.prefix.lower()]
    if select is not None and not chosen:
        places = sorted({place.prefix for place in scores if scores[place][0] == len(required)})
        raise SourceError(
            f"{checkpoint.path}: nothing under {select!r} fits; what fits is under {listed(map(repr, places))}"
        )
    return min(chosen, key=lambda place: _order(place, *scores[place]), default=Placement("", ""))


def _order(place: Placement, essential: int, fitting: int, named: int) -> tuple:
    averaged = any(word in place.prefix.lower() for word in AVERAGED)
    return (-essential, averaged, -fitting, -named, len(place.prefix), place.prefix, place.wrapper)


def _scores(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], required: Sequence[str]
) -> dict[Placement, list[int]]:
    """Per placement: required tensors that fit, tensors that fit, tensors with the right name."""
    essential = frozenset(required)
    wrappers = list(_shared_prefixes(required))
    scores: dict[Placement, list[int]] = {}
    for path, tensor in tensors.items():
        for prefix, rest in islice(_splits(path), MAXIMUM_DEPTH):
            for wrapper in wrappers:
                name = wrapper + rest
                if name in wanted:
                    score = scores.setdefault(Placement(prefix, wrapper), [0, 0, 0])
                    fits = tensor.shape == wanted[name].shape
                    score[:] = (score[0] + (fits and name in essential), score[1] + fits, score[2] + 1)
    return scores


def _splits(path: str) -> Iterator[tuple[str, str]]:
    """("", "a.b.c"), ("a.", "b.c"), ("a.b.", "c")."""
    start = 0
    while start >= 0:
        yield path[:start], path[start:]
        start = path.find(".", start) + 1 or -1


def _shared_prefixes(names: Sequence[str]) -> Iterator[str]:
    """The dotted prefixes that all names have in common, from "" on: what may be a wrapper around the network."""
    first, last = (min(names), max(names)) if names else ("", "")
    for prefix, rest in _splits(first):
        if not rest or not last.startswith(prefix):
            return
        yield prefix


def _demand(
    checkpoint: Weights,
    module: str,
    placement: Placement,
    wanted: Mapping[str, Tensor],
    required: Sequence[str],
    present: Mapping[str, Tensor],
) -> None:
    missing = [name for name in required if name not in present]
    misshapen = [
        f"{name} {tuple(present[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in required
        if name in present and present[name].shape != wanted[name].shape
    ]
    unexpected = _unexpected(checkpoint.tensors, placement, wanted)
    if not (missing or misshapen or unexpected):
        return
    where = f" under {printable(placement.prefix)!r}" if placement.prefix else ""
    fitting = len(required) - len(missing) - len(misshapen)
    raise SourceError(
        f"{checkpoint.path}: these are not the weights of {module}: {fitting} of its {len(required)} tensors of"
        f" convolutions and normalisations fit{where}; {len(missing)} missing{_bracketed(missing)},"
        f" {len(misshapen)} wrongly shaped{_bracketed(misshapen)}, {len(unexpected)} unexpected"
        f" convolutions{_bracketed(unexpected)}; give the architecture that was trained"
    )


def _unexpected(tensors: Mapping[str, Tensor], placement: Placement, wanted: Mapping[str, Tensor]) -> list[str]:
    """Convolutions beside the network's own: those of a deeper relative that happens to contain it."""
    own = {placement.source(name) for name in wanted}
    return [
        path.removeprefix(placement.prefix)
        for path, tensor in tensors.items()
        if path.startswith(placement.prefix) and path not in own and tensor.ndim == 4 and _is_weight(path)
    ]


def _is_weight(path: str) -> bool:
    return path.rpartition(".")[2].startswith("weight")


def _bracketed(names: Sequence[str]) -> str:
    return f" ({listed(names)})" if names else ""

"""Which convolutions a network's forward pass really uses, how deep they lie, and their weights.

`depth` is plain Python; torch is imported with the first of the names below.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filterdb.extraction.convolutions import Convolution, Extraction, extract
    from filterdb.extraction.layers import network

__all__ = ["Convolution", "Extraction", "extract", "network"]

_HOMES = {"Convolution": "convolutions", "Extraction": "convolutions", "extract": "convolutions", "network": "layers"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

"""Which convolutions a network's forward pass really uses, how deep they lie, and their weights."""

from filterdb.extraction.convolutions import Convolution, Extraction, extract
from filterdb.extraction.layers import network

__all__ = ["Convolution", "Extraction", "extract", "network"]

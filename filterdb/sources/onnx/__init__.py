"""One network from an ONNX graph: its weights and its depths, without the code that made it."""

from filterdb.errors import FilterdbError

try:
    import onnx  # noqa: F401
except ImportError as error:
    raise FilterdbError("reading ONNX files needs onnx; install it with: pip install 'filterdb[onnx]'") from error

from filterdb.sources.onnx.network import network

__all__ = ["network"]

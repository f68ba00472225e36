"""Words about files that are not what they should be; whatever a file says itself is made fit to print."""

import struct
from collections.abc import Iterable

MALFORMED = (
    AttributeError,
    LookupError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What reading a file that is not what it claims to be runs into; `cause` words it."""

SHOWN = 5
LONGEST_NAME = 200


def cause(error: Exception) -> str:
    """The kind and the first line of `error`; torch appends a trace of its own to some."""
    return printable(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")


def printable(text: str, length: int = LONGEST_NAME) -> str:
    """What a file says, fit for a message: control characters escaped, and not much longer than `length`."""
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:length])
    return "".join(escaped) + ("…" if len(text) > length else "")


def listed(names: Iterable[str]) -> str:
    """The first five names, and whether there are more."""
    names = list(names)
    return ", ".join(map(printable, names[:SHOWN])) + (", …" if len(names) > SHOWN else "")

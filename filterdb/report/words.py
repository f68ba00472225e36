"""Numbers and lists as a reader meets them in captions, notes and tables."""

import re
from collections.abc import Iterable
from math import isfinite

MISSING = "–"
SMALLEST = 1e-4
"""Below this, numbers are written with a power of ten."""
ROUNDING = 1e-9
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, digits: int = 3) -> str:
    """`value` to so many significant digits, thousands apart; a dash where there is none."""
    if value is None or not isfinite(value):
        return MISSING
    if value == round(value) or abs(value) >= 10**digits:
        return f"{value:,.0f}".replace("-", "−")
    if abs(value) < ROUNDING:
        return "≈ 0"
    if abs(value) < SMALLEST:
        mantissa, exponent = f"{value:.{digits - 1}e}".replace("e-0", "e-").split("e")
        return f"{mantissa.replace('-', '−')}×10{exponent.translate(RAISED)}"
    return f"{value:#.{digits}g}".rstrip(".").replace("-", "−")


def percent(share: float | None, digits: int = 1) -> str:
    """A share in [0, 1] as a percentage."""
    return MISSING if share is None or not isfinite(share) else f"{100 * share:.{digits}f} %"


def spread(mean: float | None, deviation: float | None, digits: int = 1) -> str:
    """`mean ± deviation`, without the latter where a single value has none."""
    if mean is None or not isfinite(mean):
        return MISSING
    return f"{mean:,.{digits}f}" + ("" if deviation is None else f" ± {deviation:,.{digits}f}")


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 network`, `12 networks`, `no networks`."""
    name = noun if count == 1 else plural or f"{noun}s"
    return f"{count:,} {name}" if count else f"no {name}"


def listed(words: Iterable[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, end = [*words] or [""]
    return f"{', '.join(first)} {last} {end}" if first else end


def dataset_name(dataset: str | None) -> str:
    """The name of a data set, of which a network may have none."""
    return dataset or "unknown data set"


def file_name(dataset: str | None) -> str:
    """That name as part of a file's name: what would lead elsewhere is written as in addresses, `a/b` as `a%2Fb`."""
    return re.sub(r"[^\w.@+ -]", lambda found: f"%{ord(found[0]):02X}", dataset_name(dataset))


def depth_name(decile: int) -> str:
    """The place of a depth decile, 0 being the first layer."""
    return "the first layer" if decile == 0 else f"decile {decile}"

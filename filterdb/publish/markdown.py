"""Tables and values as Markdown."""

from collections.abc import Iterable, Iterator, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, ending in a newline."""
    return "".join(f"| {' | '.join(map(cell, row))} |\n" for row in _lines(header, rows))


def cell(value: object) -> str:
    """One value: numbers short, NULL empty, bars harmless."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(cell, value)) + "]"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _lines(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[Sequence[object]]:
    yield header
    yield ["---"] * len(header)
    yield from rows

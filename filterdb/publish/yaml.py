"""YAML as release files need it: blocks of mappings and lists, every text quoted as in JSON."""

import json
from collections.abc import Iterator, Mapping
from datetime import date


def dump(document: Mapping[str, object]) -> str:
    """`document` as YAML; keys in the order given, empty values (None, "", [], {}) left out."""
    return "".join(f"{line}\n" for line in _mapping(document))


def _mapping(mapping: Mapping[str, object]) -> Iterator[str]:
    for key, value in mapping.items():
        if value in (None, "", [], (), {}):
            continue
        if isinstance(value, Mapping):
            yield f"{key}:"
            yield from (f"  {line}" for line in _mapping(value))
        elif isinstance(value, list | tuple):
            yield f"{key}:"
            yield from _items(value)
        else:
            yield f"{key}: {_scalar(value)}"


def _items(items: list | tuple) -> Iterator[str]:
    for item in items:
        lines = list(_mapping(item)) if isinstance(item, Mapping) else [_scalar(item)]
        yield f"- {lines[0]}"
        yield from (f"  {line}" for line in lines[1:])


def _scalar(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else json.dumps(value, ensure_ascii=False)

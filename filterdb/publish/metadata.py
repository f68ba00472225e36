"""What a person says about a release, in release.toml; everything else is computed."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from filterdb.errors import UsageError

PAPER_TITLE = "Adversarial Robustness through the Lens of Convolutional Filters"
PAPER_AUTHORS = (("Paul", "Gavrikov"), ("Janis", "Keuper"))
PAPER_ARXIV = "2204.02481"
PAPER_DATA_DOI = "10.5281/zenodo.6414075"

ORCID = re.compile(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]")
DOI = re.compile(r"10\.\d{4,9}/\S+")


@dataclass(frozen=True, kw_only=True)
class Author:
    """One author: a person (given and family name) or, with `name` alone, a group."""

    given: str = ""
    family: str = ""
    name: str = ""
    orcid: str = ""
    affiliation: str = ""

    def __str__(self) -> str:
        return self.name or f"{self.given} {self.family}".strip()


ANONYMOUS = Author(name="Anonymous")


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The table `[release]` of release.toml.

    `license` is that of the collection, its documentation and its measurements; the weights keep the
    licences of their networks. `released` defaults to the day when the last network was ingested.
    """

    title: str = "3×3 filters of convolutional networks"
    version: str = ""
    license: str = "CC-BY-4.0"
    description: str = ""
    authors: tuple[Author, ...] = (ANONYMOUS,)
    keywords: tuple[str, ...] = field(
        default=("convolutional filters", "adversarial robustness", "model zoo", "principal component analysis")
    )
    released: date | None = None
    url: str = ""
    repository: str = ""
    doi: str = ""
    contact: str = ""


def load(file: Path | None, *, anonymous: bool = False) -> Metadata:
    """What `file` says; the defaults without one.

    `anonymous` leaves out everything that says who made the release: authors, addresses, DOI.
    Raises UsageError that names the first key or value that is wrong.
    """
    metadata = Metadata() if file is None else _parse(file)
    if not anonymous:
        return metadata
    open_facts = ("title", "version", "license", "description", "keywords", "released")
    return Metadata(**{name: getattr(metadata, name) for name in open_facts})


def _parse(file: Path) -> Metadata:
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not TOML: {error}") from error
    _refuse_unknown(file, "", document, ["release"])
    release = _table(file, "release", document.get("release", {}))
    fields = Metadata.__dataclass_fields__
    _refuse_unknown(file, "release.", release, fields)
    values = {name: _value(file, name, value) for name, value in release.items()}
    return _checked(file, Metadata(**values))


def _value(file: Path, name: str, value: object) -> object:
    if name == "authors":
        return tuple(_author(file, author) for author in _list(file, name, value))
    if name == "keywords":
        return tuple(_text(file, name, keyword) for keyword in _list(file, name, value))
    if name == "released":
        if type(value) is not date:
            raise UsageError(f"{file}: release.released must be a date such as 2025-03-31, not {value!r}")
        return value
    return _text(file, name, value)


def _author(file: Path, value: object) -> Author:
    given = _table(file, "release.authors", value)
    _refuse_unknown(file, "release.authors.", given, Author.__dataclass_fields__)
    author = Author(**{key: _text(file, f"authors.{key}", text) for key, text in given.items()})
    if not (author.name or author.family):
        raise UsageError(f"{file}: every author needs a family name, or a name if it is a group")
    if author.orcid and not ORCID.fullmatch(author.orcid):
        raise UsageError(f"{file}: ORCID {author.orcid!r} is not of the form 0000-0000-0000-0000")
    return author


def _checked(file: Path, metadata: Metadata) -> Metadata:
    if not metadata.authors:
        raise UsageError(f"{file}: release.authors is empty: name one, or leave it out")
    if metadata.doi and not DOI.fullmatch(metadata.doi):
        raise UsageError(f"{file}: release.doi {metadata.doi!r} is not a DOI such as {PAPER_DATA_DOI}")
    for name in ("url", "repository"):
        address = getattr(metadata, name)
        if address and not address.startswith(("https://", "http://")):
            raise UsageError(f"{file}: release.{name} {address!r} must begin with https://")
    return metadata


def _refuse_unknown(file: Path, prefix: str, given: Mapping, known: object) -> None:
    for key in given:
        if key not in known:
            raise UsageError(f"{file}: unknown key {prefix}{key}; there are {', '.join(known)}")


def _table(file: Path, name: str, value: object) -> Mapping:
    if not isinstance(value, Mapping):
        raise UsageError(f"{file}: {name} must be a table")
    return value


def _list(file: Path, name: str, value: object) -> list:
    if not isinstance(value, list):
        raise UsageError(f"{file}: release.{name} must be a list")
    return value


def _text(file: Path, name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{file}: release.{name} must be a text, not {value!r}")
    return value.strip()

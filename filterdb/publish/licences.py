"""Which networks may be passed on: those whose licence is known and allowed. The others are named, not hidden."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from filterdb.errors import UsageError

UNKNOWN = "unknown"
ALLOWED = (
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "ODC-By-1.0",
    "PDDL-1.0",
    "Unlicense",
    "Zlib",
)
"""Licences that allow everybody to pass weights on for any purpose; others need --license-allow."""

RESTRICTED = (
    "AGPL-3.0-only",
    "CC-BY-NC-4.0",
    "CC-BY-NC-ND-4.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-ND-4.0",
    "GPL-2.0-only",
    "GPL-3.0-only",
    "LGPL-3.0-only",
)
HUB_IDS = {
    "ODC-By-1.0": "odc-by",
    "PDDL-1.0": "pddl",
    "AGPL-3.0-only": "agpl-3.0",
    "GPL-2.0-only": "gpl-2.0",
    "GPL-3.0-only": "gpl-3.0",
    "LGPL-3.0-only": "lgpl-3.0",
}
"""What Hugging Face calls a licence, where that is not the SPDX id in lower case."""

_CANONICAL = {name.lower(): name for name in (*ALLOWED, *RESTRICTED)}
LISTED = 5


@dataclass(frozen=True)
class LeftOut:
    """A network that is not passed on, and the licence that is why."""

    model: str
    license: str


@dataclass(frozen=True)
class Gate:
    """Which networks pass."""

    passed: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def canonical(license: str | None) -> str:
    """The SPDX id as SPDX spells it; other texts as they are; `unknown` for None or nothing."""
    text = (license or "").strip()
    return _CANONICAL.get(text.lower(), text) or UNKNOWN


def is_spdx(license: str) -> bool:
    """Whether `license` is an SPDX id that filterdb knows."""
    return license.lower() in _CANONICAL


def link(license: str) -> str | None:
    """Where the text of an SPDX licence is; None for others."""
    return f"https://spdx.org/licenses/{license}.html" if is_spdx(license) else None


def hub_id(license: str) -> str:
    """What Hugging Face calls `license`; `other` for what it does not know."""
    return HUB_IDS.get(license, license.lower()) if is_spdx(license) else "other"


def gate(networks: Iterable[tuple[str, str | None]], allow: Sequence[str] = ()) -> Gate:
    """Sort pairs of model and licence into those that pass and those that are left out.

    `allow` adds licences to ALLOWED. A network without a licence is an error unless `allow` has
    `unknown`; so is a release without any network.
    """
    allowed = {name.lower() for name in (*ALLOWED, *allow)}
    pairs = [(model, canonical(license)) for model, license in networks]
    _refuse_unknown([model for model, license in pairs if license == UNKNOWN], allowed)
    passed = tuple(model for model, license in pairs if license.lower() in allowed)
    left_out = tuple(LeftOut(model, license) for model, license in pairs if license.lower() not in allowed)
    if not passed:
        found = ", ".join(sorted({out.license for out in left_out}))
        reason = f"--license-allow one of {found}" if found else "ingest some first"
        raise UsageError(f"no network to publish: {reason}")
    return Gate(passed, left_out)


def _refuse_unknown(models: list[str], allowed: set[str]) -> None:
    if models and UNKNOWN not in allowed:
        listed = ", ".join(models[:LISTED]) + (f", … ({len(models)} in all)" if len(models) > LISTED else "")
        raise UsageError(
            f"no licence is known of {listed}: ingest with --license, or publish with --license-allow {UNKNOWN}"
        )

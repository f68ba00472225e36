"""The claims table: what the paper says, what this lake says."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import isfinite
from operator import itemgetter

import polars as pl

from filterdb.report.claims import CLAIMS
from filterdb.report.part import Part, Table
from filterdb.report.parts.quality import cautions
from filterdb.report.study import Study
from filterdb.report.testing import Claim, Measured, Verdict
from filterdb.report.words import MISSING, counted, number

TITLE = "The paper's claims"
HEAD = ("data set", "verdict", "effect", "95 % interval", "in the paper", "networks")
Found = Sequence[tuple[Claim, Measured]]


def part(study: Study) -> Part:
    """Every claim on every data set, with effect size and an interval over networks."""
    found = [(claim, measured) for claim in CLAIMS for measured in claim.measure(study)]
    return Part(
        name="claims",
        title=TITLE,
        caption=_caption(found),
        numbers={"claims": _numbers(found), "claims-networks": study.networks},
        tables=(_table(found),) if found else (),
        notes=(*_notes(found), *cautions(study)),
    )


def _numbers(found: Found) -> pl.DataFrame:
    rows = [
        {
            "claim": claim.name,
            "sentence": claim.sentence,
            "dataset": measured.dataset,
            "verdict": claim.verdict(measured).value,
            "reason": claim.reason(measured),
            "effect": claim.effect,
            "estimate": measured.estimate,
            "low": measured.interval.low,
            "high": measured.interval.high,
            "holds_if": claim.direction.value,
            "reference": claim.reference,
            "paper": measured.paper,
            "n_robust": measured.n_robust,
            "n_normal": measured.n_normal,
        }
        for claim, measured in found
    ]
    return pl.DataFrame(rows, infer_schema_length=None).fill_nan(None)


def _table(found: Found) -> Table:
    rows, kinds = [], []
    for claim, of_claim in groupby(found, itemgetter(0)):
        rows.append((f"{claim.sentence} Measured as: {claim.effect}.",))
        kinds.append("group")
        for _, measured in of_claim:
            rows.append(_row(claim, measured))
            kinds.append(claim.verdict(measured).name.lower())
    return Table(head=HEAD, rows=tuple(rows), kinds=tuple(kinds))


def _row(claim: Claim, measured: Measured) -> tuple[str, ...]:
    interval, reason = measured.interval, claim.reason(measured)
    return (
        measured.dataset,
        claim.verdict(measured).value + (f": {reason}" if reason else ""),
        number(measured.estimate),
        f"{number(interval.low)} to {number(interval.high)}" if isfinite(interval.low) else MISSING,
        number(measured.paper),
        _networks(measured),
    )


def _networks(measured: Measured) -> str:
    sizes = {"robust": measured.n_robust, "normal": measured.n_normal}
    return ", ".join(f"{size} {kind}" for kind, size in sizes.items() if size) or "none"


def _notes(found: Found) -> Iterator[str]:
    if any(claim.is_undecided(measured) for claim, measured in found):
        yield "where the interval includes the value in question, the lake neither shows the claim nor refutes it"


def _caption(found: Found) -> str:
    verdicts = [claim.verdict(measured) for claim, measured in found]
    held, failed, open_ = (verdicts.count(verdict) for verdict in Verdict)
    return (
        f"In {counted(len(verdicts), 'test')} of {counted(len(CLAIMS), 'claim')}, the claim holds in {held}, does not"
        f" hold in {failed}, and cannot be tested on this lake in {open_}. A claim holds where the whole 95 % interval"
        " lies on its side; intervals come from resampling networks as a whole, or pairs that share a network together."
    )

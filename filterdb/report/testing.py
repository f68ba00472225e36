"""What it takes for a claim to hold on a lake: an effect, its interval over networks, a verdict."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, nan
from typing import TYPE_CHECKING

import numpy as np

from filterdb.report.collection import FEWEST, Collection
from filterdb.report.effects import REPLICATES, Interval
from filterdb.report.words import dataset_name, listed, number

if TYPE_CHECKING:
    from filterdb.report.study import Study

Effect = Callable[[np.ndarray], np.ndarray]
"""From weightings (b, n) of networks to the value of each (b,)."""
NOWHERE = Interval(nan, nan)


class Verdict(StrEnum):
    """What a lake says of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNTESTABLE = "not testable on this lake"


class Direction(StrEnum):
    """Where the whole interval must lie for a claim to hold; `INCLUDING`: that it includes the reference."""

    ABOVE = "above"
    BELOW = "below"
    INCLUDING = "including"


@dataclass(frozen=True)
class Measured:
    """An effect on one data set, or several: its estimate, its interval, and the paper's value (NaN for none).

    reason: why it cannot be tested, or ''.
    """

    dataset: str
    estimate: float = nan
    interval: Interval = NOWHERE
    paper: float = nan
    n_robust: int = 0
    n_normal: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Claim:
    """One sentence of the paper with a number or a direction.

    sentence: what it says, in our words. effect: what is measured. It holds where the interval lies in
    `direction` of `reference`. measure: the effect on each data set that it speaks of.
    """

    name: str
    sentence: str
    effect: str
    direction: Direction
    reference: float
    measure: "Callable[[Study], Iterator[Measured]]"

    def verdict(self, found: Measured) -> Verdict:
        """What the lake says of it."""
        if found.reason:
            return Verdict.UNTESTABLE
        low, high = found.interval.low, found.interval.high
        holds = {
            Direction.ABOVE: low > self.reference,
            Direction.BELOW: high < self.reference,
            Direction.INCLUDING: low <= self.reference <= high,
        }
        return Verdict.HOLDS if holds[self.direction] else Verdict.FAILS

    def is_undecided(self, found: Measured) -> bool:
        """Whether the interval lies on both sides of the reference."""
        fails = self.verdict(found) is Verdict.FAILS
        return fails and found.interval.low <= self.reference <= found.interval.high

    def reason(self, found: Measured) -> str:
        """Why the verdict is not `holds`, or ''."""
        if self.verdict(found) is not Verdict.FAILS:
            return found.reason
        if self.is_undecided(found):
            return f"the interval includes {number(self.reference)}"
        side = "below" if found.interval.high < self.reference else "above"
        return f"the whole interval lies {side} {number(self.reference)}"


def measured(
    collection: Collection, estimate: float, interval: Interval, *, paper: float = nan, unknown: str
) -> Measured:
    """An effect on one data set that was computed already. unknown: why, if it is not defined."""
    undefined = "" if isfinite(estimate) else unknown
    return Measured(
        dataset_name(collection.dataset),
        float(estimate),
        interval,
        float(paper),
        collection.n_robust,
        collection.n_normal,
        collection.lacking or undefined or collection.too_few or ("" if isfinite(interval.low) else unknown),
    )


def measured_on(
    collection: Collection, effect: Effect, generator: np.random.Generator, *, paper: float = nan, unknown: str
) -> Measured:
    """An effect on one data set, with its interval."""
    estimate = effect(collection.times[None])[0] if collection.models else nan
    interval = NOWHERE if collection.too_few else Interval.of(effect(collection.resampled(REPLICATES, generator)))
    return measured(collection, estimate, interval, paper=paper, unknown=unknown)


class Everyone:
    """The trained networks of several data sets together, resampled data set by data set."""

    def __init__(self, collections: list[Collection]) -> None:
        self.collections = collections
        self.models = tuple(model for one in collections for model in one.models)
        self.robust = np.array([flag for one in collections for flag in one.robust], dtype=bool)
        self.n_robust = int(self.robust.sum())
        self.n_normal = len(self.models) - self.n_robust

    def measured(self, effect: Effect, generator: np.random.Generator, n: int, *, paper: float = nan) -> Measured:
        """The effect with its interval; `n`: networks of the kind it needs that has fewest."""
        estimate, interval = nan, NOWHERE
        if n:
            estimate = float(effect(np.ones((1, len(self.models))))[0])
        if n >= FEWEST:
            interval = Interval.of(
                effect(np.hstack([one.resampled(REPLICATES, generator) for one in self.collections]))
            )
        too_few = "" if n >= FEWEST else f"{n} networks of a kind, {FEWEST} are needed for an interval"
        undefined = "" if isfinite(estimate) or not n else "fewer than two filters that differ"
        name = listed(dataset_name(one.dataset) for one in self.collections)
        return Measured(name, estimate, interval, paper, self.n_robust, self.n_normal, too_few or undefined)

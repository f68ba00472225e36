"""The trained networks of one data set: how often each counts, resampled with replacement, or with labels exchanged.

Filters within a network are not independent, nor are networks that share a twin. What is resampled are
therefore whole networks, and pairs that hang together as one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from filterdb.report.words import counted, listed

FEWEST = 3
"""Independent units of which an interval can be made at all."""


@dataclass(frozen=True, eq=False)
class Collection:
    """Robust and normal networks of one data set.

    models (n,): their ids. robust (n,) bool. times (n,): how often each counts, once per pair that it is in
    or once. unit (n,): the number of what is resampled together. by_pair: units are pairs, or several pairs
    that share a network; otherwise networks, of each kind by itself. kinds: those of which there must be some.
    """

    dataset: str | None
    models: tuple[str, ...]
    robust: np.ndarray
    times: np.ndarray
    unit: np.ndarray
    by_pair: bool
    kinds: tuple[str, ...] = ("robust", "normal")

    @classmethod
    def of(
        cls,
        dataset: str | None,
        networks: Sequence[tuple[str, bool, int]],
        pairs: Iterable[tuple[str, str]],
        *,
        by_pair: bool,
    ) -> "Collection":
        """From (model, robust, times) of each network that counts, and pairs of models."""
        models = tuple(model for model, _, _ in networks)
        unit = _connected(models, pairs) if by_pair else np.arange(len(models))
        return cls(
            dataset,
            models,
            np.array([robust for _, robust, _ in networks], dtype=bool),
            np.array([times for _, _, times in networks], dtype=float),
            unit,
            by_pair,
        )

    def robust_alone(self) -> "Collection":
        """Its robust networks, for questions to which normal ones do not matter."""
        models = tuple(model for model, robust in zip(self.models, self.robust, strict=True) if robust)
        robust, times, unit = (values[self.robust] for values in (self.robust, self.times, self.unit))
        return replace(self, models=models, robust=robust, times=times, unit=unit, kinds=("robust",))

    @property
    def sizes(self) -> dict[str, int]:
        """Networks of each kind of which there must be some."""
        every = {"robust": self.n_robust, "normal": self.n_normal}
        return {kind: every[kind] for kind in self.kinds}

    @property
    def n_robust(self) -> int:
        """Robust networks."""
        return int(self.robust.sum())

    @property
    def n_normal(self) -> int:
        """Normal networks."""
        return len(self.models) - self.n_robust

    @property
    def n_units(self) -> int:
        """Independent units: pairs, or networks of the kind that has fewer."""
        return len(set(self.unit)) if self.by_pair else min(self.sizes.values())

    @property
    def too_few(self) -> str:
        """Why there can be no interval, or ''."""
        if self.n_units >= FEWEST:
            return ""
        if self.by_pair:
            return f"{counted(self.n_units, 'independent pair')}, {FEWEST} are needed for an interval"
        networks = listed(f"{size} {kind}" for kind, size in self.sizes.items())
        return f"{networks} networks, {FEWEST} of each are needed for an interval"

    @property
    def lacking(self) -> str:
        """Of which kinds there are no networks, or ''."""
        missing = [kind for kind, size in self.sizes.items() if not size]
        return f"no {listed(missing, 'and no')} networks" if missing else ""

    def resampled(self, replicates: int, generator: np.random.Generator) -> np.ndarray:
        """(replicates, n): how often each network counts when units are drawn with replacement."""
        drawn = np.zeros((replicates, len(self.models)))
        for members in self._strata():
            units, position = np.unique(self.unit[members], return_inverse=True)
            chances = np.full(len(units), 1 / max(len(units), 1))
            drawn[:, members] = generator.multinomial(len(units), chances, size=replicates)[:, position]
        return drawn * self.times

    def exchanged(self, replicates: int, generator: np.random.Generator) -> np.ndarray:
        """(replicates, n) bool: which networks are called robust when labels are exchanged by chance.

        Within pairs each pair's labels are swapped or not; otherwise labels are dealt out anew.
        """
        if not self.by_pair:
            return generator.permuted(np.tile(self.robust, (replicates, 1)), axis=1)
        swapped = generator.random((replicates, self.unit.max(initial=0) + 1)) < 0.5
        return self.robust ^ swapped[:, self.unit]

    def _strata(self) -> list[np.ndarray]:
        everyone = np.arange(len(self.models))
        if self.by_pair:
            return [everyone]
        return [members for members in (everyone[self.robust], everyone[~self.robust]) if len(members)]


def _connected(models: Sequence[str], pairs: Iterable[tuple[str, str]]) -> np.ndarray:
    """(n,) the smallest index of a model that each is connected with through pairs."""
    index = {model: number for number, model in enumerate(models)}
    edges = [(index[first], index[second]) for first, second in pairs if first in index and second in index]
    label = np.arange(len(models))
    for _ in models:
        before = label.copy()
        for first, second in edges:
            label[first] = label[second] = min(label[first], label[second])
        if (before == label).all():
            break
    return label

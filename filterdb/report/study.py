"""What tables and figures are made from: networks, summaries and histograms of one lake, each asked for once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from filterdb.analysis import PCA, Moments
from filterdb.errors import UsageError
from filterdb.query import catalogue
from filterdb.query.database import Database
from filterdb.query.histograms import BINS
from filterdb.query.names import Definition
from filterdb.query.quoting import literal
from filterdb.report.collection import Collection
from filterdb.report.effects import Spread, spread

KINDS = ("normal", "robust", "untrained")
FORMS = ("raw", "bn_folded")
FIRST_LAYER = 0
DEPTHS = tuple(range(11))
"""The first layer and the ten deciles."""
UNKNOWN_DEPTH = 11


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What of a lake is reported, and how it is counted.

    datasets: none means all. pairs: a network counts once per pair that it is in, where its data set has
    pairs. weights: raw or bn_folded; None means the form that most networks have.
    """

    datasets: tuple[str, ...] = ()
    definition: Definition = Definition.PAPER
    pairs: bool = True
    weights: str | None = None


class Study:
    """One lake under one choice. Everything is computed when it is first asked for, and then kept.

    Histograms are asked for once, by network and depth on the basis common to all trained networks; every
    divergence and distribution follows from them. The rest follows from the layers' summaries.
    """

    def __init__(self, database: Database, choice: Choice) -> None:
        self.database, self.choice = database, choice
        self._kept: dict[tuple, pl.DataFrame] = {}
        self._refuse_unknown()

    def _refuse_unknown(self) -> None:
        choice = self.choice
        if choice.weights not in (None, *FORMS):
            raise UsageError(f"no network of weights {choice.weights!r}; choose {' or '.join(FORMS)}")
        known = set(self.frame("paper/claims", everything=True)["dataset"])
        for dataset in choice.datasets:
            if dataset not in known:
                names = ", ".join(sorted(filter(None, known))) or "none"
                raise UsageError(f"no trained or untrained network of data set {dataset!r}; the lake has {names}")

    def frame(self, query: str, *, everything: bool = False, **values: object) -> pl.DataFrame:
        """The rows of a named query, those of the chosen data sets unless `everything`.

        Its parameters are those of the choice where it has them; `values` go before them.
        """
        named = catalogue.load(query)
        chosen = {
            "pairs": self.choice.pairs,
            "definition": self.choice.definition.value,
            "weights": self.choice.weights,
        }
        defaults = named.values(self.database.connection, {})
        given = {name: {**chosen, **values}.get(name, default) for name, default in defaults.items()}
        rows = self._rows(named.text, given)
        if everything or not self.choice.datasets or "dataset" not in rows.columns:
            return rows
        return rows.filter(pl.col("dataset").is_in(self.choice.datasets))

    def _rows(self, text: str, given: Mapping[str, object]) -> pl.DataFrame:
        key = (text, *given.values())
        if key not in self._kept:
            self._kept[key] = self.database.sql(text, given).pl()
        return self._kept[key]

    @cached_property
    def networks(self) -> pl.DataFrame:
        """The networks of the chosen data sets that have a kind; see `queries/paper/claims.sql`."""
        return self.frame("paper/claims")

    @cached_property
    def weights(self) -> str:
        """The form of the weights that is reported on."""
        models = self.frame("paper/claims", everything=True)["model"]
        if models.is_empty():
            return self.choice.weights or "raw"
        query = f"SELECT weights FROM models WHERE model = {literal(models[0])}"
        return self.database.sql(query).fetchall()[0][0]

    @cached_property
    def datasets(self) -> tuple[str | None, ...]:
        """The chosen data sets with networks, by name; None stands for networks of which it is unknown."""
        return tuple(self.networks["dataset"].unique(maintain_order=True))

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """(robust, normal) ids of all pairs in the lake."""
        return self.database.sql("SELECT robust_model, normal_model FROM pairs ORDER BY ALL").fetchall()

    def collection(self, dataset: str | None, *, pairs: bool | None = None) -> Collection:
        """The trained networks of a data set; `pairs` as chosen unless it is given."""
        rows = self.networks if pairs is None else self.frame("paper/claims", pairs=pairs)
        rows = rows.filter(pl.col("dataset").eq_missing(dataset) & (pl.col("kind") != "untrained"))
        rows = rows.filter(pl.col("times") > 0)
        networks = [(model, kind == "robust", times) for model, kind, times in rows["model", "kind", "times"].rows()]
        return Collection.of(dataset, networks, self.pairs, by_pair=bool(rows["by_pair"].any()))

    def collections(self, *, pairs: bool | None = None) -> Iterator[Collection]:
        """`collection` of every data set."""
        return (self.collection(dataset, pairs=pairs) for dataset in self.datasets)

    def untrained(self, dataset: str | None) -> list[str]:
        """The networks of a data set with initial weights."""
        rows = self.networks.filter(pl.col("dataset").eq_missing(dataset) & (pl.col("kind") == "untrained"))
        return rows["model"].to_list()

    @cached_property
    def basis(self) -> PCA | None:
        """The basis common to all trained networks of the lake, of any data set; None where there is none.

        Where this very basis is registered, histograms are not counted but looked up.
        """
        rows = self.frame("paper/claims", everything=True).filter(pl.col("kind") != "untrained")
        basis = PCA.from_moments(Moments.empty().merge(*(self.moments[model] for model in rows["model"])))
        if not np.isfinite(basis.components).all():
            return None
        return next((known.pca for known in self.database.bases.values() if _is_same(known.pca, basis)), basis)

    @cached_property
    def moments(self) -> Mapping[str, Moments]:
        """Second moments of the scaled, non-sparse filters of each network of the lake."""
        return {model: moments for (model,), moments in self.database.split("true").moments_by("model").items()}

    def moment_vectors(self, models: tuple[str, ...]) -> np.ndarray:
        """(n, 55) of these networks."""
        return np.array([self.moments[model].to_vector() for model in models]).reshape(-1, 55)

    @cached_property
    def _histograms(self) -> Mapping[tuple[str, int | None], np.ndarray]:
        models = ", ".join(map(literal, self.networks["model"]))
        if self.basis is None or not models:
            return {}
        return self.database.split(f"model IN ({models})").histograms(self.basis, ("model", "depth_decile"))

    def histograms(self, models: tuple[str, ...]) -> np.ndarray:
        """(n, 12, 9, 70) counts of coefficients on the common basis, by depth, the last where it is unknown."""
        counts = np.zeros((len(models), UNKNOWN_DEPTH + 1, 9, BINS))
        position = {model: number for number, model in enumerate(models)}
        for (model, decile), histogram in self._histograms.items():
            if model in position:
                counts[position[model], UNKNOWN_DEPTH if decile is None else decile] += histogram
        return counts

    @cached_property
    def by_depth(self) -> Mapping[str | None, Spread]:
        """Divergences of robust from normal filters at the eleven depths by data set, counted as chosen."""
        return {one.dataset: self._spread(one, slice(UNKNOWN_DEPTH)) for one in self._comparable(self.choice.pairs)}

    @cached_property
    def overall(self) -> Mapping[str | None, Spread]:
        """The same of all filters together (d = 1), every network counted once."""
        return {one.dataset: self._spread(one, None) for one in self._comparable(pairs=False)}

    def _comparable(self, pairs: bool) -> Iterator[Collection]:
        every = self.collections(pairs=pairs) if self.basis else ()
        return (one for one in every if one.n_robust and one.n_normal)

    def _spread(self, collection: Collection, depths: slice | None) -> Spread:
        counts = self.histograms(collection.models)
        counts = counts.sum(axis=1, keepdims=True) if depths is None else counts[:, depths]
        return spread(counts, collection, self.basis, self.generator())

    def generator(self) -> np.random.Generator:
        """Chance that is the same each time."""
        return np.random.default_rng(0)

    def stamp(self, *, counting: str | None = None) -> str:
        """How a figure was counted, in a line."""
        by_pair = self.choice.pairs and any(self.networks["by_pair"].fill_null(False))
        counting = counting or ("networks once per pair" if by_pair else "every network once")
        return (
            f"definition {self.choice.definition.value} · {counting} · {self.weights} weights"
            f" · lake version {self.database.version}"
        )


def _is_same(one: PCA, other: PCA) -> bool:
    """Whether both are of the same filters, but for rounding."""
    return one.n == other.n and np.allclose(one.components, other.components, rtol=0, atol=1e-9)

"""The RobustBench model zoo as a typed table: what there is, and the choosing among it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

from filterdb.errors import UsageError
from filterdb.network import Facts
from filterdb.sources.facts import fact_rows
from filterdb.sources.naming import did_you_mean

if TYPE_CHECKING:
    from torch import nn

DATASETS = ("cifar10", "cifar100", "imagenet")
THREAT_MODELS = ("Linf", "L2", "corruptions")
INPUT_SHAPES = {"cifar10": (3, 32, 32), "cifar100": (3, 32, 32), "imagenet": (3, 224, 224)}

_NORMALLY_TRAINED = frozenset({"Standard", "Standard_R50", "AlexNet"})


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One network of a RobustBench leaderboard that `robustbench` can build.

    Accuracies are percentages; `robust_accuracy` is the lowest known one under the threat model.
    `epsilon` is in units of the input range [0, 1]. `google_drive` lists the ids of its checkpoints,
    none where the zoo takes weights from elsewhere. `None` means that the leaderboard does not say.
    """

    model_id: str
    dataset: str
    threat_model: str
    architecture: str
    epsilon: float | None
    clean_accuracy: float
    robust_accuracy: float | None
    corruption_accuracy: float | None
    extra_data: bool
    unreliable: bool | None
    venue: str | None
    year: int | None
    paper: str
    google_drive: tuple[str, ...]
    in_paper: bool

    @property
    def key(self) -> str:
        """`cifar10/Linf/Carmon2019Unlabeled`: what identifies the entry in the zoo."""
        return f"{self.dataset}/{self.threat_model}/{self.model_id}"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return INPUT_SHAPES[self.dataset]

    @property
    def facts(self) -> Facts:
        """What a lake says of the network; `robust` is False for the normally trained references."""
        return Facts(
            model=f"robustbench/{self.key}",
            source="robustbench",
            name=self.model_id,
            dataset=self.dataset,
            robust=self.model_id not in _NORMALLY_TRAINED,
            architecture=self.architecture,
            threat_model=self.threat_model,
            epsilon=self.epsilon,
            clean_accuracy=self.clean_accuracy,
            robust_accuracy=self.robust_accuracy,
            corruption_accuracy=self.corruption_accuracy,
            extra_data=self.extra_data,
            unreliable=self.unreliable,
            venue=self.venue,
            year=self.year,
            paper=self.paper,
        )

    def build(self) -> "nn.Module":
        """Run the zoo's own constructor; to be called inside `untrained()` or `weightless()`."""
        from filterdb.sources.robustbench.build import construct

        return construct(self)


@cache
def catalogue() -> tuple[Entry, ...]:
    """All 206 entries that `robustbench` can build, by dataset, threat model and id."""
    return tuple(_entry(row) for row in fact_rows("robustbench_models.csv") if row["in_model_dicts"] == "True")


def find(key: str) -> Entry:
    """The entry with the key `dataset/threat_model/model_id`; UsageError, with what is near, without one."""
    entries = {entry.key: entry for entry in catalogue()}
    if key not in entries:
        raise UsageError(f"unknown RobustBench entry {key!r}{did_you_mean(key, entries)}")
    return entries[key]


def select(
    *, datasets: Collection[str] = (), threat_models: Collection[str] = (), models: Collection[str] = ()
) -> tuple[Entry, ...]:
    """The entries of these datasets, threat models and models, in the catalogue's order.

    Nothing given means no restriction. A model is a key (`cifar10/Linf/Carmon2019Unlabeled`) or a
    model id, which may occur under several datasets and threat models. UsageError for a name that
    does not exist and where nothing is left.
    """
    require_known("dataset", datasets, DATASETS)
    require_known("threat model", threat_models, THREAT_MODELS)
    require_models(models, catalogue(), "RobustBench model")
    chosen = tuple(
        entry
        for entry in catalogue()
        if (not datasets or entry.dataset in datasets)
        and (not threat_models or entry.threat_model in threat_models)
        and (not models or entry.model_id in models or entry.key in models)
    )
    if not chosen:
        wanted = ", ".join([*datasets, *threat_models, *models])
        raise UsageError(f"no RobustBench entry is all of: {wanted}; leave one of the conditions out")
    return chosen


def require_known(kind: str, names: Iterable[str], allowed: Collection[str]) -> None:
    """UsageError unless all `names` are `allowed`."""
    for name in names:
        if name not in allowed:
            raise UsageError(f"unknown {kind} {name!r}; choose from {', '.join(allowed)}")


def require_models(names: Iterable[str], entries: Iterable[Entry], kind: str) -> None:
    """UsageError, with the nearest names, unless every name is an id or a key of one of `entries`."""
    known = {name for entry in entries for name in (entry.model_id, entry.key)}
    for name in names:
        if name not in known:
            raise UsageError(f"unknown {kind} {name!r}{did_you_mean(name, known)}")


def _entry(row: dict[str, str]) -> Entry:
    return Entry(
        model_id=row["model_id"],
        dataset=row["dataset"],
        threat_model=row["threat_model"],
        architecture=row["architecture"],
        epsilon=_number(row["eps"]),
        clean_accuracy=float(row["clean_acc"]),
        robust_accuracy=_number(row["best_robust_acc"]),
        corruption_accuracy=_number(row["corruptions_acc"]),
        extra_data=row["additional_data"] == "True",
        unreliable=row["unreliable"] == "True" if row["unreliable"] else None,
        venue=None if row["venue"] == "N/A" else row["venue"],
        year=int(row["year"]) if row["year"] else None,
        paper=row["paper_link"],
        google_drive=tuple(row["gdrive_id"].split("|")) if row["gdrive_id"] else (),
        in_paper=row["in_paper71"] == "True",
    )


def _number(text: str) -> float | None:
    """`8/255` and `0.5` as numbers."""
    return float(Fraction(text)) if text else None

"""The paper's collection: 71 robust networks with their values of 2022, and the normal twin of each."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cache

from torch import nn

from filterdb.network import Facts
from filterdb.sources import timm
from filterdb.sources.facts import fact_rows
from filterdb.sources.robustbench.catalogue import (
    DATASETS,
    Entry,
    find,
    require_known,
    require_models,
)

_OF_TIMM = {
    "timm_resnet50_imagenet1k_13": "resnet50.a1_in1k",
    "timm_resnet18_imagenet1k_13": "resnet18.tv_in1k",
    "timm_wide_resnet50_2_imagenet1k_13": "wide_resnet50_2.racm_in1k",
}
"""The paper's ImageNet twins under today's names: timm's defaults of 2022."""

_TRAINED = "hso_normal_training_robustbench_"


@dataclass(frozen=True, kw_only=True)
class Twin:
    """A normally trained network of the paper, with the architecture `built_as`.

    One of timm's own networks, or trained by the authors from the constructor of a robust network.
    """

    name: str
    dataset: str
    architecture: str
    clean_accuracy: float
    built_as: Entry | timm.Model

    @property
    def timm_model(self) -> timm.Model | None:
        """The network of timm that this is; None for the authors' own."""
        return None if isinstance(self.built_as, Entry) else self.built_as

    @property
    def facts(self) -> Facts:
        """A twin from timm keeps timm's id and facts; the authors' own is called `paper/<data set>/<name>`."""
        if self.timm_model:
            known = self.timm_model.facts
            return replace(known, architecture=self.architecture, clean_accuracy=self.clean_accuracy)
        return Facts(
            model=f"paper/{self.dataset}/{self.name}",
            source="paper",
            name=self.name,
            dataset=self.dataset,
            robust=False,
            architecture=self.architecture,
            clean_accuracy=self.clean_accuracy,
            extra_data=False,
            venue="CVPR Workshops 2022",
            year=2022,
            paper="https://arxiv.org/abs/2204.02481",
        )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return self.built_as.input_shape

    def build(self) -> nn.Module:
        """Run the constructor of `built_as`; to be called inside `untrained()` or `weightless()`."""
        return self.built_as.build()


@dataclass(frozen=True)
class Pair:
    """A robust network and its normal twin."""

    robust: Entry
    normal: Twin


@cache
def pairs() -> tuple[Pair, ...]:
    """All 71, in the paper's order."""
    return tuple(Pair(_robust(row), _twin(row)) for row in fact_rows("paper_pairs.csv"))


def select_pairs(*, datasets: Collection[str] = (), models: Collection[str] = ()) -> tuple[Pair, ...]:
    """The pairs of these datasets and robust models; UsageError for names that are not the paper's."""
    require_known("dataset", datasets, DATASETS)
    require_models(models, [pair.robust for pair in pairs()], "robust model of the paper")
    return tuple(
        pair
        for pair in pairs()
        if (not datasets or pair.robust.dataset in datasets)
        and (not models or pair.robust.model_id in models or pair.robust.key in models)
    )


def networks(chosen: Iterable[Pair]) -> tuple[Entry | Twin, ...]:
    """The robust networks of these pairs, then their twins, each once."""
    chosen = tuple(chosen)
    twins = {pair.normal.name: pair.normal for pair in chosen}
    return (*(pair.robust for pair in chosen), *twins.values())


def pair_rows(chosen: Iterable[Pair], *, fold_batchnorm: bool = True) -> list[dict[str, object]]:
    """Rows of the table `pairs`: robust_model, normal_model, architecture, dataset."""
    return [
        {
            "robust_model": pair.robust.facts.in_form(fold_batchnorm=fold_batchnorm).model,
            "normal_model": pair.normal.facts.in_form(fold_batchnorm=fold_batchnorm).model,
            "architecture": pair.normal.architecture,
            "dataset": pair.normal.dataset,
        }
        for pair in chosen
    ]


def _robust(row: dict[str, str]) -> Entry:
    return replace(
        find(f"{row['dataset']}/Linf/{row['robust_model']}"),
        architecture=row["architecture"],
        clean_accuracy=float(row["robust_clean_accuracy"]),
        robust_accuracy=float(row["robust_accuracy"]),
    )


def _twin(row: dict[str, str]) -> Twin:
    return Twin(
        name=row["normal_model"],
        dataset=row["dataset"],
        architecture=row["architecture"],
        clean_accuracy=float(row["normal_clean_accuracy"]),
        built_as=_architecture(row["normal_model"], row["dataset"]),
    )


def _architecture(name: str, dataset: str) -> Entry | timm.Model:
    if name in _OF_TIMM:
        return timm.Model(_OF_TIMM[name])
    model_id = name.removeprefix(_TRAINED).removesuffix(f"_{dataset}_13")
    return find(f"{dataset}/Linf/{model_id}")

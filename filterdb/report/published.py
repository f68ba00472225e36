"""What the paper printed, from `facts/`: to stand beside what a lake gives."""

import csv
from functools import cache
from pathlib import Path

import numpy as np

FACTS = Path(__file__).with_name("facts")
PAIRS = Path(__file__).parents[1] / "sources" / "facts" / "paper_pairs.csv"
DATASETS = ("cifar10", "cifar100", "imagenet")
"""From the least to the most complex."""
FIRST_COMPONENT = 0.67
"""Share of the variance of all normal filters on their first principal component."""

FILTERS = {"cifar10": 447_825_488, "cifar100": 158_015_344, "imagenet": 10_022_912}
"""3×3 filters of all robust networks."""


@cache
def divergence(*, pairs: bool) -> dict[str, float]:
    """KL divergence of robust from normal filters by data set."""
    counting = "pairs" if pairs else "networks"
    return {row["dataset"]: float(row["kl"]) for row in _rows("paper_divergence.csv") if row["counting"] == counting}


@cache
def divergence_by_depth() -> dict[tuple[str, int], float]:
    """The same by (data set, depth decile), counted by pairs; only where there are filters."""
    rows = _rows("paper_divergence_by_depth.csv")
    return {(row["dataset"], int(row["bin"])): float(row["kl"]) for row in rows if float(row["kl"]) > 0}


@cache
def metrics_by_depth() -> dict[tuple[str, str, bool, int], float]:
    """Means over pairs by (metric, data set, robust, depth decile); only where there are layers."""
    return {
        (row["metric"], row["dataset"], row["robust"] == "True", int(row["bin"])): float(row["mean"])
        for row in _rows("paper_metrics_by_depth.csv")
        if row["mean"]
    }


@cache
def accuracies() -> dict[tuple[str, str], tuple[float, float]]:
    """Table 1: mean and sample standard deviation (percent) over pairs by (data set, column of `paper_pairs.csv`)."""
    columns = ("normal_clean_accuracy", "robust_clean_accuracy", "robust_accuracy")
    with PAIRS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        (dataset, column): _mean_and_deviation([float(row[column]) for row in rows if row["dataset"] == dataset])
        for dataset in DATASETS
        for column in columns
    }


@cache
def pairs() -> dict[str, int]:
    """Pairs of a robust network and its normal twin by data set."""
    with PAIRS.open(encoding="utf-8", newline="") as file:
        datasets = [row["dataset"] for row in csv.DictReader(file)]
    return {dataset: datasets.count(dataset) for dataset in DATASETS}


def _mean_and_deviation(values: list[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1))


def _rows(name: str) -> list[dict[str, str]]:
    with (FACTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))

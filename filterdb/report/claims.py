"""What the paper says of robust and normal filters, sentence by sentence, and how each is measured on a lake."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from math import nan

import numpy as np

from filterdb.report import effects, published
from filterdb.report.effects import Interval
from filterdb.report.parts.quality import matrix
from filterdb.report.parts.thresholding import THRESHOLD, weighted_sums
from filterdb.report.pictures import METRICS
from filterdb.report.study import DEPTHS, FIRST_LAYER, Study
from filterdb.report.testing import NOWHERE, Claim, Direction, Everyone, Measured, measured, measured_on
from filterdb.report.words import dataset_name, listed

ALIKE = 0.9
"""The cosine from which two basis vectors count as hardly different: 26 degrees."""
DECILES = slice(FIRST_LAYER + 1, None)


def _of_metric(metric: str) -> Callable[[Study], Iterator[Measured]]:
    def measure(study: Study) -> Iterator[Measured]:
        frame = study.frame("paper/fig7_quality")
        for collection in study.collections():
            values = matrix(frame, collection.models, metric)
            yield measured_on(
                collection,
                partial(effects.mean_difference, values, robust=collection.robust),
                study.generator(),
                paper=_paper_difference(collection.dataset, metric),
                unknown=f"{METRICS[metric]} of robust or of normal networks is not known",
            )

    return measure


def _paper_difference(dataset: str | None, metric: str) -> float:
    """Robust minus normal in the paper's means, averaged over depths."""
    means = published.metrics_by_depth()
    sides = [[means.get((metric, dataset, robust, depth), nan) for depth in DEPTHS] for robust in (True, False)]
    differences = np.subtract(*sides)
    known = np.isfinite(differences)
    return float(differences[known].mean()) if known.any() else nan


def _rank_correlation(metric: str) -> Callable[[Study], Iterator[Measured]]:
    def measure(study: Study) -> Iterator[Measured]:
        rows = {row["model"]: row for row in study.networks.to_dicts()}
        for collection in (one.robust_alone() for one in study.collections()):
            of_metric, accuracy = (
                np.array([rows[model][column] for model in collection.models], dtype=float)
                for column in (metric, "robust_accuracy")
            )
            yield measured_on(
                collection,
                partial(effects.rank_correlation, of_metric, accuracy),
                study.generator(),
                unknown=f"{METRICS[metric]} or robust accuracies are not known, or are all alike",
            )

    return measure


def _thresholds(study: Study) -> Iterator[Measured]:
    banks = study.frame("paper/fig6_thresholding", threshold=THRESHOLD)
    shares = dict(weighted_sums(banks)["model", "share"].rows())
    for collection in study.collections():
        values = np.array([[shares.get(model, nan)] for model in collection.models], dtype=float).reshape(-1, 1)
        yield measured_on(
            collection,
            partial(effects.mean_difference, values, robust=collection.robust),
            study.generator(),
            unknown="no robust or no normal network begins with a 3×3 convolution whose channels are known",
        )


def _of_depths(
    statistic: Callable[[np.ndarray], np.ndarray],
    interval: Callable[[float, np.ndarray], Interval],
    unknown: str,
) -> Callable[[Study], Iterator[Measured]]:
    """A statistic (b,) of the divergences at the eleven depths (b, 11)."""

    def measure(study: Study) -> Iterator[Measured]:
        for collection in study.collections():
            spread = study.by_depth.get(collection.dataset)
            if spread is None:
                yield measured(collection, nan, NOWHERE, unknown=unknown)
                continue
            of_paper = [published.divergence_by_depth().get((collection.dataset, depth), nan) for depth in DEPTHS]
            estimate, paper = (statistic(np.array([row]))[0] for row in (spread.values, of_paper))
            between = interval(estimate, statistic(spread.resampled))
            yield measured(collection, estimate, between, paper=paper, unknown=unknown)

    return measure


def _trend(rows: np.ndarray) -> np.ndarray:
    return effects.trend(rows[:, DECILES])


def _first_against_rest(rows: np.ndarray) -> np.ndarray:
    """The divergence of the first layer over the median of those of the deciles that are known."""
    known = np.isfinite(rows[:, DECILES]).all(axis=0)
    if not known.any():
        return np.full(len(rows), nan)
    return _ratio(rows[:, FIRST_LAYER], np.median(rows[:, DECILES][:, known], axis=1))


def _falls_with_complexity(study: Study) -> Iterator[Measured]:
    present = [dataset for dataset in published.DATASETS if dataset in study.overall]
    if len(present) < 2:
        names = listed(map(dataset_name, study.datasets))
        everyone = Everyone(list(study.collections(pairs=False)))
        reason = f"needs robust and normal networks of two of {listed(published.DATASETS)}"
        yield Measured(names, n_robust=everyone.n_robust, n_normal=everyone.n_normal, reason=reason)
    for simple, complicated in pairwise(present):
        yield _ratio_of_divergences(study, simple, complicated)


def _ratio_of_divergences(study: Study, simple: str, complicated: str) -> Measured:
    sides = [study.collection(dataset, pairs=False) for dataset in (simple, complicated)]
    above, below = (study.overall[dataset] for dataset in (simple, complicated))
    too_few = sides[0].too_few or sides[1].too_few
    estimate = float(_ratio(above.values, below.values)[0])
    resampled = _ratio(above.resampled, below.resampled)[:, 0]
    interval = NOWHERE if too_few else Interval.of_divergence(estimate, resampled)
    paper = published.divergence(pairs=False)
    return Measured(
        f"{simple} over {complicated}",
        estimate,
        interval,
        paper[simple] / paper[complicated],
        sum(side.n_robust for side in sides),
        sum(side.n_normal for side in sides),
        too_few,
    )


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return above / np.where(below > 0, below, nan)


def _same_basis(study: Study) -> Iterator[Measured]:
    everyone = Everyone(list(study.collections(pairs=False)))
    vectors = study.moment_vectors(everyone.models)
    effect = partial(effects.similarity_of_bases, vectors, robust=everyone.robust)
    yield everyone.measured(effect, study.generator(), min(everyone.n_robust, everyone.n_normal))


def _first_component(study: Study) -> Iterator[Measured]:
    everyone = Everyone(list(study.collections(pairs=False)))
    of_normal = study.moment_vectors(everyone.models) * ~everyone.robust[:, None]
    effect = partial(effects.first_component, of_normal)
    yield everyone.measured(effect, study.generator(), everyone.n_normal, paper=published.FIRST_COMPONENT)


CLAIMS = (
    Claim(
        "more diverse",
        "Robust networks form more diverse filters than normal ones.",
        "variance entropy, robust minus normal, mean over depths",
        Direction.ABOVE,
        0.0,
        _of_metric("variance_entropy"),
    ),
    Claim(
        "less sparse",
        "Robust networks form less sparse filters than normal ones.",
        "sparsity, robust minus normal, mean over depths",
        Direction.BELOW,
        0.0,
        _of_metric("sparsity"),
    ),
    Claim(
        "more orthogonal",
        "Robust networks form more orthogonal filters than normal ones.",
        "orthogonality, robust minus normal, mean over depths",
        Direction.ABOVE,
        0.0,
        _of_metric("orthogonality"),
    ),
    Claim(
        "grows with depth",
        "The shift between robust and normal filters grows with depth.",
        "rank correlation of the divergence with the decile of depth",
        Direction.ABOVE,
        0.0,
        _of_depths(
            _trend,
            lambda _, resampled: Interval.of(resampled),
            "the divergence is known at fewer than three deciles",
        ),
    ),
    Claim(
        "first layer apart",
        "The very first layer is an outlier: there the shift is large.",
        "divergence in the first layer over its median in the deciles",
        Direction.ABOVE,
        1.0,
        _of_depths(
            _first_against_rest,
            Interval.of_divergence,
            "no first layer that is 3×3, or no deciles, on both sides",
        ),
    ),
    Claim(
        "first layer thresholds",
        "The first layer of robust networks forms filters that can remove perturbations from the image.",
        "share of first-layer filterbanks that are weighted sums of the channels, robust minus normal",
        Direction.ABOVE,
        0.0,
        _thresholds,
    ),
    Claim(
        "falls with complexity",
        "The shift is smaller the more complex the data set.",
        "divergence on one data set over that on the next more complex one",
        Direction.ABOVE,
        1.0,
        _falls_with_complexity,
    ),
    Claim(
        "same basis",
        "The basis vectors of robust and normal filters hardly differ.",
        "cosine of each robust basis vector with the nearest normal one, mean weighted by variance",
        Direction.ABOVE,
        ALIKE,
        _same_basis,
    ),
    Claim(
        "67 % on the first vector",
        "67 % of the variance of normal filters lies on the first basis vector.",
        "share of the variance of normal filters on the first basis vector",
        Direction.INCLUDING,
        published.FIRST_COMPONENT,
        _first_component,
    ),
    Claim(
        "diversity goes with robustness",
        "Among robust networks, diversity rises with robust accuracy.",
        "rank correlation of variance entropy with robust accuracy",
        Direction.ABOVE,
        0.0,
        _rank_correlation("variance_entropy"),
    ),
    Claim(
        "density goes with robustness",
        "Among robust networks, sparsity falls with robust accuracy.",
        "rank correlation of sparsity with robust accuracy",
        Direction.BELOW,
        0.0,
        _rank_correlation("sparsity"),
    ),
    Claim(
        "orthogonality goes with robustness",
        "Among robust networks, orthogonality rises with robust accuracy.",
        "rank correlation of orthogonality with robust accuracy",
        Direction.ABOVE,
        0.0,
        _rank_correlation("orthogonality"),
    ),
)

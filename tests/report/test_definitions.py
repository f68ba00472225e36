"""The page on definitions says what each choice does to a result; here it is measured again."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import entropy

import filterdb
from tests.report.oracle import EPS, Oracle, bounds, spectrum

PAGE = Path(__file__).parents[2] / "docs" / "definitions.md"
CIFAR10 = "cifar10"


@pytest.fixture(scope="module")
def real(reference_lake):
    with filterdb.open(reference_lake, threads=2) as db:
        return Oracle(db)


def printed(choice, quantity):
    """On real filters (otherwise, as in the paper's numbers), as the page prints it."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.read_text("utf-8").splitlines()]
    row = next(row for row in rows if len(row) == 8 and row[0] == choice and row[3] == quantity)
    return row[4], row[5]


def sides(oracle, *, pairs=False):
    return [oracle.scaled(oracle.members(CIFAR10, kind), pairs=pairs) for kind in ("robust", "normal")]


def kl(oracle, p, q, *, basis=None, empty_bins_out=False, range_of_each_axis=False):
    """Eq. 10 with its choices open."""
    components, ratios, mean, low, high = basis or oracle.basis
    total = 0.0
    for component, ratio in zip(components, ratios, strict=True):
        values = [(side - mean) @ component for side in (p, q)]
        ends = np.array([(v.min(), v.max()) for v in values])
        span = (ends.min(), ends.max()) if range_of_each_axis else (low, high)
        densities = [np.histogram(v, 70, span, density=True)[0] for v in values]
        if empty_bins_out:
            both = (densities[0] > 0) & (densities[1] > 0)
            first, second = (density[both] * (span[1] - span[0]) / 70 for density in densities)
            total += ratio * ((first - second) * np.log(first / second)).sum()
        else:
            filled = [np.where(density == 0, EPS, density) for density in densities]
            total += ratio * (entropy(*filled) + entropy(*filled[::-1]))
    return total


def mean_entropy(oracle, kind, *, published):
    models = oracle.members(CIFAR10, kind)
    return np.mean([oracle.quality(model, None, published=published, everything=True)[1] for model in models])


def with_sparse_ones(oracle):
    """Scaled filters of both kinds, sparse ones too, and the basis of all of them."""
    both = []
    for kind in ("robust", "normal"):
        members = set(oracle.members(CIFAR10, kind))
        layers = [layer for layer in oracle.layers if layer.model in members]
        both.append(np.concatenate([x.filters / np.where(x.largest > 0, x.largest, 1)[:, None] for x in layers]))
    found = spectrum(np.concatenate(both))
    return both, (*found, *bounds(*found[::2]))


def test_variance_entropy(real):
    normal, robust = (
        [mean_entropy(real, kind, published=published) for published in (False, True)] for kind in ("normal", "robust")
    )
    assert printed("variance entropy", "entropy of normal networks") == tuple(f"{value:.3f}" for value in normal)
    differences = tuple(f"{r - n:.3f}" for r, n in zip(robust, normal, strict=True))
    assert printed("variance entropy", "robust minus normal") == differences


def test_counting(real):
    assert printed("counting", "KL") == tuple(f"{kl(real, *sides(real, pairs=pairs)):.4f}" for pairs in (False, True))


def test_bins(real):
    as_published = f"{kl(real, *sides(real)):.4f}"
    assert printed("empty bins", "KL") == (f"{kl(real, *sides(real), empty_bins_out=True):.4f}", as_published)
    assert printed("range of bins", "KL") == (f"{kl(real, *sides(real), range_of_each_axis=True):.4f}", as_published)


def test_sparse_filters(real):
    both, basis = with_sparse_ones(real)
    assert sum(map(len, both)) == 81632
    assert printed("sparse filters", "KL") == (f"{kl(real, *both, basis=basis):.4f}", f"{kl(real, *sides(real)):.4f}")
    shares = tuple(f"{100 * found[1][0]:.1f} %" for found in (basis, real.basis))
    assert printed("sparse filters", "variance on the first component") == shares

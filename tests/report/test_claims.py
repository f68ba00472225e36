"""Effects equal numpy and scipy, networks and not filters are resampled, verdicts follow from intervals."""

from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

import filterdb
from filterdb.analysis import PCA, Moments
from filterdb.report import effects
from filterdb.report.claims import CLAIMS
from filterdb.report.collection import Collection
from filterdb.report.effects import Interval
from filterdb.report.parts import claims
from filterdb.report.study import Choice, Study
from filterdb.report.testing import Claim, Direction, Measured, Verdict
from tests.report.conftest import made_up, make_lake

CLAIM = {claim.name: claim for claim in CLAIMS}
RNG = np.random.default_rng(5)


@pytest.fixture
def study(zoo_db):
    return Study(zoo_db, Choice())


def found(study, name, dataset):
    return next(measured for measured in CLAIM[name].measure(study) if measured.dataset == dataset)


@pytest.mark.parametrize(("name", "metric"), [("less sparse", 0), ("more diverse", 1), ("more orthogonal", 2)])
@pytest.mark.parametrize("dataset", ["cifar10", "imagenet"])
def test_quality_is_compared_depth_by_depth(study, zoo_oracle, name, metric, dataset):
    differences = []
    for decile in range(11):
        means = []
        for kind in ("robust", "normal"):
            members = [m for m in zoo_oracle.members(dataset, kind) for _ in range(zoo_oracle.times(m, pairs=True))]
            known = [m for m in members if any(o.model == m and o.decile == decile for o in zoo_oracle.layers)]
            means.append(
                np.mean([zoo_oracle.quality(m, decile, published=False)[metric] for m in known]) if known else nan
            )
        differences.append(means[0] - means[1])
    measured = found(study, name, dataset)
    assert measured.estimate == pytest.approx(np.nanmean(differences), rel=1e-7)
    assert measured.interval.low < measured.estimate < measured.interval.high
    assert (measured.n_robust, measured.n_normal) == (4, 3)


def test_divergence_grows_with_depth(study, zoo_oracle):
    by_decile = [zoo_oracle.kl("cifar10", decile, pairs=True) for decile in range(11)]
    measured = found(study, "grows with depth", "cifar10")
    assert measured.estimate == pytest.approx(spearmanr(by_decile[1:], range(1, 11)).statistic)
    assert measured.paper == pytest.approx(spearmanr(PAPERS_CIFAR10[1:], range(1, 11)).statistic)
    apart = found(study, "first layer apart", "cifar10")
    assert apart.estimate == pytest.approx(by_decile[0] / np.median(by_decile[1:]), rel=1e-9)
    assert apart.paper == pytest.approx(PAPERS_CIFAR10[0] / np.median(PAPERS_CIFAR10[1:]))


PAPERS_CIFAR10 = [
    *(0.47239364, 0.02407307, 0.02730886, 0.05771742, 0.01426462, 0.01350262),
    *(0.04982932, 0.02775597, 0.11128647, 1.09603080, 1.53591697),
]


def test_the_first_component_and_the_bases_are_those_of_all_networks(study, zoo_oracle):
    sides = {
        kind: zoo_oracle.scaled([m for m in zoo_oracle.models if zoo_oracle.kind(m) == kind])
        for kind in ("robust", "normal")
    }
    variances, bases = {}, {}
    for kind, filters in sides.items():
        _, singular, bases[kind] = np.linalg.svd(filters - filters.mean(axis=0), full_matrices=False)
        variances[kind] = singular**2 / (singular**2).sum()
    name = "cifar10, cifar100 and imagenet"
    assert found(study, "67 % on the first vector", name).estimate == pytest.approx(variances["normal"][0], rel=1e-9)
    nearest = np.abs(bases["robust"] @ bases["normal"].T).max(axis=1)
    assert found(study, "same basis", name).estimate == pytest.approx(nearest @ variances["robust"], rel=1e-9)


def test_divergences_of_data_sets_are_compared_with_every_network_once(study, zoo_oracle):
    measured = found(study, "falls with complexity", "cifar10 over imagenet")
    expected = zoo_oracle.kl("cifar10", pairs=False) / zoo_oracle.kl("imagenet", pairs=False)
    assert measured.estimate == pytest.approx(expected, rel=1e-9)
    assert measured.paper == pytest.approx(0.55328 / 0.01609)


def test_metrics_are_ranked_with_robust_accuracy(study, zoo_oracle):
    robust = zoo_oracle.members("cifar10", "robust")
    sparsity = [zoo_oracle.quality(model, None, published=False, everything=True)[0] for model in robust]
    accuracy = [zoo_oracle.models[model]["robust_accuracy"] for model in robust]
    measured = found(study, "density goes with robustness", "cifar10")
    assert measured.estimate == pytest.approx(spearmanr(sparsity, accuracy).statistic)


def test_the_same_every_time(zoo_db):
    once, again = (claims.part(Study(zoo_db, Choice())).numbers["claims"] for _ in range(2))
    assert once.equals(again)


@given(
    values=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=3, max_size=12),
)
def test_rank_correlation_is_scipys_on_repeated_values(values):
    x, y, times = np.array(values, dtype=float).T
    repeated = [np.repeat(column, times.astype(int)) for column in (x, y)]
    found = effects.rank_correlation(x, y, times[None])[0]
    if min(len(set(column)) for column in repeated) < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(*repeated).statistic, abs=1e-12)


def test_weighted_effects_are_those_of_repeated_networks():
    counts = RNG.integers(0, 50, size=(5, 3, 9, 70)).astype(float)
    robust = np.array([True, True, False, False, False])
    times = np.array([1, 2, 0, 3, 1])
    basis = PCA.from_moments(Moments.from_filters(RNG.normal(size=(50, 9))))
    repeated = np.repeat(counts, times, axis=0), np.repeat(robust, times)
    expected = effects.divergences(repeated[0], np.ones((1, 7)), repeated[1], basis)
    np.testing.assert_allclose(effects.divergences(counts, times[None], robust, basis), expected, rtol=1e-12)
    vectors = np.array([Moments.from_filters(RNG.normal(size=(40, 9))).to_vector() for _ in range(5)])
    once = effects.similarity_of_bases(np.repeat(vectors, times, axis=0), np.ones((1, 7)), repeated[1])
    np.testing.assert_allclose(effects.similarity_of_bases(vectors, times[None], robust), once, rtol=1e-9)


PAIRED = Collection.of(
    "x",
    [("r1", True, 1), ("r2", True, 1), ("r3", True, 1), ("n1", False, 2), ("n2", False, 1)],
    [("r1", "n1"), ("r2", "n1"), ("r3", "n2"), ("r3", "elsewhere")],
    by_pair=True,
)
SINGLE = Collection.of("x", [("r1", True, 1), ("r2", True, 1), ("r3", True, 1), ("n1", False, 1)], [], by_pair=False)


def test_networks_that_hang_together_are_drawn_together():
    assert (PAIRED.n_units, PAIRED.n_robust, PAIRED.n_normal) == (2, 3, 2)
    drawn = PAIRED.resampled(200, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 1])
    np.testing.assert_array_equal(2 * drawn[:, 0], drawn[:, 3])
    np.testing.assert_array_equal(drawn[:, 2], drawn[:, 4])
    assert set(drawn[:, 0] + drawn[:, 2]) == {2}
    assert set(drawn[:, 0]) == {0, 1, 2}


def test_without_pairs_each_kind_is_drawn_by_itself():
    assert SINGLE.n_units == 1
    drawn = SINGLE.resampled(200, np.random.default_rng(0))
    assert set(drawn[:, 3]) == {1}
    assert set(drawn[:, :3].sum(axis=1)) == {3}
    assert drawn[:, 0].std() > 0


def test_exchanged_labels_keep_pairs_opposite_and_numbers_alike():
    swapped = PAIRED.exchanged(100, np.random.default_rng(0))
    np.testing.assert_array_equal(swapped[:, 0], ~swapped[:, 3])
    np.testing.assert_array_equal(swapped[:, 2], ~swapped[:, 4])
    assert 20 < (swapped[:, 0] != swapped[:, 2]).sum() < 80
    assert set(SINGLE.exchanged(100, np.random.default_rng(0)).sum(axis=1)) == {3}


def test_too_few_units_have_no_interval():
    assert PAIRED.too_few == "2 independent pairs, 3 are needed for an interval"
    assert SINGLE.too_few == "3 robust and 1 normal networks, 3 of each are needed for an interval"


def test_an_interval_holds_the_mean_as_often_as_it_says():
    """Of networks drawn from one population; resampling 20 of them falls a little short of 95 %."""
    hits = 0
    networks = [(f"n{i}", i < 20, 1) for i in range(40)]
    collection = Collection.of("x", networks, [], by_pair=False)
    for seed in range(300):
        generator = np.random.default_rng(seed)
        values = generator.normal(size=(40, 1)) + collection.robust[:, None]
        drawn = collection.resampled(500, generator)
        interval = Interval.of(effects.mean_difference(values, drawn, collection.robust))
        hits += interval.low < 1 < interval.high
    assert 0.88 < hits / 300 < 0.98


def test_filters_of_one_network_do_not_narrow_the_interval():
    """A hundred times as many filters of the same networks leave the interval where it is."""
    values = RNG.normal(size=(6, 1))
    collection = Collection.of("x", [(f"n{i}", i < 3, 1) for i in range(6)], [], by_pair=False)
    drawn = collection.resampled(500, np.random.default_rng(0))
    counts = RNG.integers(1, 9, size=(6, 1, 9, 70)).astype(float)
    basis = PCA.from_moments(Moments.from_filters(RNG.normal(size=(50, 9))))
    few, many = (effects.divergences(k * counts, drawn, collection.robust, basis)[:, 0] for k in (1, 100))
    assert Interval.of(few).high == pytest.approx(Interval.of(many).high, rel=1e-9)
    assert np.ptp(effects.mean_difference(values, drawn, collection.robust)) > 0


def test_intervals_of_divergences_are_moved_to_their_estimate():
    replicates = np.exp(RNG.normal(loc=2, scale=0.3, size=4000))  # far above the estimate of 1
    interval = Interval.of_divergence(1.0, replicates)
    assert interval.low == pytest.approx(np.exp(-0.3 * 1.96), rel=0.05)
    assert interval.high == pytest.approx(np.exp(0.3 * 1.96), rel=0.05)
    assert np.isnan(Interval.of_divergence(nan, replicates).low)
    assert np.isnan(Interval.of(np.array([nan, nan])).high)


@pytest.mark.parametrize(
    ("direction", "interval", "verdict", "reason"),
    [
        (Direction.ABOVE, (0.1, 0.2), Verdict.HOLDS, ""),
        (Direction.ABOVE, (-0.1, 0.2), Verdict.FAILS, "the interval includes 0"),
        (Direction.ABOVE, (-0.2, -0.1), Verdict.FAILS, "the whole interval lies below 0"),
        (Direction.BELOW, (-0.2, -0.1), Verdict.HOLDS, ""),
        (Direction.BELOW, (0.1, 0.2), Verdict.FAILS, "the whole interval lies above 0"),
        (Direction.INCLUDING, (-0.2, 0.1), Verdict.HOLDS, ""),
        (Direction.INCLUDING, (0.1, 0.2), Verdict.FAILS, "the whole interval lies above 0"),
    ],
)
def test_verdicts_follow_from_intervals(direction, interval, verdict, reason):
    claim = Claim("a", "A.", "a", direction, 0.0, lambda study: iter(()))
    measured = Measured("x", 0.05, Interval(*interval))
    assert (claim.verdict(measured), claim.reason(measured)) == (verdict, reason)
    untestable = Measured("x", 0.05, Interval(*interval), reason="too few networks")
    assert (claim.verdict(untestable), claim.reason(untestable)) == (Verdict.UNTESTABLE, "too few networks")


def test_every_verdict_follows_from_the_interval_beside_it(db):
    for row in claims.part(Study(db, Choice())).numbers["claims"].to_dicts():
        if row["verdict"] == "not testable on this lake":
            assert row["reason"]
            continue
        low, high, reference = row["low"], row["high"], row["reference"]
        sides = {"above": low > reference, "below": high < reference, "including": low <= reference <= high}
        assert row["verdict"] == ("holds" if sides[row["holds_if"]] else "does not hold")


def test_real_filters_agree_with_the_paper_where_a_sample_of_them_can(reference_lake):
    with filterdb.open(reference_lake) as db:
        part = claims.part(Study(db, Choice()))
    verdicts = dict(part.numbers["claims"]["claim", "verdict"].rows())
    assert verdicts["more diverse"] == verdicts["same basis"] == "holds"
    assert verdicts["more orthogonal"] == verdicts["grows with depth"] == "not testable on this lake"


def test_what_is_said_of_robust_networks_needs_no_normal_ones(tmp_path):
    networks = [made_up(f"robust{i}", i, n_layers=6, robust_accuracy=50.0 + i) for i in range(8)]
    with filterdb.open(make_lake(tmp_path / "robust.lake", networks)) as db:
        part = claims.part(Study(db, Choice()))
    table = {row["claim"]: row for row in part.numbers["claims"].to_dicts()}
    assert table["more diverse"]["reason"] == "no normal networks"
    assert table["diversity goes with robustness"]["verdict"] != "not testable on this lake"
    assert {row[-1] for row in part.tables[0].rows if len(row) > 1} == {"8 robust"}


def test_undecided_claims_are_told_from_refuted_ones(study):
    part = claims.part(study)
    assert part.notes[0].startswith("where the interval includes the value in question, the lake neither shows")


def test_a_planted_difference_is_found_and_an_absent_one_is_not(tmp_path):
    """Robust filters of a made-up zoo are more diverse by construction; accuracies are drawn without regard to it."""
    networks, pairs = [], []
    for i in range(8):
        robust, normal = (
            made_up(f"robust{i}", i, n_layers=6, robust_accuracy=50 + RNG.normal()),
            made_up(f"plain{i}", 50 + i),
        )
        networks += [robust, normal]
        pairs.append((robust.facts.name, normal.facts.name))
    with filterdb.open(make_lake(tmp_path / "planted.lake", networks, pairs)) as db:
        table = {row["claim"]: row for row in claims.part(Study(db, Choice())).numbers["claims"].to_dicts()}
    assert table["more diverse"]["verdict"] == "holds"
    assert table["diversity goes with robustness"]["verdict"] == "does not hold"
    assert table["falls with complexity"]["verdict"] == "not testable on this lake"
    assert table["falls with complexity"]["reason"].startswith("needs robust and normal networks of two of cifar10")


def test_the_table_has_every_claim_once_and_every_test_below_it(study):
    part = claims.part(study)
    (table,) = part.tables
    groups = [row[0] for row, kind in zip(table.rows, table.kinds, strict=True) if kind == "group"]
    assert groups == [f"{claim.sentence} Measured as: {claim.effect}." for claim in CLAIMS]
    assert len(table.rows) - len(groups) == part.numbers["claims"].height
    assert "none" not in {row[-1] for row in table.rows}

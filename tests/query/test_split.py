"""Splits: what binds to layers is answered from summaries, and equals the scan and plain numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import filterdb
from filterdb.errors import FilterdbError, UsageError
from filterdb.query.split import Level

LAYER_LEVEL = [
    "robust",
    "NOT robust",
    "robust AND dataset = 'cifar10'",
    "depth_decile = 0",
    "conv_depth >= 2 OR dataset = 'o''hara'",
    "architecture LIKE 'T%' -- a comment",
    "model IN (SELECT model FROM models WHERE n_layers > 3)",
]


def numpy_filters(networks, keep):
    """Scaled, non-sparse filters (n, 9) of the layers for which keep(facts, layer)."""
    parts = [np.empty((0, 9))]
    for network in networks:
        for layer in network.layers:
            if keep(network.facts, layer):
                filters = layer.read().astype(np.float64)
                largest = np.abs(filters).max(axis=1)
                dense = 100 * largest > largest.max()
                parts.append(filters[dense] / largest[dense, None])
    return np.concatenate(parts)


def as_scan(split_text):
    """The same filters, asked for so that every one is looked at."""
    keys = f"SELECT model, layer FROM layers WHERE ({split_text}\n)"
    return f"SELECT filters.* FROM filters JOIN ({keys}) USING (model, layer)"


@pytest.mark.parametrize("text", LAYER_LEVEL)
def test_summaries_equal_the_scan(db, text):
    from_summaries, from_scan = db.split(text), db.split(as_scan(text))
    assert from_summaries.level is Level.LAYER
    assert from_scan.level is Level.FILTER
    assert from_summaries.count() == from_scan.count() > 0
    for scaled in (True, False):
        np.testing.assert_allclose(
            from_summaries.moments(scaled=scaled).to_vector(),
            from_scan.moments(scaled=scaled).to_vector(),
            rtol=1e-9,
            atol=1e-12,
        )


def test_summaries_equal_numpy(db, networks):
    filters = numpy_filters(networks, lambda facts, layer: facts.robust and facts.dataset == "cifar10")
    pca = db.split("robust AND dataset = 'cifar10'").pca()
    values, vectors = np.linalg.eigh(np.cov(filters.T))
    np.testing.assert_allclose(pca.explained_variance, values[::-1], rtol=1e-9)
    np.testing.assert_allclose(np.abs(pca.components), np.abs(vectors.T[::-1]), atol=1e-9)
    np.testing.assert_allclose(pca.mean, filters.mean(axis=0), atol=1e-12)
    assert pca.n == len(filters)


@pytest.mark.parametrize(
    "by", [["dataset"], ["robust", "depth_decile"], ["model", "layer"], ["architecture", "weights"]]
)
def test_groups_equal_the_scan_of_each(db, by):
    from_summaries = db.split("true").moments_by(by)
    from_scan = db.split("w4 IS NOT NULL").moments_by(by)
    from_scan = {k: v for k, v in from_scan.items() if v.n}
    assert {k for k, v in from_summaries.items() if v.n} == set(from_scan)
    for group, moments in from_scan.items():
        np.testing.assert_allclose(from_summaries[group].to_vector(), moments.to_vector(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("definition", ["paper", "published"])
def test_metrics_of_layers_equal_the_scan(db, definition):
    by = ["dataset", "depth_decile"]
    from_summaries = db.split("dataset LIKE 'cifar%'").metrics(by, definition=definition)
    from_scan = db.split("dataset LIKE 'cifar%' AND w4 IS NOT NULL").metrics(by, definition=definition)
    for column in ("n_filters", "sparsity", "variance_entropy"):
        np.testing.assert_allclose(from_summaries[column], from_scan[column], rtol=1e-9)
    assert from_scan["orthogonality"].is_null().all()


def test_metrics_equal_plain_numpy(db, networks):
    table = db.split("NOT robust AND dataset = 'cifar100'").metrics("depth_decile")
    layers = [
        layer for n in networks if n.facts.robust is False and n.facts.dataset == "cifar100" for layer in n.layers
    ]
    for row in table.iter_rows(named=True):
        mine = [layer for layer in layers if layer.depth_decile == row["depth_decile"]]
        assert row["n_filters"] == sum(layer.n_filters for layer in mine)
        np.testing.assert_allclose(row["orthogonality"], weighted([orthogonality(x) for x in mine], mine), rtol=1e-6)


def orthogonality(layer):
    banks = layer.read().astype(float).reshape(layer.out_channels, -1)
    banks /= np.linalg.norm(banks, axis=1, keepdims=True)
    c = layer.out_channels
    return 1 - np.abs(banks @ banks.T - np.eye(c)).sum() / (c * (c - 1))


def weighted(values, layers):
    weights = [layer.out_channels for layer in layers]
    return np.average(values, weights=weights)


def test_a_select_of_models_is_layer_level(db):
    split = db.split("SELECT model FROM models WHERE robust")
    assert split.level is Level.LAYER
    assert split.count() == db.split("robust").count()
    assert (
        db.split("SELECT model, layer FROM layers WHERE robust AND layer = 0").count()
        == db.split("robust AND layer=0").count()
    )


def test_a_predicate_over_filters_and_facts_scans_both(db):
    split = db.split("architecture = 'Toy' AND w4 > 0 AND NOT sparse")
    assert split.level is Level.FILTER
    assert (
        split.count()
        == db.sql("SELECT count(*) FROM filters WHERE w4 > 0 AND NOT sparse AND model <> 'local/odd'").fetchall()[0][0]
    )


def test_an_empty_split_has_no_structure(db):
    for text in ("false", "w4 > 1e9"):
        split = db.split(text)
        assert split.count() == 0
        assert split.moments().n == 0
        assert np.isnan(split.pca().components).all()
    assert db.split("false").metrics("dataset").height == 0


def test_a_split_without_variance_has_no_entropy(db):
    row = db.split("dataset = 'o''hara'").metrics().row(0, named=True)
    assert (row["n_filters"], row["sparsity"], row["variance_entropy"]) == (6, 0.0, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("robst", 'Referenced column "robst" not found.*Candidate bindings.*"robust"'),
        ("1; DROP VIEW filters", "syntax error"),
        ("DROP VIEW filters", "must be one SELECT; got DROP"),
        ("SELECT 1; SELECT 2", "must be one SELECT; got SELECT, SELECT"),
        ("", "must be one SELECT; got nothing"),
        ("SELECT dataset FROM models", "a SELECT must yield model and layer.*it yields dataset"),
        ("robust) OR (true", "syntax error"),
        ("COPY filters TO 'x.csv'", "must be one SELECT; got COPY"),
        ("dataset + 1 > 'x' AND", "syntax error"),
    ],
)
def test_what_is_no_split_is_refused_in_one_line(db, text, message):
    with pytest.raises(UsageError, match=message) as caught:
        db.split(text)
    assert "\n" not in str(caught.value)


def test_grouping_by_an_unknown_column_lists_the_known_ones(db):
    with pytest.raises(UsageError, match=r"cannot group by 'depht': choose among .*depth_decile"):
        db.split("robust").metrics("depht")


def test_an_unknown_definition_lists_the_known_ones(db):
    with pytest.raises(UsageError, match="definition 'mine': choose one of paper, published"):
        db.split("robust").metrics(definition="mine")


@pytest.fixture(scope="module")
def opened(lake_root):
    with filterdb.open(lake_root, threads=1) as database:
        yield database


@given(text=st.text(max_size=60))
def test_any_text_is_a_split_or_a_clear_refusal(opened, text):
    refusal = ""
    try:
        opened.split(text)
    except FilterdbError as error:
        refusal = str(error)
    assert "\n" not in refusal


def test_explain_says_how(db):
    assert db.split("robust").explain().endswith("answered from the layers' summaries")
    assert "scan" in db.split("w4 > 0").explain()

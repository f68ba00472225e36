"""The paper's queries equal numpy and scipy on raw filters, made up and real; table 1 equals the printed one."""

import re

import duckdb
import numpy as np
import pytest

import filterdb
from filterdb.errors import UsageError
from filterdb.query import catalogue, connection
from tests.networks import random_network
from tests.report.conftest import make_lake
from tests.report.oracle import spectrum

PAPER = [name for name in catalogue.names() if name.startswith("paper/")]
EXACT = {"rel": 1e-9, "abs": 1e-12, "nan_ok": True}


def ask(db, name, **given):
    query = catalogue.load(f"paper/{name}")
    return db.sql(query.text, query.values(db.connection, given)).pl()


def nan(value):
    return np.nan if value is None else value


@pytest.mark.parametrize("pairs", [True, False])
def test_table1(db, oracle, pairs):
    rows = ask(db, "table1", pairs=str(pairs)).to_dicts()
    assert {(row["dataset"], row["kind"]) for row in rows} == {
        (oracle.dataset(model), oracle.kind(model)) for model in oracle.models if oracle.kind(model)
    }
    for row in rows:
        members = oracle.members(row["dataset"], row["kind"])
        entries = [model for model in members for _ in range(oracle.times(model, pairs=pairs))]
        assert row["n"] == len(entries)
        for column in ("n_filters", "clean_accuracy", "robust_accuracy"):
            values = [v for model in entries if (v := oracle.models[model][column]) is not None]
            name = column.removeprefix("n_")
            mean, deviation = (
                (np.mean(values) if values else np.nan),
                (np.std(values, ddof=1) if len(values) > 1 else np.nan),
            )
            assert nan(row[f"{name}_mean"]) == pytest.approx(mean, **EXACT)
            assert nan(row[f"{name}_std"]) == pytest.approx(deviation, **EXACT)


def test_table1_of_the_paper(reference_data):
    """In a bare DuckDB, with tables in place of the views."""
    query = catalogue.load("paper/table1")
    with duckdb.connect() as bare:
        for macro in connection.macros():
            bare.execute(macro)
        defaults = query.values(bare, {})
        bare.execute(PAPER_TABLES.format(file=reference_data / "paper_pairs.csv"))
        rows = {(row["dataset"], row["kind"]): row for row in bare.sql(query.text, params=defaults).pl().to_dicts()}
    printed = {
        "cifar10": (49, "92.2±4.2", "86.9±2.6", "56.7±5.9"),
        "cifar100": (17, "72.7±8.5", "62.2±3.9", "29.0±3.9"),
        "imagenet": (5, "78.5±4.9", "60.7±6.3", "30.8±5.6"),
    }
    for dataset, (n, *expected) in printed.items():
        columns = (("normal", "clean"), ("robust", "clean"), ("robust", "robust"))
        found = [
            f"{rows[dataset, kind][f'{what}_accuracy_mean']:.1f}±{rows[dataset, kind][f'{what}_accuracy_std']:.1f}"
            for kind, what in columns
        ]
        assert found == expected
        assert rows[dataset, "robust"]["n"] == rows[dataset, "normal"]["n"] == n


PAPER_TABLES = """
CREATE TABLE paper AS FROM '{file}';
CREATE TABLE pairs AS
SELECT dataset || '/' || robust_model AS robust_model, dataset || '/' || normal_model AS normal_model FROM paper;
CREATE TABLE models AS
SELECT
    dataset || '/' || robust_model AS model, dataset, true AS robust, 'bn_folded' AS weights, 1 AS n_filters,
    robust_clean_accuracy AS clean_accuracy, robust_accuracy
FROM paper
UNION
SELECT dataset || '/' || normal_model, dataset, false, 'bn_folded', 1, normal_clean_accuracy, NULL
FROM paper
"""


@pytest.mark.parametrize("pairs", [True, False])
def test_fig1_divergence_by_depth(db, oracle, pairs):
    rows = ask(db, "fig1_divergence_by_depth", pairs=str(pairs)).to_dicts()
    assert [(row["dataset"], row["depth_decile"]) for row in rows] == [
        (dataset, decile) for dataset in oracle.datasets for decile in range(11)
    ]
    for row in rows:
        expected = oracle.kl(row["dataset"], row["depth_decile"], pairs=pairs)
        assert nan(row["kl"]) == pytest.approx(expected, **EXACT)
        for kind in ("robust", "normal"):
            members = oracle.members(row["dataset"], kind)
            assert row[f"n_{kind}"] == len(oracle.scaled(members, row["depth_decile"], pairs=pairs))


def test_fig1_has_no_divergence_where_a_side_has_no_filters(zoo_db, reference_lake):
    by_dataset = ask(zoo_db, "fig1_divergence_by_depth").partition_by("dataset", as_dict=True)
    assert by_dataset[("cifar100",)]["kl"].is_null().all()  # robust networks alone
    assert by_dataset[("imagenet",)]["kl"].is_null().to_list()[:2] == [True, False]  # no 3×3 first layer
    assert not by_dataset[("cifar10",)]["kl"].is_null().any()
    with filterdb.open(reference_lake) as db:
        assert ask(db, "fig1_divergence_by_depth")["kl"].is_null().all()  # depths unknown


def test_fig2_basis(db, oracle):
    rows = {row["kind"]: row for row in ask(db, "fig2_basis").to_dicts()}
    of_kind = {kind: [m for m in oracle.models if oracle.kind(m) == kind] for kind in ("normal", "robust", "untrained")}
    of_kind["all"] = of_kind["normal"] + of_kind["robust"]
    assert set(rows) == {kind for kind, models in of_kind.items() if models}
    for kind, row in rows.items():
        filters = oracle.scaled(of_kind[kind])
        components, ratios, mean = spectrum(filters)
        assert (row["n_models"], row["n_filters"]) == (len(of_kind[kind]), len(filters))
        np.testing.assert_allclose(row["explained_variance_ratio"], ratios, rtol=1e-9)
        np.testing.assert_allclose(row["components"], components, atol=1e-9)
        np.testing.assert_allclose(row["mean"], mean, atol=1e-12)


@pytest.mark.parametrize("pairs", [True, False])
def test_fig3_coefficients(db, oracle, pairs):
    frame = ask(db, "fig3_coefficients", pairs=str(pairs))
    _, ratios, _, low, high = oracle.basis
    edges = np.linspace(low, high, 71)
    for (dataset, kind), rows in frame.group_by("dataset", "kind"):
        filters = oracle.scaled(oracle.members(dataset, kind), pairs=pairs)
        counts = oracle.histograms(filters)
        np.testing.assert_array_equal(rows["n"].to_numpy().reshape(9, 70), counts)
        np.testing.assert_allclose(rows["share"].to_numpy(), (counts / len(filters)).ravel(), rtol=1e-12)
        np.testing.assert_allclose(rows["coefficient_from"].to_numpy().reshape(9, 70)[0], edges[:-1], rtol=1e-9)
        np.testing.assert_allclose(rows["coefficient_to"].to_numpy().reshape(9, 70)[8], edges[1:], rtol=1e-9)
        np.testing.assert_allclose(rows["ratio"].to_numpy()[::70], ratios, rtol=1e-9)
        sides = [oracle.scaled(oracle.members(dataset, of), pairs=pairs) for of in ("robust", "normal")]
        by_axis = rows["axis_kl"].cast(float).to_numpy()[::70]
        np.testing.assert_allclose(by_axis, oracle.axis_kl(*sides), rtol=1e-9)
        assert nan(rows["kl"][0]) == pytest.approx(oracle.kl(dataset, pairs=pairs), **EXACT)


def test_fig4_first_layer(zoo_db, zoo_oracle):
    rows = ask(zoo_db, "fig4_first_layer", dataset="cifar10")
    best = "local/robust-cifar10-3"
    assert dict(rows["kind", "model"].rows()) == {"robust": best, "normal": "local/plain-cifar10-3"}
    for model, of_model in rows.group_by("model"):
        expected = next(layer for layer in zoo_oracle.layers if (layer.model, layer.layer) == (model[0], 0))
        np.testing.assert_array_equal(of_model[[f"w{i}" for i in range(9)]].to_numpy(), expected.filters)
    assert ask(zoo_db, "fig4_first_layer", dataset="imagenet").is_empty()
    named = ask(zoo_db, "fig4_first_layer", model="local/plain-cifar10-0", n="2")
    assert (set(named["model"]), set(named["out_channel"])) == ({"local/plain-cifar10-0"}, {0, 1})


def test_fig5_last_layer(zoo_db, zoo_oracle):
    rows = ask(zoo_db, "fig5_last_layer", dataset="imagenet", n="10")
    for (model,), of_model in rows.group_by("model"):
        deepest = max((one for one in zoo_oracle.layers if one.model == model), key=lambda one: one.conv_depth)
        assert set(of_model["layer"]) == {deepest.layer}
        np.testing.assert_array_equal(of_model[[f"w{i}" for i in range(9)]].to_numpy(), deepest.filters[:10])
    assert rows.height == 20


def test_fig6_thresholding(db, oracle):
    rows = ask(db, "fig6_thresholding", threshold="0.2").to_dicts()
    first = {one.model: one for one in oracle.layers if one.decile == 0 and oracle.kind(one.model)}
    assert {row["model"] for row in rows} == set(first)
    assert len(rows) == sum(layer.out_channels for layer in first.values())
    for row in rows:
        layer = first[row["model"]]
        bank = layer.filters.reshape(layer.out_channels, -1, 9)[row["out_channel"]]
        singular = np.linalg.svd(bank, compute_uv=False)
        assert row["energy"] == pytest.approx((bank**2).sum(), **EXACT)
        assert row["centre_share"] == pytest.approx((bank[:, 4] ** 2).sum() / (bank**2).sum(), **EXACT)
        assert row["rank1_share"] == pytest.approx(singular[0] ** 2 / (singular**2).sum(), **EXACT)
        dense = layer.dense.reshape(layer.out_channels, -1)[row["out_channel"]]
        assert row["dead"] == (not dense.any())
        assert row["weighted_sum"] == (dense.any() and row["centre_share"] >= 0.2)
        assert row["in_channels"] == len(bank)


@pytest.mark.parametrize("definition", ["paper", "published"])
def test_fig7_quality(db, oracle, definition):
    rows = ask(db, "fig7_quality", definition=definition).to_dicts()
    expected = {(layer.model, layer.decile) for layer in oracle.layers if oracle.kind(layer.model)}
    assert {(row["model"], row["depth_decile"]) for row in rows} == expected
    for row in rows:
        model = row["model"]
        values = oracle.quality(model, row["depth_decile"], published=definition == "published")
        assert row["sparsity"] == pytest.approx(values[0], **EXACT)
        assert row["variance_entropy"] == pytest.approx(values[1], **EXACT)
        assert nan(row["orthogonality"]) == pytest.approx(nan(values[2]), rel=1e-7, nan_ok=True)
        assert row["times"] == oracle.times(model, pairs=True)


@pytest.mark.parametrize("definition", ["paper", "published"])
def test_claims(db, oracle, definition):
    rows = ask(db, "claims", definition=definition).to_dicts()
    assert {row["model"] for row in rows} == {model for model in oracle.models if oracle.kind(model)}
    for row in rows:
        model = row["model"]
        values = oracle.quality(model, None, published=definition == "published", everything=True)
        assert row["sparsity"] == pytest.approx(values[0], **EXACT)
        assert row["variance_entropy"] == pytest.approx(values[1], **EXACT)
        assert nan(row["orthogonality"]) == pytest.approx(nan(values[2]), rel=1e-7, nan_ok=True)
        assert row["first_component"] == pytest.approx(spectrum(oracle.scaled([model]))[1][0], **EXACT)
        assert row["kind"] == oracle.kind(model)


@pytest.mark.parametrize("name", ["fig7_quality", "claims"])
def test_an_unknown_definition_is_refused(zoo_db, name):
    query = catalogue.load(f"paper/{name}")
    with pytest.raises(UsageError, match="definition must be paper or published"):
        list(zoo_db.stream(query.text, query.values(zoo_db.connection, {"definition": "mine"}))[1])


def test_the_form_that_most_networks_have_is_taken(tmp_path):
    folded = [random_network(f"robust{i}@bn_folded", seed=i, weights="bn_folded") for i in range(2)]
    root = make_lake(tmp_path / "two.lake", [random_network("robust0", seed=0), *folded])
    with filterdb.open(root) as db:
        assert set(ask(db, "claims")["model"]) == {network.facts.model for network in folded}
        assert set(ask(db, "claims", weights="raw")["model"]) == {"local/robust0"}
        tie = make_lake(tmp_path / "tie.lake", [random_network("robust0", seed=0), folded[0]])
    with filterdb.open(tie) as db:
        assert set(ask(db, "claims")["model"]) == {"local/robust0"}


def test_networks_are_counted_alike_everywhere():
    """The queries stand alone, so each says who counts and how often; they must say the same."""

    def part(name, pattern):
        return re.findall(pattern, catalogue.load(name).text, re.DOTALL | re.MULTILINE)

    forms = {name: part(name, r"^WITH (form AS \(.*?^\)),$") for name in PAPER}
    assert {len(found) for found in forms.values()} == {1}
    assert len({found[0] for found in forms.values()}) == 1
    counted = [part(name, r"^(paired AS \(.*?^\),\nnetwork AS \(.*?^\))") for name in PAPER]
    assert len({found[0] for found in counted if found}) == 1
    assert sum(map(len, counted)) == 5

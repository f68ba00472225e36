"""Parts of the report: their numbers are those of the queries, their figures show them, and thin lakes say so."""

import re

import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.text import Text

import filterdb
from filterdb.errors import UsageError
from filterdb.network import Network
from filterdb.query import catalogue, scan
from filterdb.query.names import Definition
from filterdb.query.registration import register
from filterdb.report import report, style
from filterdb.report.parts import (
    activations,
    coefficients,
    divergence,
    mosaics,
    quality,
    structure,
    table1,
    thresholding,
)
from filterdb.report.study import Choice, Study
from tests.networks import layer_of, random_network
from tests.report.conftest import made_up, make_lake, without_first_layer
from tests.report.test_queries import ask

CLOSE = {"rel": 1e-9, "abs": 1e-12, "nan_ok": True}


@pytest.fixture
def study(zoo_db):
    return Study(zoo_db, Choice())


def values(column):
    return column.cast(float).to_numpy()


@pytest.mark.parametrize("pairs", [True, False])
def test_figure_1_equals_its_query(db, pairs):
    part = divergence.part(Study(db, Choice(pairs=pairs)))
    frame, expected = part.numbers["fig1"], ask(db, "fig1_divergence_by_depth", pairs=str(pairs))
    names = ("dataset", "depth_decile", "n_robust", "n_normal")
    assert frame.select(names).rows() == expected.select(names).rows()
    np.testing.assert_allclose(values(frame["kl"]), values(expected["kl"]), rtol=1e-9)


def test_figure_3_equals_its_query(db):
    part = coefficients.part(Study(db, Choice()))
    frame, expected = part.numbers["fig3"], ask(db, "fig3_coefficients")
    names = ["dataset", "kind", "axis", "bin", "n"]
    assert frame.select(names).sort(names).rows() == expected.select(names).sort(names).rows()
    overall = dict(part.numbers["fig3-divergence"]["dataset", "kl"].rows())
    for dataset, kl in expected["dataset", "kl"].unique().rows():
        assert overall[dataset] == (None if kl is None else pytest.approx(kl, rel=1e-9))


def test_pairs_count_in_figure_1_and_in_the_table_of_figure_3(study, zoo_oracle):
    rows = {row["dataset"]: row for row in coefficients.part(study).numbers["fig3-divergence"].to_dicts()}
    assert rows["cifar10"]["kl"] == pytest.approx(zoo_oracle.kl("cifar10", pairs=False), **CLOSE)
    assert rows["cifar10"]["kl_by_pair"] == pytest.approx(zoo_oracle.kl("cifar10", pairs=True), **CLOSE)
    assert rows["cifar10"]["paper"] == 0.55328
    assert rows["cifar100"]["kl"] is None


def test_histograms_are_counted_once_for_all_parts(zoo_db, monkeypatch):
    counted = []
    original = scan.histograms
    monkeypatch.setattr(scan, "histograms", lambda *given: counted.append(given) or original(*given))
    study = Study(zoo_db, Choice())
    for make in (divergence.part, coefficients.part, report.PARTS["claims"]):
        make(study)
    assert len(counted) == 1


def test_where_the_basis_is_registered_no_filter_is_read(tmp_path, monkeypatch):
    networks = [made_up(f"{kind}{i}", 7 * i + len(kind)) for kind in ("robust", "plain") for i in range(3)]
    root = make_lake(tmp_path / "a.lake", networks)
    with filterdb.open(root) as db:
        expected = divergence.part(Study(db, Choice())).numbers["fig1"]
    register(root, "trained", "robust IS NOT NULL")
    monkeypatch.setattr(scan._Job, "read", lambda job: pytest.fail("filters were read"))
    with filterdb.open(root) as db:
        found = divergence.part(Study(db, Choice())).numbers["fig1"]
    np.testing.assert_allclose(values(found["kl"]), values(expected["kl"]), rtol=1e-9)
    np.testing.assert_allclose(values(found["high"]), values(expected["high"]), rtol=1e-9)


def test_figure_1_shows_value_interval_chance_and_paper(study):
    part = divergence.part(study)
    assert list(part.figures) == ["fig1"]
    rows = part.numbers["fig1"].filter(dataset="cifar10")
    axes = next(axes for axes in part.figures["fig1"].axes if axes.get_title(loc="left") == "cifar10")
    shown = np.concatenate([line.get_ydata() for line in axes.lines if line.get_marker() == "o"])
    np.testing.assert_array_equal(shown, rows["kl"].to_numpy())
    diamonds = next(line.get_ydata() for line in axes.lines if line.get_marker() == "D")
    np.testing.assert_allclose(diamonds[[0, 10]], [0.47239364, 1.535917], rtol=1e-6)
    assert (rows["low"] < rows["kl"]).all()
    assert (rows["kl"] < rows["high"]).all()
    assert (rows["by_chance"] > 0).all()
    signs = [text.get_text() for text in part.figures["fig1"].legends[0].get_texts()]
    assert signs == ["robust vs normal", "95 % interval", "by chance", "paper", "no filters"]
    assert any("imagenet: no first layer" in note for note in part.notes)
    assert any(note.startswith("cifar100: 1 network trained to be robust and no networks") for note in part.notes)


def test_figure_2_has_a_third_column_for_untrained_networks(study):
    part = structure.part(study)
    labels = [text.get_text() for text in part.figures["fig2-spectra"].axes[0].get_legend().get_texts()]
    assert [label.split()[0] for label in labels] == ["normal", "robust", "untrained"]
    assert set(part.numbers["fig2"]["kind"]) == {"all", "normal", "robust", "untrained"}
    assert part.numbers["fig2"].height == 40


def test_figure_2_of_chosen_data_sets_is_of_each(zoo_db, zoo_oracle):
    part = structure.part(Study(zoo_db, Choice(datasets=("cifar10", "imagenet"))))
    assert list(part.figures) == [
        f"fig2-{what}-{name}" for name in ("cifar10", "imagenet") for what in ("spectra", "basis")
    ]
    first = part.numbers["fig2"].filter(dataset="imagenet", kind="robust", axis=1)
    filters = zoo_oracle.scaled(zoo_oracle.members("imagenet", "robust"))
    variances = np.linalg.svd(filters - filters.mean(axis=0), compute_uv=False) ** 2
    assert first["explained_variance_ratio"][0] == pytest.approx(variances[0] / variances.sum(), **CLOSE)


def test_components_are_shown_with_the_sign_of_those_they_are_compared_with():
    rng = np.random.default_rng(0)
    reference = np.linalg.qr(rng.normal(size=(9, 9)))[0]
    flipped = reference * rng.choice([-1, 1], size=(9, 1))
    np.testing.assert_array_equal(structure.turned(flipped, reference), reference)


def test_figure_4_shows_rgb_filters_of_a_robust_network_beside_its_twin(study):
    part = mosaics.first_layer(study)
    assert set(part.figures) == {"fig4-cifar10", "fig4-cifar100"}
    titles = [axes.get_title() for axes in part.figures["fig4-cifar10"].axes]
    assert titles == ["normal (6)", "robust (6)"]
    assert {axes.get_xlabel() for axes in part.figures["fig4-cifar10"].axes} == {"input channels as RGB, grey: 0"}
    picture = part.figures["fig4-cifar10"].axes[0].collections[0].get_array()
    assert picture.shape == (3, 3, 3)
    assert part.notes == (
        "cifar100: no twin of this network in the lake",
        "imagenet: the network's first convolution is not 3×3",
    )


def test_figure_5_shows_single_filters_of_the_deepest_layer(study):
    part = mosaics.last_layer(study)
    assert set(part.figures) == {f"fig5-{name}" for name in ("cifar10", "cifar100", "imagenet")}
    assert [axes.get_title() for axes in part.figures["fig5-imagenet"].axes[:2]] == ["normal (36)", "robust (36)"]


def test_where_depths_are_unknown_the_layers_shown_are_said_to_be_in_the_lakes_order(reference_lake):
    with filterdb.open(reference_lake) as db:
        first, last = (make(Study(db, Choice())) for make in (mosaics.first_layer, mosaics.last_layer))
    said = "cifar10: the depths of its layers are not known; shown is the {} in the order of the lake"
    assert (first.notes, last.notes) == ((said.format("first"),), (said.format("last"),))
    weights = last.numbers["fig5-cifar10"].filter(kind="robust").select("w0", "w1").rows()
    assert weights == sorted(weights)  # no channels to go by, yet the same each time


def test_the_centre_share_of_a_mosaic():
    weights = np.zeros((2, 1, 3, 3))
    assert np.isnan(mosaics.centre_share(weights))
    weights[0, 0, 1, 1], weights[1, 0, 0, 0] = 3, 1
    assert mosaics.centre_share(weights) == pytest.approx(0.9)


def test_figure_6_tells_weighted_sums_from_other_banks(tmp_path):
    centre = np.zeros((6, 9))
    centre[:, 4] = 1
    centre[0, 0] = 0.2
    networks = [one_layer("robust", centre), one_layer("plain", np.ones((6, 9)))]
    with filterdb.open(make_lake(tmp_path / "a.lake", networks)) as db:
        part = thresholding.part(Study(db, Choice()))
    shares = {(row["kind"], row["out_channel"]): row for row in part.numbers["fig6"].to_dicts()}
    assert shares["robust", 0]["centre_share"] == pytest.approx(3 / 3.04)
    assert shares["robust", 1]["centre_share"] == shares["robust", 1]["rank1_share"] == pytest.approx(1)
    assert shares["normal", 0]["centre_share"] == pytest.approx(1 / 9)
    assert "0.0 % of normal banks and 100.0 % of robust banks on cifar10" in part.caption


@pytest.mark.parametrize("definition", list(Definition))
def test_figure_7_draws_the_boxes_of_its_query(zoo_db, definition):
    study = Study(zoo_db, Choice(definition=definition))
    frame = ask(zoo_db, "fig7_quality", definition=definition.value).filter(dataset="cifar10", kind="normal")
    boxes = quality.boxes(frame)["variance_entropy"]["normal"]
    deepest = frame.filter(depth_decile=10)
    repeated = np.repeat(deepest["variance_entropy"].to_numpy(), deepest["times"].to_numpy())
    assert sorted(boxes[10]) == sorted(repeated)
    part = quality.part(study)
    axes = part.figures["fig7-cifar10"].axes[1]
    assert axes.get_ylabel() == "variance entropy"
    heights = [bar.get_height() for bar in axes.containers[0]]
    quartiles = [np.percentile(of_decile, [25, 75]) for _, of_decile in sorted(boxes.items())]
    np.testing.assert_allclose(heights, [upper - lower for lower, upper in quartiles], atol=1e-12)
    assert definition.value in part.figures["fig7-cifar10"].texts[-1].get_text()
    scaled = "the paper's variance entropies are those of scaled filters"
    assert any(note.startswith(scaled) for note in part.notes) == (definition is Definition.PAPER)


def test_figure_7_tells_kinds_by_colour_where_boxes_are_flat_and_marks_the_papers_means_of_kinds_it_shows(tmp_path):
    networks = [random_network("x@random", dataset="cifar10", robust=None), *twins(1, dataset="cifar100")]
    with filterdb.open(make_lake(tmp_path / "a.lake", networks)) as db:
        figures = quality.part(Study(db, Choice())).figures
    signs = {name: [text.get_text() for text in figure.legends[0].get_texts()] for name, figure in figures.items()}
    assert signs == {"fig7-cifar10": ["untrained"], "fig7-cifar100": ["normal", "robust", "paper's mean"]}
    medians = [lines.get_color() for lines in figures["fig7-cifar100"].axes[0].collections[1::2]]
    assert all(map(same_color, medians, (style.COLOURS["normal"], style.COLOURS["robust"])))


def test_differences_of_samples_of_layers_are_said_to_be_such(reference_lake):
    with filterdb.open(reference_lake) as db:
        study = Study(db, Choice())
        parts = [quality.part(study), report.PARTS["claims"](study)]
    assert parts[0].caption.startswith("Variance entropy is that of the filters as they are.")
    for part in parts:
        assert any(note.startswith("cifar10: its layers are perhaps not whole") for note in part.notes)


@pytest.mark.parametrize("name", ["short", "of_a_network_that_has_a_very_long_name_indeed" * 2])
def test_nothing_in_a_figure_is_cut_off_or_too_small_to_read(tmp_path, name):
    networks = [made_up(f"{kind}-{name}", seed, n_layers=4) for seed, kind in enumerate(("robust", "plain"))]
    with filterdb.open(make_lake(tmp_path / "a.lake", networks)) as db:
        study = Study(db, Choice())
        figures = [figure for make in report.PARTS.values() for figure in make(study).figures.values()]
    for figure in figures:
        figure.draw_without_rendering()
        (width, height), drawn = figure.get_size_inches(), figure.get_tightbbox()
        assert min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1) > -0.02
        assert min(text.get_fontsize() for text in figure.findobj(Text)) >= 6
        stamp = figure.texts[-1].get_window_extent()
        assert not any(stamp.overlaps(axes.get_tightbbox()) for axes in figure.axes)


def test_every_figure_says_how_it_was_counted(zoo_db):
    study = Study(zoo_db, Choice(pairs=False, definition=Definition.PUBLISHED))
    for name in ("fig1", "fig2", "fig3", "fig6", "fig7"):
        for figure in report.PARTS[name](study).figures.values():
            line = figure.texts[-1].get_text()
            assert line == f"definition published · every network once · raw weights · lake version {zoo_db.version}"


def test_only_chosen_data_sets_are_shown(zoo_db):
    study = Study(zoo_db, Choice(datasets=("imagenet",)))
    assert set(table1.part(study).numbers["table1"]["dataset"]) == {"imagenet"}
    everything = Study(zoo_db, Choice())
    rows = divergence.part(study).numbers["fig1"]
    assert rows.equals(divergence.part(everything).numbers["fig1"].filter(dataset="imagenet"))  # the basis stays
    with pytest.raises(UsageError, match="of data set 'mnist'; the lake has cifar10, cifar100, imagenet"):
        Study(zoo_db, Choice(datasets=("mnist",)))


def test_table_1_has_the_papers_row_beside_ours(study):
    (table,) = table1.part(study).tables
    rows = dict(zip(table.kinds, table.rows, strict=True))
    assert rows["paper"] == ("paper", "5 pairs", "2,004,582", "78.5 ± 4.9", "60.7 ± 6.3", "30.8 ± 5.6")
    assert table.rows[0][0] == "cifar10"
    assert table.rows[0][1] == "4 pairs: 3 normal, 4 robust, 1 untrained"


class FakeResponses:
    """One image of 4×4 pixels and eight maps, of which number 5 changes most."""

    def __init__(self, channels):
        self.images = np.full((2, channels, 4, 4), 0.5)
        self.attacked_images = self.images + 0.03
        self.maps = np.ones((2, 8, 4, 4))
        self.attacked_maps = self.maps + 0.1 * np.eye(8)[5][:, None, None] + 0.01
        self.relative_change = np.array([0.01] * 5 + [0.11] + [0.01] * 2)
        self.classes, self.attacked_classes = np.array([1, 2]), np.array([1, 3])


@pytest.mark.parametrize("channels", [1, 3])
def test_activations_show_the_maps_that_change_most(channels):
    figure = activations.draw({"a network": FakeResponses(channels)})
    titles = [axes.get_title() for axes in figure.axes]
    assert [title for title in titles if title][:2] == ["image", "map 5"]
    pictures = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(pictures) == 3 * 7
    np.testing.assert_allclose(pictures[15], 0.11)  # difference, first map
    np.testing.assert_allclose(pictures[14], 1)  # difference of the image, relative to its largest around grey
    assert not figure.axes[1].patch.get_visible()  # which would cover a long name
    assert activations.numbers({"a": FakeResponses(1)})["relative_change"].to_list()[5] == 0.11
    said = activations.sentence({"a": FakeResponses(1)})
    assert "no pixel by more than 0.03" in said
    assert "of 2 answers, 1 (a) turn" in said


def twins(count, **facts):
    made = [(f"{kind}{i}", 3 * i + len(kind)) for i in range(count) for kind in ("robust", "plain")]
    return [made_up(name, seed, **facts) for name, seed in made]


def one_layer(name, filters):
    """A network of a single layer with two output and three input channels."""
    return Network(random_network(name).facts, (layer_of(filters.astype(np.float32), 2, 3),))


THIN = {
    "empty": ([], []),
    "one class": ([made_up(f"robust{i}", i) for i in range(3)], []),
    "untrained alone": ([random_network("x@random", robust=None)], []),
    "no first layer": ([without_first_layer(n) for n in twins(3, dataset="imagenet", n_layers=12)], []),
    "empty deciles": (twins(3, n_layers=2), []),
    "a single pair": (twins(1, n_layers=12), [("robust0", "plain0")]),
    "no data set": (twins(3, dataset=None), []),
    "no variance": ([one_layer("robust", np.ones((6, 9)))], []),
}
SAID = {
    "empty": ["Nothing to compare", "There is nothing to tabulate", "Too few filters", "No network of this lake"],
    "one class": ["cifar10: 3 networks trained to be robust and no networks trained normally, so nothing to compare"],
    "untrained alone": ["no normal and no robust networks", "No network of this lake has a first layer to show"],
    "no first layer": ["imagenet: no first layer that is 3×3 on both sides", "imagenet: no network begins with a 3×3"],
    "empty deciles": ["cifar10: decile 1, 2, 3, 4, 5, 6, 7, 8 and 9 without filters on one side or both"],
    "a single pair": ["cifar10: 1 independent pair, 3 are needed for an interval"],
    "no data set": ["on unknown data set in"],
    "no variance": ["no common basis: fewer than two filters that differ"],
}


@pytest.mark.parametrize("name", THIN)
def test_a_thin_lake_says_what_it_lacks(name, tmp_path):
    networks, pairs = THIN[name]
    with filterdb.open(make_lake(tmp_path / "thin.lake", networks, pairs)) as db:
        study = Study(db, Choice())
        parts = [make(study) for make in report.PARTS.values()]
    said = " ".join(text for part in parts for text in (part.caption, *part.notes))
    for expected in SAID[name]:
        assert expected in said
    for part in parts:
        assert len(re.findall(r"\.(?= [A-Z]|$)", part.caption)) == 2, part.caption


def test_what_is_drawn_is_saved_in_three_formats_with_numbers_in_two(zoo_db, tmp_path):
    index = report.write(zoo_db, tmp_path / "out", only=["fig1", "table1"])
    assert index == tmp_path / "out" / "index.html"
    files = {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.*")}
    assert files == {
        "index.html",
        *(f"figures/fig1.{suffix}" for suffix in style.FORMATS),
        *(f"numbers/{name}.{suffix}" for name in ("fig1", "table1") for suffix in ("parquet", "csv")),
    }
    with pytest.raises(UsageError, match="no part 'fig9' in the report; it has table1, fig1"):
        report.write(zoo_db, tmp_path, only=["fig9"])


def test_every_query_of_the_paper_is_shown_somewhere():
    used = {"table1", "fig1", "fig2", "fig3", "fig4", "fig5", "fig6", "fig7", "claims"}
    assert {name.removeprefix("paper/").split("_")[0] for name in catalogue.names() if "/" in name} == used
    assert set(report.PARTS) == used

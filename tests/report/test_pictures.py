"""Figures show the numbers they are given, mark what is missing, and are saved whole and reproducibly."""

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

from filterdb.errors import UsageError
from filterdb.report import pictures, style

GENERATOR = np.random.default_rng(0)
RATIOS = np.array([0.4, 0.2, 0.1, 0.1, 0.06, 0.05, 0.04, 0.03, 0.02])
SIGNATURES = {"pdf": b"%PDF-", "svg": b"<?xml", "png": b"\x89PNG"}


def filters(out_channels=16, in_channels=1):
    return GENERATOR.normal(size=(out_channels, in_channels, 3, 3))


def divergence_rows(datasets=("cifar10", "cifar100")):
    return [
        {"dataset": dataset, "depth_decile": decile, "kl": 0.1 * decile + index}
        for index, dataset in enumerate(datasets)
        for decile in range(11)
    ]


def metric_rows(networks=3):
    return [
        {
            "label": label,
            "depth_decile": decile,
            "sparsity": 0.01 * decile * network,
            "variance_entropy": 0.9,
            "orthogonality": None if decile == 3 else 0.5,
        }
        for label in ("normal", "robust")
        for network in range(networks)
        for decile in range(11)
    ]


def bars(axes):
    return [[bar.get_height() for bar in group] for group in axes.containers]


def crosses(axes):
    return [line for line in axes.lines if line.get_marker() == "x"]


FIGURES = {
    "mosaic": lambda: pictures.filter_mosaic({"normal": filters(), "robust": filters(64)}),
    "mosaic_rgb": lambda: pictures.filter_mosaic({"normal": filters(in_channels=3)}),
    "mosaic_mixed": lambda: pictures.filter_mosaic({"grey": filters(), "colour": filters(in_channels=3)}),
    "mosaic_zero": lambda: pictures.filter_mosaic({"normal": np.zeros((1, 1, 3, 3))}),
    "spectra": lambda: pictures.spectra({"normal": RATIOS, "robust": np.full(9, 1 / 9), "untrained": RATIOS}),
    "basis": lambda: pictures.basis({"all": (np.eye(9), RATIOS)}),
    "bases": lambda: pictures.basis({label: (-np.eye(9), RATIOS) for label in ("all", "normal", "robust")}),
    "divergence": lambda: pictures.divergence_by_depth(divergence_rows()),
    "metrics": lambda: pictures.metric_by_depth(metric_rows()),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_fits_a_column_and_is_neither_empty_nor_full(tmp_path, name):
    figure = FIGURES[name]()
    svg, png = style.save(figure, tmp_path / name, ("svg", "png"))
    assert svg.stat().st_size > 5000
    picture = imread(png)[..., :3]
    assert picture.shape[1] == pytest.approx(300 * figure.get_figwidth(), abs=1)
    assert figure.get_figwidth() <= style.COLUMN
    assert 0.02 < (picture.min(axis=2) < 0.9).mean() < 0.9


def test_every_format_is_itself_and_the_same_bytes_each_time(tmp_path):
    once, again = (style.save(FIGURES["divergence"](), tmp_path / folder / "figure") for folder in "ab")
    assert [file.name for file in once] == ["figure.pdf", "figure.svg", "figure.png"]
    for file, twin in zip(once, again, strict=True):
        assert file.read_bytes().startswith(SIGNATURES[file.suffix[1:]])
        assert file.read_bytes() == twin.read_bytes()


def test_text_stays_text_in_pdf(tmp_path):
    (file,) = style.save(FIGURES["spectra"](), tmp_path / "figure", ("pdf",))
    assert b"/Type3" not in file.read_bytes()


def test_unknown_formats_are_refused(tmp_path):
    with pytest.raises(UsageError, match="figures are saved as pdf, svg, png; got gif"):
        style.save(FIGURES["spectra"](), tmp_path / "figure", ("png", "gif"))


def test_drawing_leaves_the_settings_of_matplotlib_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    style.save(FIGURES["metrics"](), tmp_path / "figure", ("svg",))
    assert dict(matplotlib.rcParams) == before


def test_known_groups_keep_their_colours_and_others_differ():
    labels = ["robust", "cifar10", "normal", "cifar100"]
    colours = [style.colour(label, labels) for label in labels]
    assert colours[0] == style.COLOURS["robust"] != colours[2] == style.COLOURS["normal"]
    assert len(set(colours)) == 4


def test_a_mosaic_shows_the_first_filters_against_the_largest_weight():
    weights = filters(5, 20)
    axes = pictures.filter_mosaic({"normal": weights}, limit=10).axes[0]
    assert axes.get_title() == "normal (first 10 of 100)"
    assert len(axes.collections) == 10
    relative = weights / np.abs(weights).max()
    for index, mesh in enumerate(axes.collections):
        assert np.array_equal(mesh.get_array(), relative[0, index])
        assert mesh.get_clim() == (-1, 1)


def test_an_rgb_mosaic_shows_one_picture_for_each_output():
    weights = filters(4, 3)
    figure = pictures.filter_mosaic({"normal": weights})
    assert len(figure.axes) == 1
    picture = figure.axes[0].collections[2].get_array()
    expected = weights[2].transpose(1, 2, 0) / np.abs(weights).max() / 2 + 0.5
    assert np.allclose(picture, expected)


@pytest.mark.parametrize("shape", [(4, 3, 3), (4, 1, 5, 5), (0, 1, 3, 3)])
def test_filters_of_another_shape_are_refused(shape):
    with pytest.raises(UsageError, match="filters of normal must be"):
        pictures.filter_mosaic({"normal": np.zeros(shape)})


def test_spectra_are_percentages_and_name_groups_without_filters():
    axes = pictures.spectra({"normal": RATIOS, "robust": np.full(9, np.nan)}).axes[0]
    assert np.allclose(bars(axes)[0], 100 * RATIOS)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["normal (first: 40.0 %)", "robust (too few filters)"]


def test_flat_spectra_leave_room_for_the_legend():
    figure = pictures.spectra({label: np.full(9, 1 / 9) for label in ("normal", "robust", "untrained")})
    figure.draw_without_rendering()
    (axes,) = figure.axes
    highest = max(bar.get_window_extent().y1 for group in axes.containers for bar in group)
    assert axes.get_legend().get_window_extent().y0 > highest


def test_a_basis_shows_each_component_with_its_share():
    components = GENERATOR.normal(size=(9, 9))
    axes = pictures.basis({"all": (components, RATIOS)}).axes[0]
    for component, mesh in zip(components, axes.collections, strict=True):
        assert np.array_equal(mesh.get_array().ravel(), component / np.abs(component).max())
    texts = [text.get_text() for text in axes.texts]
    assert texts[:9] == [f"{100 * ratio:.1f} %" for ratio in RATIOS]


def test_divergence_shows_one_bar_for_each_dataset_and_decile():
    axes = pictures.divergence_by_depth(divergence_rows()).axes[0]
    assert np.allclose(bars(axes), [np.arange(11) / 10, np.arange(11) / 10 + 1])
    assert not crosses(axes)


def test_divergence_marks_what_cannot_be_compared():
    rows = [row for row in divergence_rows(["imagenet"]) if row["depth_decile"] != 0]
    rows[4]["kl"], rows[6]["kl"] = None, float("nan")
    axes = pictures.divergence_by_depth(rows).axes[0]
    assert [line.get_xdata()[0] for line in crosses(axes)] == pytest.approx(
        [pictures.POSITIONS[decile] for decile in (0, 5, 7)]
    )


def test_divergence_without_datasets_needs_no_legend():
    rows = [{"depth_decile": decile, "kl": 1.0} for decile in range(11)]
    assert pictures.divergence_by_depth(rows).legends == []


def test_metrics_show_means_and_leave_gaps_where_nothing_was_measured():
    figure = pictures.metric_by_depth(metric_rows())
    sparsity, _, orthogonality = figure.axes
    means = next(line for line in sparsity.lines if line.get_label() == "normal")
    assert np.allclose(means.get_ydata(), 0.01 * np.arange(1, 11))
    line = next(line for line in orthogonality.lines if line.get_label() == "robust")
    assert len(line.get_xdata()) == 9
    assert [axes.get_ylabel() for axes in figure.axes] == list(pictures.METRICS.values())


@pytest.mark.parametrize(
    ("draw", "nothing"),
    [
        (pictures.filter_mosaic, {}),
        (pictures.spectra, {}),
        (pictures.basis, {}),
        (pictures.divergence_by_depth, []),
        (pictures.metric_by_depth, []),
    ],
)
def test_nothing_to_draw_is_said(draw, nothing):
    with pytest.raises(UsageError, match=f"{draw.__name__} has nothing to draw"):
        draw(nothing)

"""How figures look and how they are saved: column width, colours that everyone can tell apart, vectors.

Everything works on `matplotlib.figure.Figure` itself; pyplot, its global state and its display are never
touched. Saving the same figure twice gives the same bytes.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from filterdb.errors import UsageError

COLUMN = 3.35
"""Width in inches of one column of a two-column page."""
PAGE = 6.9
"""Width in inches of both columns."""

COLOURS = {"normal": "#0072B2", "robust": "#D55E00", "untrained": "#767676", "all": "#222222"}
"""Blue, vermilion, grey and black after Okabe and Ito; also told apart in grey print."""
OTHER_COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5B4A9E", "#8C6D31")
MARKERS = {"normal": "o", "robust": "s", "untrained": "^"}
DIVERGING = "RdBu_r"

FORMATS = {
    "pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
    "svg": {"metadata": {"Date": None, "Creator": None}},
    "png": {"metadata": {"Software": None}, "dpi": 300},
}

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,  # TrueType: text in the PDF stays text
    "svg.fonttype": "path",  # shapes: looks alike where the font is missing
    "svg.hashsalt": "filterdb",
    "image.interpolation": "none",
}

Arguments = ParamSpec("Arguments")


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Let a drawing function work under `STYLE` and leave matplotlib's settings as they were."""

    @wraps(draw)
    def drawing(*arguments: Arguments.args, **named: Arguments.kwargs) -> Figure:
        with rc_context(STYLE):
            return draw(*arguments, **named)

    return drawing


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches that arranges its parts itself."""
    return Figure(figsize=(width, height), layout="constrained")


def colour(label: str, labels: list[str]) -> str:
    """The colour of `label` among all `labels` of a figure: fixed for the known ones, by position else."""
    unknown = [name for name in labels if name not in COLOURS]
    return COLOURS.get(label) or OTHER_COLOURS[unknown.index(label) % len(OTHER_COLOURS)]


def plain(text: str) -> str:
    """Somebody's text, which is no formula whatever dollar signs are in it."""
    return text.replace("$", r"\$")


def marker(label: str) -> str:
    """The marker of a line: a second sign beside its colour."""
    return MARKERS.get(label, "D")


def hide_axes(axes: Axes) -> None:
    """Leave only what is drawn inside, the title and the labels."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def save(figure: Figure, path: Path, formats: tuple[str, ...] = tuple(FORMATS)) -> list[Path]:
    """Write `figure` as `path` with each format's suffix; the files carry no date and are reproducible."""
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise UsageError(f"figures are saved as {', '.join(FORMATS)}; got {', '.join(unknown)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_name(f"{path.name}.{suffix}") for suffix in formats]
    with rc_context(STYLE):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # arranged once, not again for each format
        for file in written:
            figure.savefig(file, **FORMATS[file.suffix[1:]])
    return written

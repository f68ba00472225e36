"""What several figures share: the line that says how was counted, the axis of depth, the paper's mark."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from filterdb.report.pictures import POSITIONS
from filterdb.report.style import colour

PAPER = {"marker": "D", "markersize": 3.0, "markerfacecolor": "none", "markeredgecolor": "#009E73", "linestyle": "none"}
"""How the paper's own values are marked."""
FAINT = "#8A8A8A"
FOOT = 0.13
"""Height in inches of the line below a figure."""


def stamped(figure: Figure, text: str) -> Figure:
    """`figure`, with a line below it."""
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + FOOT)
    share = FOOT / (height + FOOT)
    figure.get_layout_engine().set(rect=(0, share, 1, 1 - share))
    figure.text(0.995, 0.15 * share, text, ha="right", va="bottom", fontsize=5, color="#666666")
    return figure


def depth_axis(axes: Axes) -> None:
    """The first layer apart from the ten deciles."""
    axes.set_xticks(POSITIONS, ["first", *map(str, range(1, 11))])
    axes.set_xlim(POSITIONS[0] - 0.6, POSITIONS[-1] + 0.6)
    axes.set_xlabel("first layer, then deciles of depth")
    axes.tick_params(axis="x", length=0)


def say(axes: Axes, text: str) -> None:
    """Words in the middle of a panel that has nothing to show."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="#666666")


def kind_handles(kinds: Iterable[str], *, paper: bool = False) -> list[Line2D]:
    """Signs of a legend for kinds of networks, and for the paper's values."""
    kinds = list(kinds)
    handles = [Line2D([], [], color=colour(kind, kinds), linewidth=3.5, label=kind) for kind in kinds]
    return handles + ([Line2D([], [], **PAPER | {"markeredgecolor": "#222222"}, label="paper's mean")] if paper else [])

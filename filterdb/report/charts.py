"""What several figures share: the line that says how was counted, the axis of depth, the paper's mark."""

from collections.abc import Iterable
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath

from filterdb.report.pictures import POSITIONS
from filterdb.report.style import STYLE, colour, plain

PAPER = {"marker": "D", "markersize": 3.0, "markerfacecolor": "none", "markeredgecolor": "#009E73", "linestyle": "none"}
"""How the paper's own values are marked."""
FAINT = "#8A8A8A"
SMALL = 6
"""The smallest size of text in points."""
LINE = 0.11
"""Height in inches of a line of small text."""
NO_BREAK = "\u00a0"


def stamped(figure: Figure, text: str) -> Figure:
    """`figure`, with `text` below it in as many lines as it takes."""
    width, height = figure.get_size_inches()
    stamp = _in_lines(plain(text), width)
    foot = LINE * (stamp.count("\n") + 1.3)
    figure.set_size_inches(width, height + foot)
    share = foot / (height + foot)
    figure.get_layout_engine().set(rect=(0, share, 1, 1 - share))
    figure.text(0.995, 0.15 * LINE / (height + foot), stamp, ha="right", va="bottom", fontsize=SMALL, color="#666666")
    return figure


def _in_lines(text: str, width: float) -> str:
    """Small text broken into lines of at most `width` inches, after a dot where it can be."""
    needed = TextPath((0, 0), text, SMALL, prop=FontProperties(STYLE["font.family"])).get_extents().width / 72
    characters = int(0.95 * len(text) * width / needed)
    return "\n".join(wrap(text.replace(" ·", f"{NO_BREAK}·"), characters)).replace(NO_BREAK, " ")


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

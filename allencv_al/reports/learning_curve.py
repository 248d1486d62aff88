"""`learning_curve.png`: accuracy over labels, a line per strategy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from allencv_al.common.figures import write_figure
from allencv_al.reports.chart_layout import (
    BASELINE_COLOR,
    SERIES_COLORS,
    LineLook,
    line_looks,
    spread,
    value_range,
)
from allencv_al.reports.curve_lines import CurveLine
from allencv_al.reports.html import readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILE_NAME = "learning_curve.png"

_MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "diamond": "D",
    "wedge": "v",
    "plus": "P",
    "cross": "X",
}
_INK, _FAINT = "#1d2129", "#d9dce2"
_LONGEST_NAME, _LONGEST_TITLE = 28, 64
_NAME_HEIGHT = 0.062
_MOST_MARKED = 45


def write_learning_curve(
    path: Path, lines: Sequence[CurveLine], title: str = "", y_label: str = "accuracy"
) -> None:
    """Draw accuracy over labels, with the band of each line that has one.

    Args:
        path: The PNG file to write.
        lines: From `run_lines(records)` or `comparison_lines(summary)`; none give an empty frame
            that says so.
        title: What stands above it.
        y_label: What was measured.
    """

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _prepare(axes, title, y_label)
        if lines:
            _draw(axes, lines)
        else:
            axes.set(xticks=(), yticks=())
            axes.text(0.5, 0.5, "nothing was measured yet", ha="center", transform=axes.transAxes)

    write_figure(path, draw, width=8.0, height=4.6, dpi=130)


def _prepare(axes: Axes, title: str, y_label: str) -> None:
    # A "$" in a name is a dollar, not the start of a formula
    axes.set_title(
        _shown(title, _LONGEST_TITLE),
        loc="left",
        color=_INK,
        fontsize=12,
        fontweight="bold",
        parse_math=False,
    )
    axes.set_xlabel("labels", color=_INK)
    axes.set_ylabel(y_label, color=_INK, parse_math=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_INK)
    axes.tick_params(colors=_INK, left=False)
    axes.grid(axis="y", color=_FAINT, linewidth=0.8)
    axes.set_axisbelow(True)


def _draw(axes: Axes, lines: Sequence[CurveLine]) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    looks = line_looks(lines)
    for line, look in zip(lines, looks, strict=True):
        color = _color(look)
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=color, alpha=0.16, linewidth=0)
        axes.plot(
            line.x,
            line.y,
            color=color,
            linewidth=1.8,
            linestyle=_line_style(look),
            marker=_MARKERS[look.marker] if len(line.x) <= _MOST_MARKED else None,
            markersize=4.5,
            markeredgewidth=0,
        )
    low, high = value_range(lines)
    axes.set_ylim(low, high)
    axes.margins(x=0.02)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _name_lines(axes, lines, looks)


def _name_lines(axes: Axes, lines: Sequence[CurveLine], looks: Sequence[LineLook]) -> None:
    """Write the names at the ends of the lines, or in a legend where they would not fit."""
    if len(lines) * _NAME_HEIGHT > 1.0:
        _write_legend(axes, lines, looks)
        return
    low, high = axes.get_ylim()
    ends = [(float(line.y[-1]) - low) / (high - low) for line in lines]
    for line, look, end, place in zip(
        lines, looks, ends, spread(ends, _NAME_HEIGHT, 0.0, 1.0), strict=True
    ):
        axes.annotate(
            _shown(line.name),
            xy=(1.0, end),
            xytext=(1.04, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=_INK,
            va="center",
            parse_math=False,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": _color(look),
                "linewidth": 1.2,
                "relpos": (0.0, 0.5),
                "shrinkA": 2,
                "shrinkB": 0,
            },
        )


def _write_legend(axes: Axes, lines: Sequence[CurveLine], looks: Sequence[LineLook]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], color=_color(look), marker=_MARKERS[look.marker], linestyle=_line_style(look)
        )
        for look in looks
    ]
    names = [_shown(line.name) for line in lines]
    found = axes.legend(
        handles, names, loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8, frameon=False
    )
    for text in found.get_texts():
        text.set_parse_math(False)


def _shown(name: str, longest: int = _LONGEST_NAME) -> str:
    line = readable(" ".join(name.split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _color(look: LineLook) -> str:
    return BASELINE_COLOR if look.color is None else SERIES_COLORS[look.color]


def _line_style(look: LineLook) -> Literal["solid"] | tuple[float, tuple[float, ...]]:
    if not look.dash:
        return "solid"
    # Matplotlib counts in line widths
    return (0, tuple(float(part) / 1.8 for part in look.dash.split()))

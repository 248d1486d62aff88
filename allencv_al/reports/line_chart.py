"""Line charts: one drawing for PNG files and for SVG within a page, where it follows its colors."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from allencv_al.common.figures import svg_bytes, write_figure
from allencv_al.reports.page import STYLE, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

_LIGHT = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", STYLE.partition("@media")[0]))
# Each of the colors has a contrast of 3 or more to the page, and any two (and the gray) differ by a
# Delta E of 20 or more, also as the color-blind see them (Machado et al. 2009, severity 1)
SERIES = tuple(name for name in _LIGHT if name.startswith("series-"))
_VARIABLES = {_LIGHT[name]: f"var(--{name})" for name in ("ink", "line", "baseline", *SERIES)}
# The shape at the points, as matplotlib draws it and as a letter
_MARKERS = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("P", "✚"), ("X", "✖"))
_DASHES = ((), (3.3, 1.7), (1.1, 1.7), (4.4, 1.7, 1.1, 1.7))  # in widths of the line
_BASELINE_DASH = (2.8, 2.2)

# Points; a drawing for wide windows and one for telephones, where a shrunken one is unreadable
_WIDE, _NARROW = (920, 420), (358, 300)
_LEGEND_LINE = 19  # the font asks for 18, and fonts that stand in for it for more
_PNG_SIZE, _PNG_DPI, _PNG_LEGEND_LINE = (8.0, 4.6), 130, 0.21  # inches
_LONGEST_NAME, _LONGEST_TITLE = 28, 64
_MOST_MARKED = 45  # with more points the shapes would hide the line


@dataclass(frozen=True, eq=False)
class CurveLine:
    """One line of a chart, with a band around it where it is a mean.

    Args:
        name: The name in the legend.
        x: Increasing positions, such as label counts, `[R]`.
        y: Values there, fractions, `[R]`.
        low: Lower end of the band, `[R]`; None for no band.
        high: Upper end of the band.
        baseline: Whether the others are compared with it; it is drawn gray and dashed.
    """

    name: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64] | None = None
    high: npt.NDArray[np.float64] | None = None
    baseline: bool = False


@dataclass(frozen=True)
class LineLook:
    """Color, marker and dash of a line.

    Args:
        color: A variable of `report.css`: `baseline` or one of `SERIES`.
        marker: The shape at its points, as matplotlib names it.
        letter: The same shape as a letter.
        dash: Lengths of strokes and gaps; empty for a solid line.
    """

    color: str
    marker: str
    letter: str
    dash: tuple[float, ...]


@dataclass(frozen=True)
class ChartText:
    """Texts and number formats of a chart.

    Args:
        x: Name of the horizontal axis.
        y: Name of the vertical axis.
        title: Heading within the picture; empty for none.
        whole: Whether the horizontal axis shows whole numbers only.
        marked: Whether points are marked and show their numbers when pointed at.
    """

    x: str = "labels"
    y: str = "accuracy"
    title: str = ""
    whole: bool = True
    marked: bool = True


@dataclass(frozen=True)
class PageChart:
    """A chart for the macro `chart` of the templates.

    Args:
        wide: The drawing for wide windows; empty where drawing failed.
        narrow: The drawing for narrow windows, which has no names.
        looks: The look of each line by its name.
    """

    wide: Markup
    narrow: Markup
    looks: dict[str, LineLook]


def line_looks(lines: Sequence[CurveLine]) -> list[LineLook]:
    """Return a look for each line; no two are equal in color, marker and dash."""
    looks, place = [], 0
    for line in lines:
        if line.baseline:
            looks.append(LineLook("baseline", *_MARKERS[0], _BASELINE_DASH))
            continue
        turn, color = divmod(place, len(SERIES))
        # The marker moves on with each turn, so that lines of one color differ in it too
        marker = _MARKERS[(color + turn) % len(_MARKERS)]
        looks.append(LineLook(SERIES[color], *marker, _DASHES[turn % len(_DASHES)]))
        place += 1
    return looks


def value_range(lines: Sequence[CurveLine]) -> tuple[float, float]:
    """Return the range of the vertical axis: all values and a margin, between 0 and 1."""
    parts = [part for line in lines for part in (line.y, line.low, line.high) if part is not None]
    values = np.concatenate(parts) if parts else np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    margin = max(0.06 * (high - low), 0.01)
    return max(low - margin, 0.0), min(high + margin, 1.0)


def write_line_chart(path: Path, lines: Sequence[CurveLine], text: ChartText) -> None:
    """Draw lines into a PNG, SVG or PDF file; without lines, an empty frame that says so."""
    width, height = _PNG_SIZE
    write_figure(
        path,
        lambda figure: _draw(figure, lines, text, named=True),
        width=width,
        height=max(height, _PNG_LEGEND_LINE * len(lines) + 1),
        dpi=_PNG_DPI,
    )


def page_chart(lines: Sequence[CurveLine], text: ChartText, summary: str) -> PageChart:
    """Return the drawings of some lines for a page.

    Args:
        lines: The lines; at least one.
        text: The texts.
        summary: The content in a sentence, for screen readers; tables have the numbers.
    """
    wide, narrow = (
        _page_drawing(lines, text, readable(summary), size, class_)
        for size, class_ in ((_WIDE, "wide"), (_NARROW, "narrow"))
    )
    names = (line.name for line in lines)
    return PageChart(wide, narrow, dict(zip(names, line_looks(lines), strict=True)))


def _draw(figure: Figure, lines: Sequence[CurveLine], text: ChartText, named: bool) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    ink = _LIGHT["ink"]
    axes = figure.add_subplot()
    # A "$" in a name is a dollar, not the start of a formula
    title = _shown(text.title, _LONGEST_TITLE)
    axes.set_title(title, loc="left", color=ink, parse_math=False)
    axes.set_xlabel(text.x, color=ink, parse_math=False)
    axes.set_ylabel(_shown(text.y), color=ink, parse_math=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(ink)
    axes.tick_params(colors=ink, left=False)
    if not lines:
        axes.set(xticks=(), yticks=())
        axes.text(0.5, 0.5, "nothing was measured yet", ha="center", transform=axes.transAxes)
        return
    axes.grid(axis="y", color=_LIGHT["line"], linewidth=0.8)
    axes.set_axisbelow(True)
    handles = {}
    for place, (line, look) in enumerate(zip(lines, line_looks(lines), strict=True)):
        color = _LIGHT[look.color]
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=color, alpha=0.16, linewidth=0)
        is_marked = text.marked and len(line.x) <= _MOST_MARKED
        (handles[place],) = axes.plot(
            line.x,
            line.y,
            color=color,
            linewidth=1.8,
            linestyle=(0, look.dash) if look.dash else "solid",
            marker=look.marker if is_marked else None,
            markersize=5,
            markeredgewidth=0,
            clip_on=False,  # points at 0 and 1 lie on the frame
            gid=f"line-{place}" if text.marked else None,
        )
    axes.set_ylim(*value_range(lines))
    axes.margins(x=0.02)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.6g}%")
    axes.xaxis.set_major_locator(MaxNLocator(integer=text.whole))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}" if text.whole else "{x:.4g}"))
    if named:
        # In the order of the right ends of the lines
        order = sorted(handles, key=lambda place: -lines[place].y[-1])
        legend = axes.legend(
            [handles[place] for place in order],
            ["name"] * len(order),
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            frameon=False,
            labelcolor=ink,
        )
        # Set afterwards: a name given to `legend` is hidden if it begins with "_"
        for entry, place in zip(legend.get_texts(), order, strict=True):
            entry.set_parse_math(False)
            entry.set_text(_shown(lines[place].name))


def _page_drawing(
    lines: Sequence[CurveLine], text: ChartText, summary: str, size: tuple[int, int], class_: str
) -> Markup:
    width, height = size
    is_wide = class_ == "wide"
    if is_wide:
        height = max(height, _LEGEND_LINE * len(lines) + 40)
    try:
        drawn = svg_bytes(
            lambda figure: _draw(figure, lines, text, named=is_wide),
            *(width, height, f"{class_} {summary}"),
        )
    except Exception as error:  # the report has the numbers in tables, too
        logger.warning("chart of the report: not drawn: %s: %s", type(error).__name__, error)
        return Markup("")
    root = ElementTree.fromstring(drawn)  # noqa: S314  drawn above
    _adapt(root)
    if text.marked:
        _add_hints(root, lines, text)
    root.attrib = {
        "viewBox": f"0 0 {width} {height}",
        "role": "img",
        "aria-label": summary,
        "class": class_,
    }
    # Every text and attribute was escaped by ElementTree
    return Markup(ElementTree.tostring(root, "unicode", short_empty_elements=False))  # noqa: S704


def _adapt(root: ElementTree.Element) -> None:
    """Make a drawing part of a page: its colors and fonts, and no ids or styles of its own."""
    for parent in [*root.iter()]:
        for child in [*parent]:
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {
            name.rpartition("}")[2]: _adapted_style(value) if name == "style" else value
            for name, value in element.attrib.items()
        }
    used = set(re.findall(r'(?:href="|url\()#([\w-]+)', ElementTree.tostring(root, "unicode")))
    for element in root.iter():
        if element.get("id") not in used and not element.get("id", "").startswith("line-"):
            element.attrib.pop("id", None)


def _adapted_style(style: str) -> str:
    colored = re.sub(r"#[0-9a-f]{6}", lambda match: _VARIABLES.get(match[0], "currentColor"), style)
    # Sizes stay, families are those of the page; matplotlib before 3.11 writes both as `font`
    sized = re.sub(r"font: [^;]*?([\d.]+px)[^;]*", r"font-size: \1", colored)
    return re.sub(r"font-family: [^;]*; ?", "", sized)


def _add_hints(root: ElementTree.Element, lines: Sequence[CurveLine], text: ChartText) -> None:
    """Show the numbers of a marked point on hover."""
    x_format = "{:,.0f}" if text.whole else "{:.4g}"
    for place, line in enumerate(lines):
        group = next(part for part in root.iter() if part.get("id") == f"line-{place}")
        del group.attrib["id"]
        for point, x, y in zip(group.iter("use"), line.x, line.y, strict=False):
            hint = ElementTree.SubElement(point, "title")
            hint.text = readable(f"{line.name}: {text.y} {y:.1%} at {x_format.format(x)} {text.x}")


def _shown(name: str, longest: int = _LONGEST_NAME) -> str:
    line = readable(" ".join(name.split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"

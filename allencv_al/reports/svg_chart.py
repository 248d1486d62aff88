"""Line charts as SVG within a page: they follow its colors, light or dark, and stay sharp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from allencv_al.reports.chart_layout import (
    LineLook,
    line_looks,
    spread,
    ticks,
    value_range,
)
from allencv_al.reports.curve_lines import CurveLine
from allencv_al.reports.html import Markup, Node, readable, tag

# One drawing for wide windows and one for telephones, where a shrunken one could not be read
_WIDE = (920, 420)
_NARROW = (358, 300)
_LETTER = 7.2
_LINE_HEIGHT = 18
_LONGEST_NAME = 22
_MOST_MARKED = 45
_MARKER_PATHS = {
    "circle": "M-3.5,0a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0 -7,0z",
    "square": "M-3.2,-3.2h6.4v6.4h-6.4z",
    "triangle": "M0,-4.2L4.2,3.2H-4.2z",
    "diamond": "M0,-4.6L4.2,0L0,4.6L-4.2,0z",
    "wedge": "M0,4.2L4.2,-3.2H-4.2z",
    "plus": "M-1.4,-4.2h2.8v2.8h2.8v2.8h-2.8v2.8h-2.8v-2.8h-2.8v-2.8h2.8z",
    "cross": "M-3.9,-1.9L-1.9,-3.9L0,-2L1.9,-3.9L3.9,-1.9L2,0L3.9,1.9L1.9,3.9L0,2L-1.9,3.9"
    "L-3.9,1.9L-2,0z",
}


@dataclass(frozen=True)
class ChartText:
    """What stands on a chart.

    Args:
        summary: What it shows, for those who hear it; the tables have the numbers.
        x: The name of the horizontal axis.
        y: The name of the vertical axis.
        x_tick: How a number on the horizontal axis is written.
        y_tick: How one on the vertical axis is written.
        marked: Whether points are marked and can be pointed at.
    """

    summary: str
    x: str = "labels"
    y: str = "accuracy"
    x_tick: Callable[[float], str] = "{:,.0f}".format
    y_tick: Callable[[float], str] = "{:.0%}".format
    marked: bool = True


@dataclass(frozen=True)
class _Frame:
    """The rectangle of the lines, and how numbers become places in it."""

    left: float
    right: float
    top: float
    bottom: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + (value - low) / (high - low or 1) * (self.right - self.left)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.bottom - (value - low) / (high - low or 1) * (self.bottom - self.top)


def line_chart(lines: Sequence[CurveLine], text: ChartText) -> Markup:
    """Return a chart for wide windows and one for narrow ones, of which a page shows one."""
    looks = line_looks(lines)
    return tag(
        "div",
        _drawing(lines, looks, text, _WIDE, named=True),
        _drawing(lines, looks, text, _NARROW, named=False),
        legend(lines, looks) if len(lines) > 1 else None,
        class_="chart",
    )


def legend(lines: Sequence[CurveLine], looks: Sequence[LineLook]) -> Markup:
    """Return the names of the lines, each with a piece of it."""
    entries = [
        tag("li", swatch(look), tag("bdi", line.name))
        for line, look in zip(lines, looks, strict=True)
    ]
    return tag("ul", *entries, class_="legend")


def swatch(look: LineLook) -> Markup:
    """Return a piece of a line, to stand beside its name."""
    return tag(
        "svg",
        tag("path", d="M1,6H29", stroke_dasharray=look.dash or None, class_="line"),
        tag("path", d=_MARKER_PATHS[look.marker], transform="translate(15,6)", class_="mark"),
        viewBox="0 0 30 12",
        width=30,
        height=12,
        aria_hidden="true",
        class_=f"swatch {_color_class(look)}",
    )


def _drawing(
    lines: Sequence[CurveLine],
    looks: Sequence[LineLook],
    text: ChartText,
    size: tuple[int, int],
    named: bool,
) -> Markup:
    width, height = size
    frame = _frame(lines, size, named and len(lines) > 1)
    named = named and len(lines) > 1
    parts: list[Node] = [_axes(frame, text, size)]
    parts += [_band(line, look, frame) for line, look in zip(lines, looks, strict=True)]
    parts += [_line(line, look, frame, text) for line, look in zip(lines, looks, strict=True)]
    if named:
        parts.append(_names(lines, looks, frame))
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=text.summary,
        class_="wide" if size is _WIDE else "narrow",
    )


def _frame(lines: Sequence[CurveLine], size: tuple[int, int], named: bool) -> _Frame:
    width, height = size
    longest = max((min(len(line.name), _LONGEST_NAME) for line in lines), default=0)
    xs = np.concatenate([line.x for line in lines]) if lines else np.array([0.0, 1.0])
    return _Frame(
        left=56,
        right=width - (34 + _LETTER * longest if named else 16),
        top=14,
        bottom=height - 46,
        x_range=(float(xs.min()), float(xs.max())),
        y_range=value_range(lines),
    )


def _axes(frame: _Frame, text: ChartText, size: tuple[int, int]) -> Markup:
    middle = (frame.top + frame.bottom) / 2
    parts: list[Node] = []
    for value in ticks(*frame.y_range):
        y = _short(frame.y(value))
        parts.append(
            tag("path", d=f"M{_short(frame.left)},{y}H{_short(frame.right)}", class_="grid")
        )
        parts.append(_text(text.y_tick(value), frame.left - 8, frame.y(value) + 4, "end"))
    for value in ticks(*frame.x_range, most=max(2, size[0] // 80)):
        x = frame.x(value)
        parts.append(tag("path", d=f"M{_short(x)},{_short(frame.bottom)}v5", class_="axis"))
        parts.append(_text(text.x_tick(value), x, frame.bottom + 19, "middle"))
    parts.append(
        tag(
            "path",
            d=f"M{_short(frame.left)},{_short(frame.bottom)}H{_short(frame.right)}",
            class_="axis",
        )
    )
    parts.append(
        _text(text.x, (frame.left + frame.right) / 2, frame.bottom + 40, "middle", "axis-name")
    )
    turn = f"rotate(-90 13 {_short(middle)})"
    parts.append(_text(text.y, 13, middle, "middle", "axis-name", turn))
    return tag("g", *parts, aria_hidden="true")


def _band(line: CurveLine, look: LineLook, frame: _Frame) -> Markup | None:
    if line.low is None or line.high is None:
        return None
    there = _points(line.x, line.high, frame)
    back = _points(line.x[::-1], line.low[::-1], frame)
    return tag("path", d=f"M{'L'.join(there + back)}z", class_=f"band {_color_class(look)}")


def _line(line: CurveLine, look: LineLook, frame: _Frame, text: ChartText) -> Markup:
    points = _points(line.x, line.y, frame)
    parts: list[Node] = [
        tag("path", d=f"M{'L'.join(points)}", stroke_dasharray=look.dash or None, class_="line")
    ]
    if text.marked and len(points) <= _MOST_MARKED:
        for point, x, y in zip(points, line.x, line.y, strict=True):
            hint = f"{readable(line.name)}: {text.y} {y:.1%} at {text.x_tick(x)} {text.x}"
            parts.append(
                tag(
                    "path",
                    tag("title", hint),
                    d=_MARKER_PATHS[look.marker],
                    transform=f"translate({point})",
                    class_="mark",
                )
            )
    return tag("g", *parts, class_=_color_class(look))


def _names(lines: Sequence[CurveLine], looks: Sequence[LineLook], frame: _Frame) -> Markup:
    wanted = [frame.y(float(line.y[-1])) for line in lines]
    places = spread(wanted, _LINE_HEIGHT, frame.top + 4, frame.bottom - 4)
    parts: list[Node] = []
    for line, look, start, place in zip(lines, looks, wanted, places, strict=True):
        x = frame.x(float(line.x[-1]))
        name = readable(line.name)
        shown = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        leader = f"M{_short(x + 6)},{_short(start)}L{_short(x + 22)},{_short(place)}"
        parts.append(tag("path", d=leader, class_=f"leader {_color_class(look)}"))
        parts.append(_text(shown, x + 27, place + 4, "start", "line-name"))
    return tag("g", *parts, aria_hidden="true")


def _text(
    content: str, x: float, y: float, anchor: str, kind: str = "tick", transform: str | None = None
) -> Markup:
    return tag(
        "text", content, x=_short(x), y=_short(y), text_anchor=anchor, transform=transform,
        class_=kind,
    )  # fmt: skip


def _points(x: np.ndarray, y: np.ndarray, frame: _Frame) -> list[str]:
    return [
        f"{_short(frame.x(float(one)))},{_short(frame.y(float(other)))}"
        for one, other in zip(x, y, strict=True)
    ]


def _color_class(look: LineLook) -> str:
    return "baseline" if look.color is None else f"series-{look.color}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

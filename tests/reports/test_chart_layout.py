"""Ticks, the places of labels, and looks of lines."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.reports import chart_layout
from allencv_al.reports.chart_layout import (
    BASELINE_COLOR,
    SERIES_COLORS,
    line_looks,
    spread,
    ticks,
    value_range,
)
from allencv_al.reports.curve_lines import CurveLine

STYLE = Path(chart_layout.__file__).with_name("report.css").read_text(encoding="utf-8")


def line(name: str, *values: float, baseline: bool = False) -> CurveLine:
    return CurveLine(name, np.arange(1.0, len(values) + 1), np.array(values), baseline=baseline)


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0.42, 0.97, 6, [0.5, 0.6, 0.7, 0.8, 0.9]),
        (10, 200, 6, [50, 100, 150, 200]),
        (10, 200, 11, [20, 40, 60, 80, 100, 120, 140, 160, 180, 200]),
        (0.0, 1.0, 6, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (5.0, 5.0, 6, [5.0]),
    ],
)
def test_ticks_are_round_and_within(low: float, high: float, most: int, expected: list) -> None:
    assert ticks(low, high, most) == pytest.approx(expected)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 12))
def test_there_are_never_too_many_ticks_and_some(low: float, width: float, most: int) -> None:
    found = ticks(low, low + width, most)
    assert 1 <= len(found) <= most
    assert low - 1e-6 * width <= found[0] <= found[-1] <= low + width + 1e-6 * width
    steps = np.diff(found)
    assert not len(steps) or np.ptp(steps) <= 1e-6 * width


@given(st.lists(st.floats(0, 100), max_size=12), st.floats(0.1, 20))
def test_labels_keep_their_distance_their_order_and_the_frame(
    wanted: list[float], gap: float
) -> None:
    places = spread(wanted, gap, 0.0, 100.0)
    assert len(places) == len(wanted)
    assert all(-1e-9 <= place <= 100 + 1e-9 for place in places)
    for (a, left), (b, right) in itertools.combinations(zip(wanted, places, strict=True), 2):
        if a < b and gap * (len(wanted) - 1) < 100:
            assert left <= right
    if gap * (len(wanted) - 1) < 100:
        assert all(step >= gap - 1e-9 for step in np.diff(sorted(places)))


def test_labels_that_are_apart_stay_where_they_are() -> None:
    assert spread([50.0, 10.0, 90.0], 5, 0, 100) == [50.0, 10.0, 90.0]
    assert spread([50.0, 51.0], 5, 0, 100) == [48.0, 53.0]
    assert spread([99.0], 5, 0, 98) == [98.0]


def test_labels_move_as_little_as_possible() -> None:
    # The squared moves are the least there are, by a fine search
    wanted, gap = [10.0, 11.0, 30.0], 6.0
    grid = np.arange(0, 40.01, 0.5)
    best = min(
        (p for p in itertools.product(grid, repeat=3) if p[1] - p[0] >= gap and p[2] - p[1] >= gap),
        key=lambda p: sum((a - b) ** 2 for a, b in zip(p, wanted, strict=True)),
    )
    assert spread(wanted, gap, 0, 40) == pytest.approx(best)


def test_lines_look_different_from_each_other() -> None:
    lines = [line(str(number), 0.5) for number in range(28)]
    looks = line_looks([line("random", 0.5, baseline=True), *lines])
    assert looks[0].color is None
    assert looks[0].dash
    assert len(set(looks)) == len(looks)
    # The color of a strategy does not depend on where the baseline stands
    assert line_looks([*lines[:3], line("random", 0.5, baseline=True)])[:3] == looks[1:4]


def test_a_chart_shows_all_of_its_lines_and_no_impossible_number() -> None:
    band = CurveLine("a", np.ones(1), np.array([0.5]), np.array([0.2]), np.array([0.999]))
    low, high = value_range([band, line("b", 0.4, 0.6)])
    assert 0 <= low < 0.2
    assert high == 1.0
    low, high = value_range([line("flat", 0.7)])
    assert low < 0.7 < high
    assert value_range([]) == (0.0, 1.0)


def _luminance(color: str) -> float:
    parts = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _variables(part: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part))


def test_colors_can_be_told_from_the_page_light_and_dark() -> None:
    light, _, rest = STYLE.partition("@media (prefers-color-scheme: dark)")
    dark = rest.partition("* { box-sizing")[0]
    for part in (light, dark):
        colors = _variables(part)
        # WCAG 2.2: graphics need a contrast of 3, text of 4.5
        for name in ("baseline", *(f"series-{place}" for place in range(len(SERIES_COLORS)))):
            assert _contrast(colors[name], colors["card"]) >= 3, name
        for ink in ("ink", "soft", "link", "wrong-ink"):
            assert _contrast(colors[ink], colors["card"]) >= 4.5, ink
            assert _contrast(colors[ink], colors["page"]) >= 4.5, ink
        for ground in ("right", "wrong", "note"):
            assert _contrast(colors["ink"], colors[ground]) >= 4.5, ground


def test_the_picture_and_the_page_have_the_same_colors() -> None:
    colors = _variables(STYLE.partition("@media")[0])
    assert [colors[f"series-{place}"] for place in range(len(SERIES_COLORS))] == [*SERIES_COLORS]
    assert colors["baseline"] == BASELINE_COLOR

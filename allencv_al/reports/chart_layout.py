"""What charts of any kind share: ticks, the places of labels, and one look per line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allencv_al.reports.curve_lines import CurveLine

SERIES_COLORS = ("#14407f", "#d8661a", "#129a63", "#d13bbd", "#6b4503", "#6d0a30", "#7440e0")
"""On white each has a contrast of 3.5 or more, and any two (and the gray) differ by a Delta E of
20 or more, also as the color-blind see them (Machado et al. 2009, severity 1). `report.css` has
these, and as many for a dark page."""

BASELINE_COLOR = "#5f6570"
MARKERS = ("circle", "square", "triangle", "diamond", "wedge", "plus", "cross")
_DASHES = ("", "6 3", "2 3", "8 3 2 3")
_BASELINE_DASH = "5 4"


@dataclass(frozen=True)
class LineLook:
    """How a line is told from the others, by more than its color.

    Args:
        color: Its place in the colors; None for the baseline's gray.
        marker: The shape at its points.
        dash: Lengths of strokes and gaps; empty for a solid line.
    """

    color: int | None
    marker: str
    dash: str


def line_looks(lines: Sequence[CurveLine]) -> list[LineLook]:
    """Return a look for each line: no two are alike in color, marker and dash."""
    looks, place = [], 0
    for line in lines:
        if line.baseline:
            looks.append(LineLook(None, "circle", _BASELINE_DASH))
            continue
        turn, color = divmod(place, len(SERIES_COLORS))
        marker = MARKERS[(color + turn) % len(MARKERS)]
        looks.append(LineLook(color, marker, _DASHES[turn % len(_DASHES)]))
        place += 1
    return looks


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return up to `most` round numbers from `low` to `high`, at equal steps of 1, 2 or 5."""
    if high <= low:
        return [low]
    raw = (high - low) / most
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(
        scale * factor
        for factor in (1, 2, 5, 10, 20)
        if math.floor(high / (scale * factor) + 1e-9) - math.ceil(low / (scale * factor) - 1e-9)
        < most
    )
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(step * index, 10) for index in range(first, last + 1)]


def value_range(lines: Sequence[CurveLine]) -> tuple[float, float]:
    """Return the fractions that a chart of these lines shows: all of them and a little air."""
    parts = [part for line in lines for part in (line.y, line.low, line.high) if part is not None]
    finite = np.concatenate(parts) if parts else np.array([0.0, 1.0])
    low, high = float(finite.min()), float(finite.max())
    air = max(0.06 * (high - low), 0.01)
    return max(low - air, 0.0), min(high + air, 1.0)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return places near the wanted ones, at least `gap` apart and between `low` and `high`.

    Where they cannot all fit, they lie at equal distances from `low` to `high`.
    """
    count = len(wanted)
    if count < 2 or gap * (count - 1) >= high - low:
        return (
            [float(place) for place in np.linspace(low, high, count)]
            if count > 1
            else [min(max(place, low), high) for place in wanted]
        )
    order = sorted(range(count), key=lambda index: wanted[index])
    # Without their gaps the places need only be in order, and the nearest such are means of runs
    shifted = [wanted[index] - gap * rank for rank, index in enumerate(order)]
    places = [0.0] * count
    for rank, level in enumerate(_in_order(shifted)):
        room = high - gap * (count - 1)
        places[order[rank]] = min(max(level, low), room) + gap * rank
    return places


def _in_order(values: Sequence[float]) -> list[float]:
    """Return the non-decreasing numbers nearest to `values` (pool adjacent violators)."""
    runs: list[tuple[float, int]] = []
    for value in values:
        runs.append((value, 1))
        while len(runs) > 1 and runs[-2][0] > runs[-1][0]:
            (right, n), (left, m) = runs.pop(), runs.pop()
            runs.append(((left * m + right * n) / (m + n), m + n))
    return [mean for mean, size in runs for _ in range(size)]

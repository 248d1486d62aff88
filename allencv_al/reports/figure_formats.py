"""Formats of numbers in reports, equal in HTML, Markdown and pictures."""

from __future__ import annotations

from allencv_al.common.progress import time_text

NONE = "–"
"""Text in place of a missing number."""


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction as `91.3%`."""
    return NONE if value is None else f"{100 * value:.{digits}f}%"


def points(value: float | None, digits: int = 2) -> str:
    """Return a difference of fractions in percentage points, with its sign: `+3.77`."""
    if value is None:
        return NONE
    text = f"{100 * value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else f"{0:.{digits}f}"


def mean_sd(mean: float, sd: float | None, digits: int = 2) -> str:
    """Return two fractions as `89.00 ± 0.81`, in percent without the sign."""
    spread = "" if sd is None else f" ± {100 * sd:.{digits}f}"
    return f"{100 * mean:.{digits}f}{spread}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` decimals."""
    return NONE if value is None else f"{value:.{digits}f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """Return a p value with two digits: `0.031`, `1.9e-06`; smaller ones are `<1e-16`."""
    if value is None:
        return NONE
    if value < 1e-16:
        return "<1e-16"
    return f"{value:.2g}" if value < 0.095 else f"{value:.2f}"


def duration(seconds: float | None) -> str:
    """Return a time with about three digits: `0.42 s`, `12.3 s`, `4 min 10 s`, `2 h 05 min`."""
    if seconds is None:
        return NONE
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    return time_text(seconds)


def count(value: int | float | None, noun: str = "") -> str:
    """Return a count with its noun, `1 label`, `1,200 labels`; fractions are rounded."""
    if value is None:
        return NONE
    whole = f"{round(value):,}"
    return whole if not noun else f"{whole} {noun}" + ("" if round(value) == 1 else "s")


def significant(value: float | None, digits: int = 3) -> str:
    """Return a number of any size with `digits` significant digits."""
    if value is None:
        return NONE
    sign = "−" if value < 0 else ""
    return f"{sign}{abs(value):.{digits}g}"

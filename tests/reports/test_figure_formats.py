"""How numbers are written."""

from __future__ import annotations

import pytest

from allencv_al.reports import figure_formats as formats


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (formats.percent(0.9134), "91.3%"),
        (formats.percent(1.0), "100.0%"),
        (formats.percent(None), "–"),
        (formats.points(0.0377), "+3.77"),
        (formats.points(-0.0055), "−0.55"),
        (formats.points(-0.00001), "0.00"),
        (formats.points(0.0), "0.00"),
        (formats.points(None), "–"),
        (formats.mean_sd(0.89, 0.0081), "89.00 ± 0.81"),
        (formats.mean_sd(0.89, None), "89.00"),
        (formats.number(-1.23456), "−1.235"),
        (formats.number(None), "–"),
        (formats.p_value(0.03125), "0.031"),
        (formats.p_value(1.9073e-06), "1.9e-06"),
        (formats.p_value(0.0999), "0.10"),
        (formats.p_value(1.0), "1.00"),
        (formats.p_value(0.0), "<1e-16"),
        (formats.p_value(None), "–"),
        (formats.duration(0.123), "0.12 s"),
        (formats.duration(9.999), "10.00 s"),
        (formats.duration(59.94), "59.9 s"),
        (formats.duration(250), "4 min 10 s"),
        (formats.duration(3599.9), "1 h 00 min"),
        (formats.duration(7500), "2 h 05 min"),
        (formats.duration(None), "–"),
        (formats.count(1, "label"), "1 label"),
        (formats.count(1200, "label"), "1,200 labels"),
        (formats.count(71.6), "72"),
        (formats.count(None), "–"),
        (formats.significant(-0.00012345), "−0.000123"),
        (formats.significant(1e-7), "1e-07"),
        (formats.significant(None), "–"),
    ],
)
def test_numbers_are_written_as_people_read_them(made: str, expected: str) -> None:
    assert made == expected

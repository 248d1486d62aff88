"""The picture of the learning curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.active_learning.report.run_lines import run_lines
from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.comparison.report.comparison_lines import comparison_lines
from allencv_al.comparison.statistics import summarize
from allencv_al.reports.chart_layout import BASELINE_COLOR, SERIES_COLORS
from allencv_al.reports.curve_lines import CurveLine
from allencv_al.reports.learning_curve import write_learning_curve


def share_of(path: Path, color: str) -> float:
    """The share of the pixels that have exactly this color."""
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return float((pixels == wanted).all(axis=2).mean())


def test_a_run_gives_its_two_lines(tmp_path: Path) -> None:
    records = [RoundRecord(0, 0)] + [
        RoundRecord(n, 10 * n, {"accuracy": 0.5 + 0.05 * n, "pool_accuracy": 0.4 + 0.05 * n})
        for n in range(1, 6)
    ]
    lines = run_lines(records)
    assert [line.name for line in lines] == ["test set", "whole pool"]
    assert lines[0].x.tolist() == [10, 20, 30, 40, 50]
    assert lines[1].y == pytest.approx([0.45, 0.5, 0.55, 0.6, 0.65])
    write_learning_curve(tmp_path / "curve.png", lines, title="run")
    assert share_of(tmp_path / "curve.png", SERIES_COLORS[0]) > 0.001
    assert share_of(tmp_path / "curve.png", SERIES_COLORS[1]) > 0.001
    assert share_of(tmp_path / "curve.png", SERIES_COLORS[2]) == 0


def test_a_run_without_test_images_has_the_line_of_its_pool_alone() -> None:
    records = [RoundRecord(1, 10, {"accuracy": None, "pool_accuracy": 0.5})]
    assert [line.name for line in run_lines(records)] == ["whole pool"]
    assert run_lines([RoundRecord(0, 0)]) == []


def test_a_comparison_gives_a_line_with_a_band_for_each_strategy(
    tmp_path: Path, make_curves
) -> None:
    summary = summarize(make_curves(("random", "margin", "badge")))
    lines = comparison_lines(summary)
    assert [line.name for line in lines] == ["random", "margin", "badge"]
    assert [line.baseline for line in lines] == [True, False, False]
    for line, found in zip(lines, summary.strategies, strict=True):
        assert line.y.tolist() == found.mean_curve.tolist()
        assert line.low is not None
    write_learning_curve(tmp_path / "curve.png", lines)
    for color in (BASELINE_COLOR, *SERIES_COLORS[:2]):
        assert share_of(tmp_path / "curve.png", color) > 0.0005


@pytest.mark.parametrize("count", [0, 1, 30])
def test_any_number_of_lines_and_points_can_be_drawn(tmp_path: Path, count: int) -> None:
    lines = [CurveLine(f"_{n}", np.array([10.0]), np.array([0.5])) for n in range(count)]
    write_learning_curve(tmp_path / "curve.png", lines)
    with Image.open(tmp_path / "curve.png") as image:
        assert image.format == "PNG"
        assert image.width > 500


def test_names_from_strangers_are_drawn_as_they_are(tmp_path: Path, hostile_names) -> None:
    names = [*hostile_names, "$\\frac{", "$x$ costs $5", "_hidden", "x" * 500]
    lines = [CurveLine(name, np.arange(1.0, 4), np.array([0.1, 0.2, 0.3])) for name in names]
    write_learning_curve(tmp_path / "few.png", lines[:3], title=names[-4], y_label="$")
    write_learning_curve(tmp_path / "many.png", lines * 2, title=names[4])
    for name in ("few.png", "many.png"):
        assert (tmp_path / name).stat().st_size > 1000

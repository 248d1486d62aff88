"""The report of a comparison, in HTML and in Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fixtures.comparison_context import CONTEXT, STRATEGIES

from allencv_al.active_learning.rounds.curves import Curve
from allencv_al.comparison.report.comparison_report import (
    ComparisonContext,
    comparison_lines,
    write_comparison_report,
)
from allencv_al.comparison.report.result_tables import (
    write_results_markdown,
)
from allencv_al.comparison.statistics import summarize

pytestmark = pytest.mark.draws


def test_it_is_there_for_one_seed_and_one_strategy_and_says_what_is_missing(
    tmp_path: Path, read_page, make_curves
) -> None:
    for curves in (make_curves(STRATEGIES, 1), make_curves(("random",), 2), make_curves(("a",), 1)):
        summary = summarize(curves)
        write_comparison_report(tmp_path / "report.html", summary, curves, CONTEXT)
        write_results_markdown(tmp_path / "results.md", summary, CONTEXT)
        written = (tmp_path / "results.md").read_text(encoding="utf-8").replace("\\<", "<")
        page = read_page(tmp_path / "report.html")
        for note in summary.notes:
            assert note in page.text
            assert note in written
        assert "One cell ran on another machine." in page.text


def test_one_point_per_curve_can_be_reported(tmp_path: Path, read_page) -> None:
    curves = [Curve(name, 0, np.array([10]), np.array([0.5])) for name in STRATEGIES]
    write_comparison_report(tmp_path / "report.html", summarize(curves), curves, CONTEXT)
    assert read_page(tmp_path / "report.html").table("Area under")[1][2] == "50.00"


def test_names_from_strangers_stay_texts(
    tmp_path: Path, read_page, make_curves, hostile_names: Sequence[str]
) -> None:
    curves = make_curves(("random", *hostile_names, "a|b", "| --- |"), 2)
    summary = summarize(curves)
    context = ComparisonContext(
        hostile_names[1],
        hostile_names[0],
        metric=hostile_names[2],
        seconds=dict.fromkeys(hostile_names, 1.0),
        notes=hostile_names,
        config={name: name for name in hostile_names},
        environment={"platform": hostile_names[0], "versions": {hostile_names[1]: "<b>"}},
    )
    write_comparison_report(tmp_path / "report.html", summary, curves, context)
    page = read_page(tmp_path / "report.html")
    assert '<img src=x onerror="alert(1)">' in [row[0] for row in page.table("Area under")]
    write_results_markdown(tmp_path / "results.md", summary, context)
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert not re.search(r"(?<!\\)<", text)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    counts = {len(re.findall(r"(?<!\\)\|", line)) for line in tables if "a\\|b" in line}
    assert counts <= {len(re.findall(r"(?<!\\)\|", line)) for line in tables if "random" in line}


def test_no_outside_address_is_in_the_page(tmp_path: Path, make_curves) -> None:
    curves = make_curves(STRATEGIES)
    write_comparison_report(tmp_path / "report.html", summarize(curves), curves, CONTEXT)
    assert not re.search(r"https?:|//[a-z]", (tmp_path / "report.html").read_text("utf-8"))


def test_a_comparison_gives_a_line_with_a_band_for_each_strategy(make_curves) -> None:
    summary = summarize(make_curves(STRATEGIES))
    lines = comparison_lines(summary)
    assert [line.name for line in lines] == [*STRATEGIES]
    assert [line.baseline for line in lines] == [True, False, False]
    for line, found in zip(lines, summary.strategies, strict=True):
        assert line.y.tolist() == found.mean_curve.tolist()
        assert line.low is not None

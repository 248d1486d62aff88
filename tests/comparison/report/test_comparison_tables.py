"""The tables of a comparison have the numbers of its summary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures.comparison_context import CONTEXT, STRATEGIES, by_name

from allencv_al.active_learning.rounds.curves import Curve
from allencv_al.comparison.report.comparison_report import (
    write_comparison_report,
)
from allencv_al.comparison.report.comparison_tables import verdict
from allencv_al.comparison.statistics import summarize


def test_the_areas_and_tests_are_those_of_the_summary(
    tmp_path: Path, read_page, make_curves
) -> None:
    curves = make_curves(STRATEGIES, 8)
    summary = summarize(curves)
    write_comparison_report(tmp_path / "report.html", summary, curves, CONTEXT)
    heads, *rows = read_page(tmp_path / "report.html").table("Area under")
    assert heads[:6] == ["Strategy", "Seeds", "AUBC %", "AUBC % (log)", "Final %", "Δ random"]
    assert [row[0] for row in rows] == ["badge", "margin", "random"]  # the highest first
    for row in rows:
        found = by_name(summary)[row[0]]
        assert row[1] == "8"
        assert row[2] == f"{100 * found.aubc_mean:.2f} ± {100 * found.aubc_sd:.2f}"
        assert row[4] == f"{100 * found.final_mean:.2f} ± {100 * found.final_sd:.2f}"
        if row[0] != "random":
            aubc = found.comparison.aubc
            low, high = (f"{100 * end:+.2f}" for end in aubc.confidence)
            assert row[5] == f"{100 * aubc.mean_difference:+.2f}({low} to {high})"
            assert row[6] == "8 / 0 / 0"
            assert float(row[7]) == pytest.approx(aubc.t_p_value, rel=0.05)
            assert float(row[8]) == pytest.approx(found.comparison.t_p_holm, rel=0.05)
            assert float(row[9]) == pytest.approx(2 / 2**8, rel=0.05)
            assert float(row[10]) == pytest.approx(4 / 2**8, rel=0.05)
    assert rows[-1][5:] == ["–"] * 6


def test_the_other_tables_are_those_of_the_summary(tmp_path: Path, read_page, make_curves) -> None:
    curves = make_curves(STRATEGIES, 4)
    summary = summarize(curves)
    write_comparison_report(tmp_path / "report.html", summary, curves, CONTEXT)
    page = read_page(tmp_path / "report.html")
    heads, *rows = page.table("Pairwise penalty matrix")
    order = [summary.penalty.strategies.index(name) for name in heads[1:]]
    shown = np.array([[float(cell or 0) for cell in row[1:]] for row in rows])
    assert shown[:-1] == pytest.approx(summary.penalty.shares[np.ix_(order, order)], abs=0.005)
    assert shown[-1] == pytest.approx(summary.penalty.penalties[order], abs=0.005)
    heads, *rows = page.table("Labels needed")
    for row in rows[1:]:
        for head, cell in zip(heads[1:], row[1:], strict=True):
            saving = next(
                s for s in summary.savings if s.strategy == row[0] and f"{s.level:.1%}" == head
            )
            assert cell.startswith(f"{saving.strategy_labels:.0f}: {saving.ratio:.2f}×")
    assert page.table("Computing time")[1:] == [["random", "60.0 s"], ["margin", "61.0 s"]]
    assert len(page.table("Every run")) == 1 + len(curves)
    places = page.table("Mean accuracy")[0][1:]
    assert places[0] == "@10"
    assert places[-1] == "@100"


def _level(name: str, seed: int, height: float) -> Curve:
    return Curve(name, seed, np.array([10, 20]), np.array([height, height + 0.001 * seed]))


def test_the_verdict_says_what_was_found_and_no_more() -> None:
    better = [_level("random", s, 0.5) for s in range(5)]
    better += [_level("margin", s, 0.6 + 0.002 * (s % 2)) for s in range(5)]
    text = verdict(summarize(better))
    assert text.startswith(
        "margin has the highest mean area under the learning curve (AUBC): 60.18%, "
        "10.08 points above random over"
    )
    assert text.endswith("Significantly better than random: margin (corrected t test, p < 0.05).")
    luck = [_level("random", s, 0.5) for s in range(4)]
    luck += [_level("margin", s, 0.5 + 0.05 * (-1) ** s) for s in range(4)]
    assert "None differs significantly from random" in verdict(summarize(luck))
    worse = [_level("random", s, 0.7 + 0.002 * (s % 2)) for s in range(5)]
    worse += [_level("margin", s, 0.6) for s in range(5)]
    assert "Significantly worse than random: margin" in verdict(summarize(worse))
    assert verdict(summarize(worse)).startswith(
        "random has the highest mean area under the learning curve (AUBC): 70.18%. "
    )
    assert verdict(summarize([better[0], better[5]])).endswith("One seed allows no test.")
    assert (
        verdict(summarize(better[5:]))
        == "margin has the highest mean area under the learning curve (AUBC): 60.18%."
    )

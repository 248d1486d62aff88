"""The report of a comparison shows the numbers of its summary, in HTML, Markdown and CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from allencv_al.active_learning.rounds.curves import Curve
from allencv_al.comparison.report.comparison_report import (
    ComparisonContext,
    comparison_lines,
    write_comparison_report,
)
from allencv_al.comparison.report.comparison_tables import verdict
from allencv_al.comparison.report.result_tables import (
    write_results_csv,
    write_results_markdown,
)
from allencv_al.comparison.statistics import ComparisonSummary, summarize

CONTEXT = ComparisonContext(
    "digits",
    "Three strategies on digits.",
    seconds={"random": 60.0, "margin": 61.0},
    notes=("One cell ran on another machine.",),
    config={"budget": 100},
    environment={
        "started": "2026-01-02T03:04:05+00:00",
        "processors": 2,
        "versions": {"python": "3.11.7"},
    },
)
STRATEGIES = ("random", "margin", "badge")


def by_name(summary: ComparisonSummary) -> dict:
    return {found.strategy: found for found in summary.strategies}


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


def test_the_markdown_has_the_same_tables_the_date_and_the_versions(
    tmp_path: Path, make_curves
) -> None:
    summary = summarize(make_curves(STRATEGIES, 5))
    write_results_markdown(tmp_path / "results.md", summary, CONTEXT)
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert text.startswith("# digits\n\nThree strategies on digits.\n\n")
    found = by_name(summary)["badge"]
    assert f"| badge | 5 | {100 * found.aubc_mean:.2f} ± {100 * found.aubc_sd:.2f} |" in text
    assert "| date | 2026-01-02T03:04:05+00:00 |" in text
    assert "| seeds | 0, 1, 2, 3, 4 |" in text
    assert "| computing time | 2 min 01 s |" in text
    assert "| python version | 3.11.7 |" in text
    assert "it cannot reach 0.05 however clear the difference is" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_csv_rows_are_read_back_as_they_were(tmp_path: Path, make_curves, hostile_names) -> None:
    curves = make_curves(("random", *hostile_names[:3]), 2)
    rows: list[dict] = [
        {"strategy": c.strategy, "seed": c.seed, "labels": labels, "accuracy": value}
        for c in curves
        for labels, value in zip(c.labels.tolist(), c.values.tolist(), strict=True)
    ]
    rows.append({"strategy": "late", "extra": None, "note": 'a,b\n"c"'})
    write_results_csv(tmp_path / "results.csv", rows)
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == ["strategy", "seed", "labels", "accuracy", "extra", "note"]
    for row, curve_row in zip(read, rows[:-1], strict=False):
        assert row["strategy"] == curve_row["strategy"]
        assert float(row["accuracy"]) == curve_row["accuracy"]  # not one bit is lost
    assert read[-1]["extra"] == ""
    assert read[-1]["note"] == 'a,b\n"c"'
    write_results_csv(tmp_path / "empty.csv", [])
    assert (tmp_path / "empty.csv").read_text() == ""


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


def test_a_comparison_gives_a_line_with_a_band_for_each_strategy(make_curves) -> None:
    summary = summarize(make_curves(STRATEGIES))
    lines = comparison_lines(summary)
    assert [line.name for line in lines] == [*STRATEGIES]
    assert [line.baseline for line in lines] == [True, False, False]
    for line, found in zip(lines, summary.strategies, strict=True):
        assert line.y.tolist() == found.mean_curve.tolist()
        assert line.low is not None

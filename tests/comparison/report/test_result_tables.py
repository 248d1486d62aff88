"""`results.csv` and `results.md` have the numbers of the summary."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from fixtures.comparison_context import CONTEXT, STRATEGIES, by_name

from allencv_al.comparison.report.result_tables import (
    write_results_csv,
    write_results_markdown,
)
from allencv_al.comparison.statistics import summarize


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

"""Files for papers and programs: complete, and accepted by those who read them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from allencv_al.active_learning.rounds.curves import Curve
from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.common.errors import ConfigurationError
from allencv_al.comparison.finished_run import FinishedRun
from allencv_al.comparison.report.comparison_report import ComparisonContext
from allencv_al.comparison.report.exports import check_exports, latex_table, write_exports
from allencv_al.comparison.statistics import summarize
from allencv_al.reports.page import TextTable

pytestmark = pytest.mark.draws

LABELS = (10, 20, 30)
NAMES = ("random", "50 % & more_{x}")


def value(name: str, seed: int, place: int) -> float:
    return 0.5 + 0.1 * place + 0.01 * seed + 0.02 * (name != "random") * (1 + seed)


def export(folder: Path, *kinds: str) -> None:
    runs = [
        FinishedRun(
            name,
            seed,
            [
                RoundRecord(place + 1, count, {"accuracy": value(name, seed, place)})
                for place, count in enumerate(LABELS)
            ],
            {},
        )
        for name in NAMES
        for seed in range(3)
    ]
    curves = [
        Curve(name, seed, np.array(LABELS), np.array([value(name, seed, p) for p in range(3)]))
        for name in NAMES
        for seed in range(3)
    ]
    write_exports(folder, kinds, runs, summarize(curves), ComparisonContext("c"))


def test_latex_has_every_table_with_balanced_braces_and_no_bare_sign(tmp_path: Path) -> None:
    export(tmp_path, "latex")
    text = (tmp_path / "results.tex").read_text()
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 5
    for line in text.splitlines()[1:]:
        bare = re.sub(r"\\[{}%&$#_]", "", line)
        assert bare.count("{") == bare.count("}")
        assert "%" not in bare and bare.count("$") % 2 == 0
    assert text.isascii(), "fonts may lack the rest"
    rows = [line for line in text.splitlines() if line.startswith(r"    50 \% \& more\_\{x\} &")]
    assert len(rows) == 5
    assert all(row.endswith(r" \\") for row in rows)


def test_latex_has_the_upper_bound_apart(tmp_path: Path) -> None:
    runs = [
        Curve(name, seed, np.array([10, 20]), np.array([height, height]))
        for name, height in (("random", 0.5), ("margin", 0.6), ("oracle", 0.7))
        for seed in range(2)
    ]
    write_exports(
        tmp_path, ["latex"], [], summarize(runs, oracles=["oracle"]), ComparisonContext("c")
    )
    text = (tmp_path / "results.tex").read_text()
    assert r"Upper bound & Seeds & AUBC \% & Final \% & margin \\" in text
    assert [line for line in text.splitlines() if "oracle" in line] == [
        r"    oracle & 2 & 70.00 & 70.00 & 50.0\% \\"
    ]


def test_a_table_of_latex_is_that_of_booktabs() -> None:
    table = TextTable("A & B", ["x", "y %"], [["a\nb", "−1.0 ± 2 × 3"]])
    assert list(latex_table(table)) == [
        r"\begin{table}",
        r"  \centering",
        r"  \caption{A \& B}",
        r"  \begin{tabular}{lr}",
        r"    \toprule",
        r"    x & y \% \\",
        r"    \midrule",
        r"    a b & $-$1.0 $\pm$ 2 $\times$ 3 \\",
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]


def test_figures_are_pdf_and_svg_and_the_same_when_drawn_again(tmp_path: Path) -> None:
    export(tmp_path, "pdf", "svg")
    pdf, svg = (tmp_path / f"learning_curves.{kind}" for kind in ("pdf", "svg"))
    before = pdf.read_bytes(), svg.read_bytes()
    assert before[0].startswith(b"%PDF") and b"/Type3" not in before[0]
    assert b"<svg" in before[1] and b"random" in before[1], "its text is text"
    export(tmp_path, "pdf", "svg")
    assert (pdf.read_bytes(), svg.read_bytes()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [pdf.name, svg.name]


def test_parquet_has_the_rows_of_the_csv(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export(tmp_path, "parquet")
    rows = parquet.read_table(tmp_path / "results.parquet").to_pylist()
    assert len(rows) == 2 * 3 * 3
    assert rows[4] == {**rows[4], "strategy": "random", "seed": 1, "round": 2, "labels": 20}
    assert rows[4]["accuracy"] == pytest.approx(0.61)


def test_without_pyarrow_it_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    check_exports(["latex", "picks"])
    with pytest.raises(ConfigurationError, match=r"allencv-al\[parquet\]"):
        check_exports(["parquet"])


def test_runs_without_a_folder_have_no_picks(tmp_path: Path) -> None:
    export(tmp_path, "picks")
    assert (tmp_path / "picks.csv").read_text() == ""

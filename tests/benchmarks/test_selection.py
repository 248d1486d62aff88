"""The benchmark of query strategies runs, and its table holds together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "selection.py"


def test_the_table_has_a_row_for_each_strategy_and_size() -> None:
    options = ["--sizes", "300", "400", "--rounds", "1", "--only-ours", "--query", "10"]
    options += ["--dimensions", "32"]
    strategies = ["--strategies", "k_center", "badge"]
    command = [sys.executable, str(SCRIPT), *options, *strategies]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "D=32, C=10, query 10," in done.stdout
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if "allencv_al" in line]
    assert [(row[0].strip(), row[1].strip()) for row in rows] == [
        ("k_center", "300"),
        ("badge", "300"),
        ("k_center", "400"),
        ("badge", "400"),
    ]
    assert all(float(row[3]) > 0 and float(row[4]) > 0 and float(row[7]) > 0 for row in rows)
    assert [row[8].strip() for row in rows] == ["same", "", "same", ""]

"""The benchmark of last layers measures every head, and its rows can be shown again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "heads.py"


def run(*options: str | Path) -> str:
    command = [sys.executable, str(SCRIPT), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_rows_of_clouds_make_the_tables(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(240) % 3
    features = generator.normal(size=(3, 8))[labels] * 2 + generator.normal(size=(240, 8))
    split = np.where(np.arange(240) < 180, "train", "test")
    np.savez(tmp_path / "clouds.npz", X=features.astype(np.float32), y=labels, split=split)
    rows = tmp_path / "rows.jsonl"
    shown = run(tmp_path / "clouds.npz", "--seeds", "2", "--labels", "1", "5", "--rows", rows)
    assert run("--rows", rows) == shown
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    whole = {row["head"] for row in found if row["pool"] == "balanced"}
    assert {"center_l2, auto", "center_l2, label spreading", "standardize_l2, logistic"} <= whole
    of_auto = [row for row in found if row["head"] == "center_l2, auto" and row["labels"] == 5]
    assert len(of_auto) == 4  # two draws from each pool
    assert np.mean([row["accuracy"] for row in of_auto]) > 0.9

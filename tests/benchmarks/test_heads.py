"""The benchmark of last layers measures every head, and its rows can be shown again."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "heads.py"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs the script, in this process, and returns what it prints."""

    def run(*options: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, options)])
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_rows_of_clouds_make_the_tables(tmp_path: Path, run: Callable[..., str]) -> None:
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

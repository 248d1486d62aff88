"""The published comparison on digits comes out of `allencv-al compare`.

The figures are of an implementation that is not ours: scikit-learn's digits, halves of pool and
test by class for each of 20 seeds, 10 random digits at first and 10 per round up to 200,
`LogisticRegression(C=10)` on pixels / 16. Random draws differ, so the means are compared within a
point.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from allencv_al.data.sample_data.digits import write_digits

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "training_config" / "digits_active_learning.jsonnet"
SEEDS = 20
AUBC = {
    "typiclust": 89.55,
    "margin": 89.00,
    "badge": 88.13,
    "k_center": 87.91,
    "least_confidence": 86.88,
    "random": 85.22,
    "entropy": 84.67,
}


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("digits")
    data = write_digits(folder / "data", split=False) / "all"
    command = [
        *(sys.executable, "-m", "allencv_al", "compare", str(CONFIG)),
        *("--strategies", ",".join(AUBC), "--seeds", str(SEEDS)),
        *("-V", f"TRAIN_PATH={data}", "-s", str(folder / "comparison")),
    ]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads((folder / "comparison" / "summary.json").read_text())
    return found


pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def by_strategy(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {found["strategy"]: found for found in summary["strategies"]}


def test_the_area_under_each_curve_is_the_published_one(summary: dict[str, Any]) -> None:
    found = {name: 100 * one["aubc_mean"] for name, one in by_strategy(summary).items()}
    assert found == pytest.approx(AUBC, abs=1.0)


def test_the_difference_from_chance_is_the_published_one(summary: dict[str, Any]) -> None:
    strategies = by_strategy(summary)
    found = {
        name: 100 * strategies[name]["comparison"]["aubc"]["mean_difference"]
        for name in AUBC
        if name != "random"
    }
    expected = {name: value - AUBC["random"] for name, value in AUBC.items() if name != "random"}
    assert found == pytest.approx(expected, abs=0.8)


def test_margin_is_better_than_chance(summary: dict[str, Any]) -> None:
    comparison = by_strategy(summary)["margin"]["comparison"]
    assert comparison["aubc"]["seeds"] == SEEDS
    assert comparison["aubc"]["mean_difference"] > 0
    assert comparison["t_p_holm"] < 0.01
    assert comparison["wilcoxon_p_holm"] < 0.01

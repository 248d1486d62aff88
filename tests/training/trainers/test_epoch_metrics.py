"""The names of an epoch's metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path

from trainer_parts import Make


def test_metrics_have_the_names_of_allennlp(make_trainer: Make, tmp_path: Path) -> None:
    metrics = make_trainer(tmp_path, num_epochs=2).train()
    assert metrics["epoch"] == 1
    assert metrics["training_epochs"] == 2
    assert metrics["training_start_epoch"] == 0
    assert re.fullmatch(r"0:00:\d\d(\.\d+)?", metrics["training_duration"])
    assert metrics["peak_cpu_memory_MB"] > 10
    for prefix in ("training", "validation", "best_validation"):
        assert 0 <= metrics[f"{prefix}_accuracy"] <= 1
        assert metrics[f"{prefix}_loss"] > 0
    assert metrics["best_epoch"] in (0, 1)
    epoch = json.loads((tmp_path / f"metrics_epoch_{metrics['best_epoch']}.json").read_text())
    assert metrics["best_validation_loss"] == epoch["validation_loss"]
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics

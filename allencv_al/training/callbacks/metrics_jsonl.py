"""`metrics.jsonl`: the metrics of each epoch as one line of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overrides import overrides

from allencv_al.common.files.atomic_file import write_text
from allencv_al.training.callbacks.base import TrainerCallback
from allencv_al.training.trainers.epoch_metrics import scalars

if TYPE_CHECKING:
    from allencv_al.training.trainers.base import EpochTrainer

FILE_NAME = "metrics.jsonl"


@TrainerCallback.register("metrics_jsonl")
class MetricsJsonlCallback(TrainerCallback):
    """Write `metrics.jsonl`: one line for each epoch, with its metrics.

    `learning_rates` has the rate of each parameter group in the epoch's last step.

    A resumed run appends after the lines of its checkpoint, so no epoch occurs twice.

    Args:
        serialization_dir: Folder of the run; without one nothing is written.
    """

    def __init__(self, serialization_dir: str | Path | None = None) -> None:
        super().__init__(serialization_dir)
        self._lines: list[str] = []

    @overrides
    def on_epoch(
        self,
        trainer: EpochTrainer,
        metrics: dict[str, Any],
        epoch: int,
        is_primary: bool = True,
    ) -> None:
        line = {**scalars(metrics), "epoch": epoch, "learning_rates": trainer.learning_rates}
        self._lines.append(json.dumps(line, allow_nan=False))
        if self.serialization_dir is not None and is_primary:
            # Whole, not appended: a kill between two lines must not leave half of one
            write_text(self.serialization_dir / FILE_NAME, "\n".join(self._lines) + "\n")

    @overrides
    def state_dict(self) -> dict[str, Any]:
        return {"lines": list(self._lines)}

    @overrides
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._lines = list(state_dict["lines"])

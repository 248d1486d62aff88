"""One line in the log for each epoch."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overrides import overrides

from allencv_al.common.progress import time_text
from allencv_al.training.callbacks.base import TrainerCallback
from allencv_al.training.trainers.epoch_metrics import scalars

if TYPE_CHECKING:
    from allencv_al.training.trainers.base import EpochTrainer

logger = logging.getLogger(__name__)

_BOOKKEEPING = ("training_epochs", "training_start_epoch")


@TrainerCallback.register("console_logger")
class ConsoleLoggerCallback(TrainerCallback):
    """Log the metrics of each epoch in one line, with the time that the epochs left will take.

    Epochs are counted from 0, as in the files: the first of 20 is `epoch 0/19`.

    Args:
        serialization_dir: Folder of the run; not used.
    """

    def __init__(self, serialization_dir: str | Path | None = None) -> None:
        super().__init__(serialization_dir)
        self._started = 0.0
        self._first = 0

    @overrides
    def on_start(self, trainer: EpochTrainer, is_primary: bool = True) -> None:
        self._started, self._first = time.monotonic(), trainer.epochs_completed

    @overrides
    def on_epoch(
        self,
        trainer: EpochTrainer,
        metrics: dict[str, Any],
        epoch: int,
        is_primary: bool = True,
    ) -> None:
        if not is_primary:
            return
        spent, done = time.monotonic() - self._started, epoch + 1 - self._first
        seconds = (trainer.num_epochs - 1 - epoch) * spent / done
        left = f"; about {time_text(seconds)} left" if seconds >= 1 else ""
        best = " (best so far)" if metrics.get("best_epoch") == epoch else ""
        figures = "; ".join(_parts(scalars(metrics)))
        logger.info("epoch %s: %s%s%s", trainer.epoch_text(epoch), figures, best, left)


def _parts(metrics: dict[str, float]) -> Iterator[str]:
    """Yield the figures of training and of validation (`training loss 0.12 accuracy 0.97`)."""
    for part in ("training", "validation"):
        names = [n for n in metrics if n.startswith(f"{part}_") and n not in _BOOKKEEPING]
        names.sort(key=lambda name: not name.endswith("_loss"))  # the loss first
        if names:
            figures = [f"{name.removeprefix(part + '_')} {metrics[name]:.4f}" for name in names]
            yield f"{part} {' '.join(figures)}"

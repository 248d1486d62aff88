"""One line in the log for each epoch."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from overrides import overrides

from allencv_al.training.callbacks.base import TrainerCallback
from allencv_al.training.epoch_metrics import scalars

if TYPE_CHECKING:
    from allencv_al.training.training_loop import TrainingLoop

logger = logging.getLogger(__name__)

_SHOWN = ("training_", "validation_")
_BOOKKEEPING = ("training_epochs", "training_start_epoch")


@TrainerCallback.register("console_logger")
class ConsoleLoggerCallback(TrainerCallback):
    """Log the metrics of each epoch in one line.

    Args:
        serialization_dir: Folder of the run; not used.
    """

    @overrides
    def on_epoch(
        self,
        trainer: TrainingLoop,
        metrics: dict[str, Any],
        epoch: int,
        is_primary: bool = True,
    ) -> None:
        if not is_primary:
            return
        shown = {
            name: value
            for name, value in scalars(metrics).items()
            if name.startswith(_SHOWN) and name not in _BOOKKEEPING
        }
        text = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
        best = "  (best so far)" if metrics.get("best_epoch") == epoch else ""
        logger.info("epoch %d of %d: %s%s", epoch + 1, trainer.num_epochs, text, best)

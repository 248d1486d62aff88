"""One line in the log for each epoch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from overrides import overrides

from allencv_al.training.callbacks.base import TrainerCallback
from allencv_al.training.epoch_metrics import scalars

if TYPE_CHECKING:
    from allencv_al.training.training_loop import TrainingLoop

logger = logging.getLogger(__name__)

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
        best = " (best so far)" if metrics.get("best_epoch") == epoch else ""
        logger.info(
            "epoch %d of %d: %s%s",
            epoch + 1,
            trainer.num_epochs,
            "; ".join(_parts(scalars(metrics))),
            best,
        )


def _parts(metrics: dict[str, float]) -> Iterator[str]:
    """Yield the figures of training and of validation (`training loss 0.12 accuracy 0.97`)."""
    for part in ("training", "validation"):
        names = [n for n in metrics if n.startswith(f"{part}_") and n not in _BOOKKEEPING]
        names.sort(key=lambda name: not name.endswith("_loss"))  # the loss first
        if names:
            figures = [f"{name.removeprefix(part + '_')} {metrics[name]:.4f}" for name in names]
            yield f"{part} {' '.join(figures)}"

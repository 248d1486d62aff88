"""Warnings about trainings that run but cannot be meant so."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from overrides import overrides

from allencv_al.training.callbacks.base import TrainerCallback

if TYPE_CHECKING:
    from allencv_al.training.training_loop import TrainingLoop

logger = logging.getLogger(__name__)


@TrainerCallback.register("confidence_checks")
class ConfidenceChecksCallback(TrainerCallback):
    """Warn after the first epoch of trainable parameters that no gradient has reached.

    They are not connected to the loss: a part of the model is built and never used.

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
        if epoch > 0 or not is_primary:
            return
        unused = [
            name
            for name, parameter in trainer.model.named_parameters()
            if parameter.requires_grad and parameter.grad is None
        ]
        if unused:
            logger.warning(
                "no gradient has reached %d trainable parameters, so they do not learn: %s",
                len(unused),
                ", ".join(unused),
            )

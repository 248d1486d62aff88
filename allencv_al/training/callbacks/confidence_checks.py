"""Warnings about parameters that training cannot reach."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overrides import overrides

from allencv_al.training.callbacks.base import TrainerCallback

if TYPE_CHECKING:
    from allencv_al.training.trainers.base import EpochTrainer

logger = logging.getLogger(__name__)


@TrainerCallback.register("confidence_checks")
class ConfidenceChecksCallback(TrainerCallback):
    """Warn after the first epoch of trainable parameters that no gradient has reached.

    They are not connected to the loss: a part of the model is built and never used. A resumed run
    checks again after its first epoch with optimizer steps.

    Args:
        serialization_dir: Folder of the run; not used.
    """

    def __init__(self, serialization_dir: str | Path | None = None) -> None:
        super().__init__(serialization_dir)
        self._trained: set[str] = set()
        self._steps_before = 0
        self._is_done = False

    @overrides
    def on_start(self, trainer: EpochTrainer, is_primary: bool = True) -> None:
        # Recorded before the first epoch: a group that gradual unfreezing releases after it has
        # no gradients yet, and must not be reported
        named = trainer.model.named_parameters()
        self._trained = {name for name, parameter in named if parameter.requires_grad}
        self._steps_before = trainer.steps_completed

    @overrides
    def on_epoch(
        self,
        trainer: EpochTrainer,
        metrics: dict[str, Any],
        epoch: int,
        is_primary: bool = True,
    ) -> None:
        # Without a step there is no gradient: a run may resume at the last batch of its epoch
        if self._is_done or not is_primary or trainer.steps_completed == self._steps_before:
            return
        self._is_done = True
        unused = [
            name
            for name, parameter in trainer.model.named_parameters()
            if name in self._trained and parameter.grad is None
        ]
        if unused:
            logger.warning(
                "no gradient has reached %d trainable parameters, so they do not learn: %s",
                len(unused),
                ", ".join(unused),
            )

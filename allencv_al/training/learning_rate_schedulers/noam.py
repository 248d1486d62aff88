"""The schedule of the first transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt
from overrides import overrides

from allencv_al.training.learning_rate_schedulers.base import (
    LearningRateScheduler,
    StepwiseScheduler,
)

if TYPE_CHECKING:
    import torch


@LearningRateScheduler.register("noam")
class Noam(StepwiseScheduler):
    """Rises in a straight line, then falls with the root of the step (Vaswani et al. 2017, 5.3).

    The rate is `factor * model_size ** -0.5 * min(step ** -0.5, step * warmup_steps ** -1.5)` for
    every group; the optimizer's own rates play no part.

    Args:
        optimizer: The optimizer, given by the trainer.
        model_size: The width of the model's main representation.
        warmup_steps: The number of optimizer steps in which the rate rises.
        factor: The overall scale.
        num_steps_per_epoch: Optimizer steps per epoch; needed only with `last_epoch`, and given by
            the trainer.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        model_size: Annotated[int, Ge(1)],
        warmup_steps: Annotated[int, Ge(1)],
        factor: Annotated[float, Gt(0)] = 1.0,
        num_steps_per_epoch: int | None = None,
        last_epoch: int = -1,
    ) -> None:
        super().__init__(optimizer, num_steps_per_epoch, last_epoch)
        self.model_size = model_size
        self.warmup_steps = warmup_steps
        self.factor = factor
        self._write_values()

    @overrides
    def get_values(self) -> list[float]:
        step = max(1, self.last_batch_num_total)  # before the first step: 0 ** -0.5 is no number
        slope = min(step**-0.5, step * self.warmup_steps**-1.5)
        # One rate for all groups: the formula has none of theirs in it
        return [self.factor * self.model_size**-0.5 * slope] * len(self.base_values)

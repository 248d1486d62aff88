"""Warm-up by optimizer step, then a constant or a cosine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge
from overrides import overrides

from allencv_al.training.learning_rate_schedulers.base import (
    LearningRateScheduler,
    StepwiseScheduler,
    training_steps,
)

if TYPE_CHECKING:
    import torch


@LearningRateScheduler.register("constant_with_warmup")
class ConstantWithWarmup(StepwiseScheduler):
    """Rises from 0 in a straight line over the warm-up and stays there.

    Args:
        optimizer: The optimizer, given by the trainer.
        num_warmup_steps: The number of optimizer steps until the full rate is reached.
        num_steps_per_epoch: Optimizer steps per epoch; needed only with `last_epoch`, and given by
            the trainer.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        num_warmup_steps: Annotated[int, Ge(0)],
        num_steps_per_epoch: Annotated[int, Ge(1)] | None = None,
        last_epoch: int = -1,
    ) -> None:
        super().__init__(optimizer, num_steps_per_epoch, last_epoch)
        self.num_warmup_steps = num_warmup_steps
        self._write_values()

    def factor_after(self, step: int) -> float:
        """Return the factor of the full rate at a step after the warm-up."""
        return 1.0

    @overrides
    def get_values(self) -> list[float]:
        step = self.last_batch_num_total
        # Without a warm-up this is never true, so that nothing is divided by 0
        if step < self.num_warmup_steps:
            factor = step / self.num_warmup_steps
        else:
            factor = self.factor_after(step)
        return [base * factor for base in self.base_values]


@LearningRateScheduler.register("cosine_with_warmup")
class CosineWithWarmup(ConstantWithWarmup):
    """Rises from 0 in a straight line over the warm-up, then follows a cosine.

    Args:
        optimizer: The optimizer, given by the trainer.
        num_warmup_steps: The number of optimizer steps until the full rate is reached.
        num_training_steps: The optimizer steps of the whole training; `num_epochs` times
            `num_steps_per_epoch` if not given.
        num_cycles: Number of waves of the cosine; the default half falls once from 1 to 0.
        num_epochs: Number of epochs. Default: the trainer's.
        num_steps_per_epoch: Optimizer steps per epoch. Default: from the data loader.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        num_warmup_steps: Annotated[int, Ge(0)],
        num_training_steps: Annotated[int, Ge(1)] | None = None,
        num_cycles: Annotated[float, Ge(0)] = 0.5,
        num_epochs: Annotated[int, Ge(1)] | None = None,
        num_steps_per_epoch: Annotated[int, Ge(1)] | None = None,
        last_epoch: int = -1,
    ) -> None:
        if num_training_steps is None:
            num_training_steps = training_steps(num_epochs, num_steps_per_epoch)
        # Before super(), which computes the rate of step 0 with them
        self.num_training_steps = num_training_steps
        self.num_cycles = num_cycles
        super().__init__(optimizer, num_warmup_steps, num_steps_per_epoch, last_epoch)

    @overrides
    def factor_after(self, step: int) -> float:
        return (1 + math.cos(2 * math.pi * self.num_cycles * self._progress(step))) / 2

    def _progress(self, step: int) -> float:
        """Return the progress from the end of the warm-up to the last step, 0 to 1."""
        length = self.num_training_steps - self.num_warmup_steps
        return min(1.0, (step - self.num_warmup_steps) / max(1, length))


@LearningRateScheduler.register("cosine_hard_restarts_with_warmup")
class CosineHardRestartsWithWarmup(CosineWithWarmup):
    """Rises from 0 over the warm-up, then falls along half a cosine, `num_cycles` times anew.

    Args:
        optimizer: The optimizer, given by the trainer.
        num_warmup_steps: The number of optimizer steps until the full rate is reached.
        num_training_steps: The optimizer steps of the whole training; `num_epochs` times
            `num_steps_per_epoch` if not given.
        num_cycles: Number of descents from the full rate to 0.
        **options: See `CosineWithWarmup`.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        num_warmup_steps: Annotated[int, Ge(0)],
        num_training_steps: Annotated[int, Ge(1)] | None = None,
        num_cycles: Annotated[int, Ge(0)] = 1,
        **options: Any,
    ) -> None:
        super().__init__(optimizer, num_warmup_steps, num_training_steps, num_cycles, **options)

    @overrides
    def factor_after(self, step: int) -> float:
        progress = self._progress(step)
        # The remainder would be 0 at the very end, and the rate the full one again
        if progress >= 1:
            return 0.0
        return (1 + math.cos(math.pi * (self.num_cycles * progress % 1))) / 2

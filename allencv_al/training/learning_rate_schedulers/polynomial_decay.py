"""Decay along a polynomial, by optimizer step, after a linear warm-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt
from overrides import overrides

from allencv_al.training.learning_rate_schedulers.base import (
    LearningRateScheduler,
    StepwiseScheduler,
    training_steps,
)

if TYPE_CHECKING:
    import torch


@LearningRateScheduler.register("polynomial_decay")
class PolynomialDecay(StepwiseScheduler):
    """Rises from 0 over the warm-up, then falls along a polynomial to `end_learning_rate`.

    Args:
        optimizer: The optimizer, given by the trainer.
        num_epochs: Number of epochs. Default: the trainer's.
        num_steps_per_epoch: Optimizer steps per epoch. Default: from the data loader.
        power: The power of the polynomial; 1 falls in a straight line.
        warmup_steps: The number of optimizer steps until the full rate is reached.
        end_learning_rate: The rate at the last step and after it.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        num_epochs: Annotated[int, Ge(1)] | None = None,
        num_steps_per_epoch: Annotated[int, Ge(1)] | None = None,
        power: Annotated[float, Gt(0)] = 1.0,
        warmup_steps: Annotated[int, Ge(0)] = 0,
        end_learning_rate: Annotated[float, Ge(0)] = 0.0,
        last_epoch: int = -1,
    ) -> None:
        super().__init__(optimizer, num_steps_per_epoch, last_epoch)
        self.total_steps = training_steps(num_epochs, num_steps_per_epoch)
        self.power = power
        self.warmup_steps = warmup_steps
        self.end_learning_rate = end_learning_rate
        self._write_values()

    @overrides
    def get_values(self) -> list[float]:
        step, end = self.last_batch_num_total, self.end_learning_rate
        if step < self.warmup_steps:
            return [base * step / self.warmup_steps for base in self.base_values]
        # Also where the warm-up is longer than the training: no division by 0 below
        if step >= self.total_steps:
            return [end] * len(self.base_values)
        left = (self.total_steps - step) / (self.total_steps - self.warmup_steps)
        height = left**self.power
        return [end + (base - end) * height for base in self.base_values]


@LearningRateScheduler.register("linear_with_warmup")
class LinearWithWarmup(PolynomialDecay):
    """Rises from 0 in a straight line over the warm-up, then falls in one to 0.

    Args:
        optimizer: The optimizer, given by the trainer.
        num_epochs: Number of epochs. Default: the trainer's.
        num_steps_per_epoch: Optimizer steps per epoch. Default: from the data loader.
        warmup_steps: The number of optimizer steps until the full rate is reached.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        num_epochs: Annotated[int, Ge(1)] | None = None,
        num_steps_per_epoch: Annotated[int, Ge(1)] | None = None,
        warmup_steps: Annotated[int, Ge(0)] = 100,
        last_epoch: int = -1,
    ) -> None:
        super().__init__(
            optimizer,
            num_epochs,
            num_steps_per_epoch,
            warmup_steps=warmup_steps,
            last_epoch=last_epoch,
        )

"""Schedules that depend only on the number of finished epochs."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt
from overrides import overrides

from allencv_al.training.learning_rate_schedulers.base import LearningRateScheduler

if TYPE_CHECKING:
    import torch


@LearningRateScheduler.register("constant")
class ConstantLearningRate(LearningRateScheduler):
    """Leaves the learning rate where it starts.

    Args:
        optimizer: The optimizer, given by the trainer.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, last_epoch: int = -1) -> None:
        super().__init__(optimizer, last_epoch)
        self._write_values()

    @overrides
    def get_values(self) -> list[float]:
        return list(self.base_values)


@LearningRateScheduler.register("exponential")
class Exponential(LearningRateScheduler):
    """Multiplies the learning rate by `gamma` after every epoch.

    Args:
        optimizer: The optimizer, given by the trainer.
        gamma: The factor.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        gamma: Annotated[float, Gt(0)] = 0.1,
        last_epoch: int = -1,
    ) -> None:
        super().__init__(optimizer, last_epoch)
        self.gamma = gamma
        self._write_values()

    def decays(self, epochs: int) -> int:
        """Return the number of decays after so many epochs."""
        return epochs

    @overrides
    def get_values(self) -> list[float]:
        # From the base each time, not from the last rate: a recovered run gets the same bits
        factor = self.gamma ** self.decays(self.last_epoch + 1)
        return [base * factor for base in self.base_values]


@LearningRateScheduler.register("step")
class Step(Exponential):
    """Multiplies the learning rate by `gamma` every `step_size` epochs.

    Args:
        optimizer: The optimizer, given by the trainer.
        step_size: The number of epochs between two decays.
        gamma: The factor of each decay.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        step_size: Annotated[int, Ge(1)],
        gamma: Annotated[float, Gt(0)] = 0.1,
        last_epoch: int = -1,
    ) -> None:
        # Before super(), which writes the first rates by it
        self.step_size = step_size
        super().__init__(optimizer, gamma, last_epoch)

    @overrides
    def decays(self, epochs: int) -> int:
        return epochs // self.step_size


@LearningRateScheduler.register("multi_step")
class MultiStep(Exponential):
    """Multiplies the learning rate by `gamma` after each of some epochs.

    Args:
        optimizer: The optimizer, given by the trainer.
        milestones: The numbers of finished epochs at which the rate decays, in any order.
        gamma: The factor of each decay.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        milestones: list[Annotated[int, Ge(1)]],
        gamma: Annotated[float, Gt(0)] = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = sorted(milestones)
        super().__init__(optimizer, gamma, last_epoch)

    @overrides
    def decays(self, epochs: int) -> int:
        return bisect_right(self.milestones, epochs)

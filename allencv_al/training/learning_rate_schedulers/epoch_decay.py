"""Schedules that depend on the number of finished epochs alone."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, ClassVar

from overrides import overrides

from allencv_al.training.learning_rate_schedulers.base import LearningRateScheduler
from allencv_al.training.limits import AT_LEAST_ONE, POSITIVE, Limits, check_limits

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


class _EpochDecay(LearningRateScheduler):
    """The first rate times `gamma` to a power that grows with the epochs."""

    limits: ClassVar[Limits] = {
        "gamma": POSITIVE,
        "step_size": AT_LEAST_ONE,
        "milestones": AT_LEAST_ONE,
    }

    def __init__(self, optimizer: torch.optim.Optimizer, gamma: float, last_epoch: int) -> None:
        check_limits(self.limits, gamma=gamma)
        super().__init__(optimizer, last_epoch)
        self.gamma = gamma

    def decays(self, epochs: int) -> int:
        """Return how often the rate was multiplied after so many epochs."""
        raise NotImplementedError

    @overrides
    def get_values(self) -> list[float]:
        factor = self.gamma ** self.decays(self.last_epoch + 1)
        return [base * factor for base in self.base_values]


@LearningRateScheduler.register("step")
class Step(_EpochDecay):
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
        step_size: int,
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        check_limits(self.limits, step_size=step_size)
        self.step_size = step_size
        super().__init__(optimizer, gamma, last_epoch)
        self._write_values()

    @overrides
    def decays(self, epochs: int) -> int:
        return epochs // self.step_size


@LearningRateScheduler.register("multi_step")
class MultiStep(_EpochDecay):
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
        milestones: list[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        check_limits(self.limits, milestones=milestones)
        self.milestones = sorted(milestones)
        super().__init__(optimizer, gamma, last_epoch)
        self._write_values()

    @overrides
    def decays(self, epochs: int) -> int:
        return bisect_right(self.milestones, epochs)


@LearningRateScheduler.register("exponential")
class Exponential(_EpochDecay):
    """Multiplies the learning rate by `gamma` after every epoch.

    Args:
        optimizer: The optimizer, given by the trainer.
        gamma: The factor.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, gamma, last_epoch)
        self._write_values()

    @overrides
    def decays(self, epochs: int) -> int:
        return epochs

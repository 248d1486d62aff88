"""Cosine annealing with restarts, by epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt
from overrides import overrides

from allencv_al.training.learning_rate_schedulers.base import LearningRateScheduler

if TYPE_CHECKING:
    import torch


@LearningRateScheduler.register("cosine")
class Cosine(LearningRateScheduler):
    """Cosine annealing with warm restarts (SGDR, Loshchilov and Hutter 2016, arXiv:1608.03983).

    Within a cycle the rate falls from its start along half a cosine towards `eta_min`; then it
    starts again.

    Args:
        optimizer: The optimizer, given by the trainer.
        t_initial: The length of the first cycle in epochs; that of the whole training, for one
            without restarts.
        t_mul: Ratio of the length of each cycle to that of the previous one, rounded down to whole
            epochs.
        eta_min: The rate that a cycle falls towards.
        eta_mul: Factor of the starting rate of each next cycle.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        t_initial: Annotated[int, Ge(1)],
        t_mul: Annotated[float, Gt(0)] = 1.0,
        eta_min: Annotated[float, Ge(0)] = 0.0,
        eta_mul: Annotated[float, Gt(0)] = 1.0,
        last_epoch: int = -1,
    ) -> None:
        super().__init__(optimizer, last_epoch)
        self.t_initial = t_initial
        self.t_mul = t_mul
        self.eta_min = eta_min
        self.eta_mul = eta_mul
        self._write_values()

    @overrides
    def get_values(self) -> list[float]:
        cycle, epoch, length = self._place()
        # 1 at the first epoch of a cycle, and never quite 0 at its last: the restart comes there
        height = (1 + math.cos(math.pi * epoch / length)) / 2
        return [
            self.eta_min + (base * self.eta_mul**cycle - self.eta_min) * height
            for base in self.base_values
        ]

    def _place(self) -> tuple[int, int, int]:
        """Return the current cycle, the epoch within it, and its length in epochs."""
        epoch, cycle, length = self.last_epoch + 1, 0, self.t_initial
        while epoch >= length:
            epoch -= length
            cycle += 1
            # At least one epoch: a `t_mul` below 1 would shrink a cycle to nothing
            length = max(1, int(self.t_initial * self.t_mul**cycle))
        return cycle, epoch, length

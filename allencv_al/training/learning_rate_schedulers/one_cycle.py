"""The 1cycle policy, by optimizer step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Interval
from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.training.learning_rate_schedulers.base import (
    LearningRateScheduler,
    StepwiseScheduler,
    momentum_of,
    set_momentum,
    training_steps,
)

if TYPE_CHECKING:
    import torch


@LearningRateScheduler.register("one_cycle")
class OneCycle(StepwiseScheduler):
    """The 1cycle policy (Smith and Topin 2017, arXiv:1708.07120), with the numbers of PyTorch's.

    The rate rises from `max_lr / div_factor` to `max_lr`, then falls to the first rate divided by
    `final_div_factor`; the momentum does the opposite. The first optimizer step has the first
    rate, the last step the last.

    Args:
        optimizer: The optimizer, given by the trainer.
        max_lr: The peak; one for each parameter group in a list; the optimizer's rate if not
            given.
        num_epochs: Number of epochs. Default: the trainer's.
        num_steps_per_epoch: Optimizer steps per epoch. Default: from the data loader.
        pct_start: The part of the steps in which the rate rises, 0 to 1.
        anneal_strategy: Along a cosine (`cos`) or a straight line (`linear`).
        cycle_momentum: Whether to schedule the momentum (the first beta of Adam and its kin).
        base_momentum: The momentum at the peak of the rate.
        max_momentum: The momentum at the start and the end.
        div_factor: Ratio of the peak to the first rate.
        final_div_factor: Ratio of the first to the last rate.
        three_phase: Whether to fall as fast as it rose, to the first rate, before the last fall.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        max_lr: Annotated[float, Gt(0)] | list[Annotated[float, Gt(0)]] | None = None,
        num_epochs: Annotated[int, Ge(1)] | None = None,
        num_steps_per_epoch: Annotated[int, Ge(1)] | None = None,
        pct_start: Annotated[float, Interval(ge=0, le=1)] = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: Annotated[float, Interval(ge=0, le=1)] = 0.85,
        max_momentum: Annotated[float, Interval(ge=0, le=1)] = 0.95,
        div_factor: Annotated[float, Gt(0)] = 25.0,
        final_div_factor: Annotated[float, Gt(0)] = 10_000.0,
        three_phase: bool = False,
    ) -> None:
        super().__init__(optimizer)
        if max_lr is not None:
            self.base_values = self._one_each("max_lr", max_lr)
        self.total_steps = training_steps(num_epochs, num_steps_per_epoch)
        self.anneal_strategy = anneal_strategy
        self.momenta = (max_momentum, base_momentum) if cycle_momentum else None
        self._require_momentum()
        first, last = 1 / div_factor, 1 / div_factor / final_div_factor
        # A fraction of a step is kept, as PyTorch does: rounding would shift the peak
        rise = pct_start * self.total_steps - 1
        # Each phase: the step it ends at (from 0), the part of the peak it starts and ends with.
        self.phases = [(rise, first, 1.0), (self.total_steps - 1.0, 1.0, last)]
        if three_phase:
            self.phases[1:] = [(2 * rise, 1.0, first), (self.total_steps - 1.0, first, last)]
        self._write_values()

    @overrides
    def get_values(self) -> list[float]:
        phase, progress = self._place()
        _, start, end = self.phases[phase]
        factor = self._anneal(start, end, progress)
        return [base * factor for base in self.base_values]

    @overrides
    def _write_values(self) -> None:
        super()._write_values()
        if self.momenta is None:
            return
        phase, progress = self._place()
        top, bottom = self.momenta
        # The momentum falls while the rate rises; in the third phase it stays at the top
        start, end = [(top, bottom), (bottom, top), (top, top)][phase]
        momentum = self._anneal(start, end, progress)
        for group in self.optimizer.param_groups:
            set_momentum(group, momentum)

    def _place(self) -> tuple[int, float]:
        """Return the current phase and the progress within it, 0 to 1."""
        # Steps count from 1, phases from 0; the rates stay at the last value after the plan
        step = min(max(0, self.last_batch_num_total - 1), self.total_steps - 1)
        begin = 0.0
        for index, (end, _, _) in enumerate(self.phases):
            if step <= end or index == len(self.phases) - 1:
                break
            begin = end
        return index, (step - begin) / (end - begin) if end > begin else 1.0

    def _anneal(self, start: float, end: float, progress: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * progress
        return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2

    def _require_momentum(self) -> None:
        if self.momenta is None:
            return
        if any(momentum_of(group) is None for group in self.optimizer.param_groups):
            raise ConfigurationError(
                f"cycle_momentum: expected false, because {type(self.optimizer).__name__} has no "
                "momentum, found true"
            )

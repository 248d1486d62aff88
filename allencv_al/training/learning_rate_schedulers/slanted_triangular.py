"""The ULMFiT schedule: slanted triangles, discriminative rates and gradual unfreezing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Interval
from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.training.learning_rate_schedulers.base import (
    LearningRateScheduler,
    group_name,
    plan_text,
    required,
)
from allencv_al.training.optimizers.base import default_group_fault

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


@LearningRateScheduler.register("slanted_triangular")
class SlantedTriangular(LearningRateScheduler):
    """The slanted triangular schedule of ULMFiT (Howard and Ruder, 2018, arXiv:1801.06146).

    The rate rises from `lr / ratio` to `lr` over the first `cut_frac` of the steps and falls back
    to `lr / ratio` over the rest. With gradual unfreezing, epoch 0 trains only the last named
    parameter group and each later epoch one group more, a triangle per epoch; once all train, one
    triangle spans the epochs that are left.

    Only `requires_grad` is switched. A parameter that was frozen before stays frozen. The batch
    norms of a frozen group keep updating their running statistics.

    Args:
        optimizer: The optimizer, given by the trainer. Its last parameter group is the default
            group, which holds the parameters that no other names.
        num_epochs: Number of epochs. Default: the trainer's.
        num_steps_per_epoch: Optimizer steps per epoch. Default: from the data loader. It matters in
            the first epoch only: later ones use the steps counted.
        cut_frac: The part of the steps in which the rate rises, 0 to 1.
        ratio: Ratio of the peak to the lowest rate, at least 1.
        last_epoch: The index of the last finished epoch, -1 before the first; to resume a
            training whose scheduler state was not stored.
        gradual_unfreezing: Whether to train the groups from the last to the first, one more
            each epoch. Needs two named groups or more, an empty default group, and at least as
            many epochs as named groups.
        discriminative_fine_tuning: Whether each group's rate is that of the group after it times
            `decay_factor`. Needs two named groups or more.
        decay_factor: The factor; the default is about the paper's 1 / 2.6.

    Raises:
        ConfigurationError: The parameter groups or the number of epochs do not fit.
    """

    rate_word: ClassVar[str] = "lr up to"

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        num_epochs: Annotated[int, Ge(1)] | None = None,
        num_steps_per_epoch: Annotated[int, Ge(1)] | None = None,
        cut_frac: Annotated[float, Interval(ge=0, le=1)] = 0.1,
        ratio: Annotated[float, Ge(1)] = 32,
        last_epoch: int = -1,
        gradual_unfreezing: bool = False,
        discriminative_fine_tuning: bool = False,
        decay_factor: Annotated[float, Gt(0)] = 0.38,
    ) -> None:
        self.num_epochs = required("num_epochs", num_epochs, "the last triangle ends with it")
        self.num_steps_per_epoch = num_steps_per_epoch
        self.cut_frac = cut_frac
        self.ratio = ratio
        self.gradual_unfreezing = gradual_unfreezing
        _check_groups(optimizer, self.num_epochs, gradual_unfreezing, discriminative_fine_tuning)
        super().__init__(optimizer, last_epoch)
        if discriminative_fine_tuning:
            self._decay_base_values(decay_factor)
        steps = num_steps_per_epoch or 1
        self.epoch_ends = [epoch * steps for epoch in range(last_epoch + 2)]
        self.last_batch_num_total = self.epoch_ends[-1]
        self._apply()

    @staticmethod
    def epoch_fault(num_groups: int, num_epochs: int) -> str | None:
        """Return the fault of a number of epochs under gradual unfreezing; None if there is none.

        Args:
            num_groups: The named parameter groups that train, without the default group.
            num_epochs: The epochs of the training.
        """
        if num_epochs >= num_groups:
            return None
        return (
            f"expected at least {num_groups} epochs, because gradual unfreezing of {num_groups} "
            f"parameter groups frees one more each epoch, found {num_epochs}: the first "
            f"{num_groups - num_epochs} would never train"
        )

    @property
    def freezing(self) -> bool:
        """Whether some groups still wait for their epoch."""
        # The last group, the default one, is empty under gradual unfreezing
        named = len(self.optimizer.param_groups) - 1
        return self.gradual_unfreezing and self._trained_groups < named

    @property
    def _trained_groups(self) -> int:
        # One group in the first epoch, before which `last_epoch` is -1
        return self.last_epoch + 2

    @overrides
    def get_values(self) -> list[float]:
        return self._values_at(self.last_batch_num_total)

    def _values_at(self, batch_num_total: int) -> list[float]:
        first, steps = self._triangle()
        step = max(0, min(batch_num_total - first, steps))
        cut = int(steps * self.cut_frac)  # rounded down, as in AllenNLP and in the paper
        rises = step < cut
        height = step / cut if rises else 1 - (step - cut) / max(steps - cut, 1)
        factor = (1 + height * (self.ratio - 1)) / self.ratio
        return [base * factor for base in self.base_values]

    def _triangle(self) -> tuple[int, int]:
        """Return the step before the current triangle, and the triangle's length in steps."""
        epoch_steps = self._epoch_steps()
        if self.freezing:
            return self.epoch_ends[-1], epoch_steps
        # The last triangle begins with the epoch that frees the last group
        frozen_epochs = len(self.optimizer.param_groups) - 2 if self.gradual_unfreezing else 0
        first = self.epoch_ends[frozen_epochs]
        return first, self.num_epochs * epoch_steps - first

    def _epoch_steps(self) -> int:
        finished = len(self.epoch_ends) - 1
        if finished:
            return self.epoch_ends[-1] // finished
        # In the first epoch no number was counted yet; more steps than planned widen the triangle
        return max(self.num_steps_per_epoch or 1, self.last_batch_num_total)

    @overrides
    def step_batch(self, batch_num_total: int | None = None) -> None:
        if batch_num_total is None:
            batch_num_total = self.last_batch_num_total + 1
        self.last_batch_num_total = batch_num_total
        self._write_values()

    @overrides
    def step(self, metric: float | None = None) -> None:
        self.last_epoch += 1
        # Counted, not planned: unreadable images may have removed batches
        self.epoch_ends.append(self.last_batch_num_total)
        if self.last_epoch == 0:
            self._compare_steps()
        if self.gradual_unfreezing and self._trained_groups < len(self.optimizer.param_groups):
            self._switch_gradients()
        self._write_values()

    @overrides
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._apply()  # AllenNLP forgot the freezing here (its pull request 2523)

    def _apply(self) -> None:
        self._write_values()
        if self.gradual_unfreezing:
            self._switch_gradients()

    def _switch_gradients(self) -> None:
        named = self.optimizer.param_groups[:-1]
        # From the last layers, which know the task least, to the first ones
        for place, group in enumerate(reversed(named)):
            for parameter in group["params"]:
                _set_trainable(parameter, place < self._trained_groups)
        plan = plan_text(self.describe_epoch())
        logger.debug("Gradual unfreezing, epoch %d: %s", self.last_epoch + 1, plan)

    def _decay_base_values(self, decay_factor: float) -> None:
        """Lower the rate group by group, from the last that holds parameters to the first."""
        factor = 1.0
        for index, group in reversed(list(enumerate(self.optimizer.param_groups))):
            if group["params"]:
                self.base_values[index] *= factor
                factor *= decay_factor

    def _compare_steps(self) -> None:
        planned, counted = self.num_steps_per_epoch, self.last_batch_num_total
        if planned is not None and planned != counted:
            logger.warning(
                "num_steps_per_epoch is %d, but the first epoch had %d steps: its learning rates "
                "were not a full triangle; the epochs from here on use the steps counted",
                planned,
                counted,
            )

    @overrides
    def _epoch_rates(self) -> list[float]:
        """Return the highest rates of the epoch; the triangle's peak may lie in another."""
        first, steps = self._triangle()
        begin = self.epoch_ends[-1]
        peak = first + int(steps * self.cut_frac)
        return self._values_at(max(begin, min(peak, begin + self._epoch_steps())))


def _check_groups(
    optimizer: torch.optim.Optimizer, num_epochs: int, unfreezing: bool, discriminative: bool
) -> None:
    faults = []
    *named, default = optimizer.param_groups
    if unfreezing and default["params"]:
        names = default.get("parameter_names")
        faults.append(
            f"gradual_unfreezing: {default_group_fault(names)}"
            if names
            else "gradual_unfreezing: expected an empty default group, {'params': []}, as the last "
            f"of the optimizer's, found one of {len(default['params'])} parameters"
        )
    if (unfreezing or discriminative) and len(named) < 2:
        option = "gradual_unfreezing" if unfreezing else "discriminative_fine_tuning"
        faults.append(
            f"{option}: expected at least 2 parameter groups and the default group after them, "
            f"found {len(named)}"
        )
    if unfreezing:
        faults += [
            f"gradual_unfreezing: {group_name(group, index)} holds no parameters, so an epoch "
            "would be spent on nothing"
            for index, group in enumerate(named)
            if not group["params"]
        ]
        epoch_fault = SlantedTriangular.epoch_fault(len(named), num_epochs)
        faults += [f"num_epochs: {epoch_fault}"] if epoch_fault else []
    if faults:
        raise ConfigurationError("\n".join(faults))


def _set_trainable(parameter: Any, trainable: bool) -> None:
    """Freeze or unfreeze a parameter, except one that was frozen elsewhere."""
    if trainable and getattr(parameter, "frozen_by_schedule", False):
        parameter.requires_grad_(True)
        parameter.frozen_by_schedule = False
    elif not trainable and parameter.requires_grad:
        parameter.requires_grad_(False)
        parameter.grad = None  # the optimizer steps whatever has a gradient
        parameter.frozen_by_schedule = True

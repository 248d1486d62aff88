"""The bases of schedulers: over steps and epochs, and those of learning rates."""

from __future__ import annotations

import copy
import inspect
import logging
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from overrides import overrides

from allencv_al.common.config.registrable import Registrable
from allencv_al.common.errors import CheckpointError, ConfigurationError
from allencv_al.common.user_mistakes import wrong_result

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

_HERE = "allencv_al.training.learning_rate_schedulers"
# The two names that schedules of AllenNLP have for it
_WARMUPS = ("num_warmup_steps", "warmup_steps")


class Scheduler:
    """Sets one field of every parameter group of an optimizer during training.

    A training loop calls `step_batch` before each `optimizer.step()` and `step` after each
    epoch. Attributes of a subclass must be JSON-like or tensors: all of them, except the optimizer,
    are the state in a checkpoint.

    Args:
        optimizer: The optimizer whose groups are scheduled.
        param_group_field: The field to set, such as `lr`.
        last_epoch: The index of the last finished epoch, -1 before the first. Any other value
            resumes a training whose scheduler state was not stored, and needs groups with
            `initial_<field>`.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, param_group_field: str, last_epoch: int = -1
    ) -> None:
        self.optimizer = optimizer
        self.param_group_field = param_group_field
        self.last_epoch = last_epoch
        initial = f"initial_{param_group_field}"
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                # Not over what is there: a config may give a group a start of its own
                group.setdefault(initial, self._read(group))
            elif initial not in group:
                raise ConfigurationError(
                    f"last_epoch: expected -1, found {last_epoch}, because parameter group "
                    f"{index} has no {initial!r} to resume from"
                )
        self.base_values = [float(group[initial]) for group in optimizer.param_groups]

    @abstractmethod
    def get_values(self) -> list[float]:
        """Return the value of each parameter group at this moment."""
        raise NotImplementedError

    def step(self, metric: float | None = None) -> None:
        """Advance by one epoch.

        Args:
            metric: The validation metric of that epoch, for schedules that look at it.
        """
        self.last_epoch += 1
        self._write_values()

    def step_batch(self, batch_num_total: int | None = None) -> None:
        """Prepare for an optimizer step; schedules by epoch do nothing here.

        Args:
            batch_num_total: The number of the coming step, counted from 1 over all epochs; one
                more than the last if not given.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that changes, in JSON-like form."""
        return copy.deepcopy({k: v for k, v in vars(self).items() if k != "optimizer"})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state, including the fields of the optimizer's groups."""
        self._check_state(state_dict)  # before anything changes
        vars(self).update(copy.deepcopy(state_dict))
        # The counters alone are no state: the optimizer steps with what its groups say
        self._write_values()

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        expected = vars(self).keys() - {"optimizer"}
        if expected != state_dict.keys():
            raise CheckpointError(
                f"this is no state of a {type(self).__name__}: it lacks "
                f"{sorted(expected - state_dict.keys())} and has "
                f"{sorted(state_dict.keys() - expected)} that it should not"
            )
        groups = len(state_dict["base_values"])
        if groups != len(self.optimizer.param_groups):
            raise CheckpointError(
                f"the saved {type(self).__name__} has {groups} parameter groups, "
                f"the optimizer has {len(self.optimizer.param_groups)}"
            )

    def _read(self, group: dict[str, Any]) -> float:
        if self.param_group_field not in group:
            raise ConfigurationError(
                f"{type(self).__name__} schedules {self.param_group_field!r}, which "
                f"{type(self.optimizer).__name__} does not have"
            )
        return float(group[self.param_group_field])

    def _write(self, group: dict[str, Any], value: float) -> None:
        group[self.param_group_field] = value

    def _write_values(self) -> None:
        groups, values = self.optimizer.param_groups, self.get_values()
        if not _is_one_number_each(values, len(groups)):
            raise wrong_result(
                self,
                "get_values",
                f"{len(groups)} finite numbers, one for each parameter group",
                values,
            )
        for group, value in zip(groups, values, strict=True):
            self._write(group, value)


def _is_one_number_each(values: object, count: int) -> bool:
    return (
        isinstance(values, Sequence)
        and len(values) == count
        and all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)
    )


def momentum_of(group: dict[str, Any]) -> float | None:
    """Return a group's momentum (the first beta of Adam and its variants); None if it has none."""
    if "momentum" in group:
        return float(group["momentum"])
    return float(group["betas"][0]) if "betas" in group else None


def set_momentum(group: dict[str, Any], value: float) -> None:
    """Set the momentum that `momentum_of` returns."""
    if "momentum" in group:
        group["momentum"] = value
    else:
        # Adam's second beta averages squared gradients, which is no momentum
        group["betas"] = (value, *group["betas"][1:])


def warn_of_more_epochs(scheduler: object, before: int) -> None:
    """Log a warning of a scheduler that plans by the number of epochs, if a run now has more.

    Args:
        scheduler: The scheduler; its state in a checkpoint holds the former number.
        before: The epochs that the run began with.
    """
    if "num_epochs" in inspect.signature(type(scheduler)).parameters:
        logger.warning(
            "%s keeps the plan for %d epochs that the run began with: the epochs after them have "
            "its last values",
            type(scheduler).__name__,
            before,
        )


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """The schedule of one parameter group in an epoch.

    Args:
        name: The group's regular expressions, or its number.
        trainable: Whether any of its parameters gets gradients.
        learning_rate: The rate; where it varies within the epoch, what `rate_word` says of it.
        parameters: Number of parameter tensors.
        rate_word: "lr", "lr from" or "lr up to".
    """

    name: str
    trainable: bool
    learning_rate: float
    parameters: int
    rate_word: str = "lr"

    def __str__(self) -> str:
        state = f"{self.rate_word} {self.learning_rate:.6g}" if self.trainable else "frozen"
        return f"{self.name} ({state})"


class LearningRateScheduler(Scheduler, Registrable):
    """Sets the learning rate of every parameter group; by epoch unless a subclass says otherwise.

    The schedule of a group starts from its `initial_lr`, else from its `lr`.

    Args:
        optimizer: The optimizer, given by the trainer.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    builtin: ClassVar[dict[str, str]] = {
        "combined": f"{_HERE}.combined",
        "constant": f"{_HERE}.epoch_decay",
        "constant_with_warmup": f"{_HERE}.warmup",
        "cosine": f"{_HERE}.cosine",
        "cosine_hard_restarts_with_warmup": f"{_HERE}.warmup",
        "cosine_with_warmup": f"{_HERE}.warmup",
        "exponential": f"{_HERE}.epoch_decay",
        "linear_with_warmup": f"{_HERE}.polynomial_decay",
        "multi_step": f"{_HERE}.epoch_decay",
        "noam": f"{_HERE}.noam",
        "one_cycle": f"{_HERE}.one_cycle",
        "polynomial_decay": f"{_HERE}.polynomial_decay",
        "reduce_on_plateau": f"{_HERE}.reduce_on_plateau",
        "slanted_triangular": f"{_HERE}.slanted_triangular",
        "step": f"{_HERE}.epoch_decay",
    }
    injected: ClassVar[tuple[str, ...]] = ("optimizer",)
    rate_word: ClassVar[str] = "lr"
    needs_metric: bool = False  # whether `step` looks at the validation metric

    def __init__(self, optimizer: torch.optim.Optimizer, last_epoch: int = -1) -> None:
        super().__init__(optimizer, "lr", last_epoch)

    def describe_epoch(self) -> list[GroupPlan]:
        """Return the plan of the coming epoch for each non-empty parameter group."""
        rates = self._epoch_rates()
        return [
            GroupPlan(
                name=group_name(group, index),
                trainable=any(parameter.requires_grad for parameter in group["params"]),
                learning_rate=rates[index],
                parameters=len(group["params"]),
                rate_word=self.rate_word,
            )
            for index, group in enumerate(self.optimizer.param_groups)
            if group["params"]
        ]

    def _epoch_rates(self) -> list[float]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def _one_each(self, name: str, value: float | list[float]) -> list[float]:
        """Return a value for each parameter group, from one for all or one for each.

        Raises:
            ConfigurationError: There are more or fewer values than groups.
        """
        groups = len(self.optimizer.param_groups)
        values = list(value) if isinstance(value, list | tuple) else [value] * groups
        if len(values) != groups:
            raise ConfigurationError(
                f"{name}: expected one number or {groups}, one for each parameter group and the "
                f"default group, found {len(values)}"
            )
        return values


class StepwiseScheduler(LearningRateScheduler):
    """A schedule by optimizer step: `get_values` reads `last_batch_num_total`.

    Args:
        optimizer: The optimizer, given by the trainer.
        num_steps_per_epoch: Steps per epoch; needed only to resume from `last_epoch`.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    rate_word: ClassVar[str] = "lr from"

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        num_steps_per_epoch: int | None = None,
        last_epoch: int = -1,
    ) -> None:
        super().__init__(optimizer, last_epoch)
        if last_epoch >= 0 and num_steps_per_epoch is None:
            raise ConfigurationError(
                "num_steps_per_epoch: expected a number, found none, which last_epoch needs"
            )
        self.last_batch_num_total = (last_epoch + 1) * (num_steps_per_epoch or 0)

    @overrides
    def step(self, metric: float | None = None) -> None:
        # Nothing to write: each step has set its own rates
        self.last_epoch += 1

    @overrides
    def step_batch(self, batch_num_total: int | None = None) -> None:
        # A caller without a counter of its own, as in AllenNLP
        if batch_num_total is None:
            batch_num_total = self.last_batch_num_total + 1
        self.last_batch_num_total = batch_num_total
        self._write_values()


def plan_text(plans: Sequence[GroupPlan]) -> str:
    """Return which groups train at what rate, and which are frozen, for one line of a log."""
    trained = ", ".join(str(plan) for plan in plans if plan.trainable)
    frozen = ", ".join(plan.name for plan in plans if not plan.trainable)
    return f"trains {trained or 'nothing'}" + (f"; frozen: {frozen}" if frozen else "")


def group_name(group: dict[str, Any], index: int) -> str:
    """Return the name of a parameter group in messages."""
    return str(group.get("name", f"group {index}"))


def required(name: str, value: int | None, reason: str) -> int:
    """Return `value`; raise if a Python caller left it out (trainers always give it)."""
    if value is None:
        raise ConfigurationError(f"{name}: expected a number, found none; {reason}")
    return value


def warn_of_long_warmup(scheduler: LearningRateScheduler | None, steps: int | None) -> None:
    """Warn of a warm-up that is at least as long as the schedule.

    Args:
        scheduler: The schedule.
        steps: The optimizer steps available to the schedule.
    """
    warmup = next(
        (n for name in _WARMUPS if (n := getattr(scheduler, name, None)) is not None), None
    )
    planned = getattr(scheduler, "num_training_steps", None)
    available = [number for number in (steps, planned) if isinstance(number, int)]
    if isinstance(warmup, int) and available and warmup >= min(available):
        logger.warning(
            "learning_rate_scheduler: its warm-up of %d steps is as long as the %d steps that it "
            "has, or longer: the full learning rate is never reached",
            warmup,
            min(available),
        )


def training_steps(num_epochs: int | None, num_steps_per_epoch: int | None) -> int:
    """Return the steps of the whole training; raise if a number is missing."""
    reason = "without it the length of the schedule is unknown"
    epochs = required("num_epochs", num_epochs, reason)
    return epochs * required("num_steps_per_epoch", num_steps_per_epoch, reason)

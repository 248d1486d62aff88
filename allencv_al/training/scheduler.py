"""Base of learning rate and momentum schedulers: one number per parameter group and step."""

from __future__ import annotations

import copy
import inspect
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from allencv_al.common.errors import CheckpointError, ConfigurationError
from allencv_al.common.user_mistakes import wrong_result

if TYPE_CHECKING:
    import torch


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
        group["betas"] = (value, *group["betas"][1:])


def counts_epochs(scheduler: object) -> bool:
    """Return whether a scheduler plans by the number of epochs that it was made with."""
    return "num_epochs" in inspect.signature(type(scheduler)).parameters

"""Several schedules, one after the other."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, MinLen
from overrides import overrides

from allencv_al.common.config.configurable import Lazy
from allencv_al.common.errors import CheckpointError
from allencv_al.training.learning_rate_schedulers.base import (
    GroupPlan,
    LearningRateScheduler,
    StepwiseScheduler,
    warn_of_long_warmup,
)


@LearningRateScheduler.register("combined")
class Combined(StepwiseScheduler):
    """Runs schedules one after the other, each for some epochs.

    Each starts from the final rates of the previous one and counts its epochs and steps from its
    own start. After the last one the rates stay constant.

    Args:
        optimizer: The optimizer, given by the trainer.
        schedulers: Pairs of a number of epochs and a schedule.
        num_steps_per_epoch: Optimizer steps per epoch. Default: from the data loader.
        validation_metric: The trainer's, given by it.
    """

    injected: ClassVar[tuple[str, ...]] = ("optimizer", "validation_metric")
    rate_word: ClassVar[str] = "lr"  # after the last schedule; before, each speaks for itself

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        schedulers: Annotated[
            list[tuple[Annotated[int, Ge(1)], Lazy[LearningRateScheduler]]], MinLen(1)
        ],
        num_steps_per_epoch: Annotated[int, Ge(1)] | None = None,
        validation_metric: str | list[str] | None = None,
    ) -> None:
        super().__init__(optimizer)
        self.schedulers = schedulers
        self.num_steps_per_epoch = num_steps_per_epoch
        self.validation_metric = validation_metric
        # On a throw-away optimizer: faults of a later schedule must not wait for its epochs
        built = [self._build(*pair, _stand_in(optimizer)) for pair in schedulers]
        self.needs_metric = any(scheduler.needs_metric for scheduler in built)
        self.first_step = 0
        self._start()

    def _start(self) -> None:
        """Begin the schedule of the coming epoch, if that is its first."""
        begin = 0
        self.current: LearningRateScheduler | None = None
        for epochs, lazy_scheduler in self.schedulers:
            if begin <= self.last_epoch + 1 < begin + epochs:
                self._construct(epochs, lazy_scheduler)
                return
            begin += epochs

    def _construct(self, epochs: int, lazy_scheduler: Lazy[LearningRateScheduler]) -> None:
        for group in self.optimizer.param_groups:
            # `initial_lr` is where a schedule starts from; in the first epoch it may be the user's
            if self.last_epoch >= 0:
                group["initial_lr"] = group["lr"]
        self.current = self._build(epochs, lazy_scheduler, self.optimizer)
        self.first_step = self.last_batch_num_total
        per_epoch = self.num_steps_per_epoch
        warn_of_long_warmup(self.current, epochs * per_epoch if per_epoch else None)

    def _build(
        self,
        epochs: int,
        lazy_scheduler: Lazy[LearningRateScheduler],
        optimizer: torch.optim.Optimizer,
    ) -> LearningRateScheduler:
        return lazy_scheduler.construct(
            optimizer=optimizer,
            num_epochs=epochs,
            num_steps_per_epoch=self.num_steps_per_epoch,
            validation_metric=self.validation_metric,
        )

    @overrides
    def get_values(self) -> list[float]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    @overrides
    def step_batch(self, batch_num_total: int | None = None) -> None:
        if batch_num_total is None:
            batch_num_total = self.last_batch_num_total + 1
        self.last_batch_num_total = batch_num_total
        if self.current is not None:
            # Each schedule counts its own steps, as if it were alone
            self.current.step_batch(batch_num_total - self.first_step)

    @overrides
    def step(self, metric: float | None = None) -> None:
        self.last_epoch += 1
        ends = self._ends()
        if self.last_epoch + 1 in ends:
            self._start()
        elif self.current is not None:
            self.current.step(metric)

    def _ends(self) -> list[int]:
        ends: list[int] = []
        for epochs, _ in self.schedulers:
            ends.append(epochs + (ends[-1] if ends else 0))
        return ends

    @overrides
    def describe_epoch(self) -> list[GroupPlan]:
        return super().describe_epoch() if self.current is None else self.current.describe_epoch()

    @overrides
    def state_dict(self) -> dict[str, Any]:
        return {
            "last_epoch": self.last_epoch,
            "last_batch_num_total": self.last_batch_num_total,
            "first_step": self.first_step,
            "initial_lrs": [group["initial_lr"] for group in self.optimizer.param_groups],
            "lrs": self.get_values(),
            "current": None if self.current is None else self.current.state_dict(),
        }

    @overrides
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        try:
            self.last_epoch = state_dict["last_epoch"]
            self.last_batch_num_total = state_dict["last_batch_num_total"]
            groups = self.optimizer.param_groups
            for group, lr, initial in zip(
                groups, state_dict["lrs"], state_dict["initial_lrs"], strict=True
            ):
                group["lr"], group["initial_lr"] = lr, initial
            self._start()
            self.first_step = state_dict["first_step"]
            current = state_dict["current"]
        except (KeyError, ValueError) as error:
            raise CheckpointError(
                f"this is no state of a {type(self).__name__}: {error}"
            ) from error
        if self.current is not None:
            self.current.load_state_dict(current)
        for group, lr, initial in zip(
            groups, state_dict["lrs"], state_dict["initial_lrs"], strict=True
        ):
            group["lr"], group["initial_lr"] = lr, initial


def _stand_in(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return a throw-away optimizer with the same groups."""
    groups = [
        {**group, "params": [torch.nn.Parameter(torch.zeros(1)) for _ in group["params"][:1]]}
        for group in optimizer.param_groups
    ]
    return torch.optim.Optimizer(groups, {})

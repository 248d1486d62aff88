"""A schedule that looks at the validation metric."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Interval
from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.training.learning_rate_schedulers.base import LearningRateScheduler

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


@LearningRateScheduler.register("reduce_on_plateau")
class ReduceOnPlateau(LearningRateScheduler):
    """Lowers the learning rate when the validation metric has stopped improving.

    Args:
        optimizer: The optimizer, given by the trainer.
        mode: Whether the metric improves as it falls (`min`) or grows (`max`). If not given, what
            the sign of the trainer's `validation_metric` says; `min` without a trainer.
        factor: Factor of the rate, below 1.
        patience: Number of epochs without improvement that are accepted.
        threshold: By how much a metric must beat the best so far to count.
        threshold_mode: Whether that is a part of the best (`rel`) or an amount (`abs`).
        cooldown: Number of epochs after a reduction during which no epoch is counted.
        min_lr: The lowest rate, or one for each parameter group.
        eps: A reduction smaller than this is left out.
        validation_metric: The trainer's, given by it.

    Raises:
        ConfigurationError: `mode` contradicts the sign of the validation metric.
    """

    injected: ClassVar[tuple[str, ...]] = ("optimizer", "validation_metric")
    needs_metric = True

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        mode: Literal["min", "max"] | None = None,
        factor: Annotated[float, Interval(ge=0, lt=1)] = 0.1,
        patience: Annotated[int, Ge(0)] = 10,
        threshold: Annotated[float, Ge(0)] = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: Annotated[int, Ge(0)] = 0,
        min_lr: Annotated[float, Ge(0)] | list[Annotated[float, Ge(0)]] = 0.0,
        eps: Annotated[float, Ge(0)] = 1e-8,
        validation_metric: str | list[str] | None = None,
    ) -> None:
        super().__init__(optimizer)
        self.mode = _mode(mode, validation_metric)
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lrs = self._one_each("min_lr", min_lr)
        self.eps = eps
        self.rates = list(self.base_values)
        self.best: float | None = None
        self.bad_epochs = 0
        self.cooldown_left = 0
        self._write_values()

    @overrides
    def get_values(self) -> list[float]:
        return list(self.rates)

    @overrides
    def step(self, metric: float | None = None) -> None:
        if metric is None:
            raise ConfigurationError(
                "reduce_on_plateau looks at the validation metric, so the training needs "
                "validation data"
            )
        self.last_epoch += 1
        if self._improves(float(metric)):
            self.best = float(metric)
            self.bad_epochs = 0
        else:
            self.bad_epochs += 1
        # After the count, as in PyTorch: an epoch of the cooldown may still set the best
        if self.cooldown_left > 0:
            self.cooldown_left -= 1
            self.bad_epochs = 0
        if self.bad_epochs > self.patience:
            self._reduce()
        self._write_values()

    def _improves(self, metric: float) -> bool:
        if math.isnan(metric):  # counts as no improvement, even as the first
            return False
        if self.best is None:
            return True
        margin = self.threshold * (abs(self.best) if self.threshold_mode == "rel" else 1)
        if self.mode == "min":
            return metric < self.best - margin
        return metric > self.best + margin

    def _reduce(self) -> None:
        lowered = [
            max(rate * self.factor, lowest)
            for rate, lowest in zip(self.rates, self.min_lrs, strict=True)
        ]
        self.rates = [
            new if old - new > self.eps else old  # as in PyTorch: tiny reductions are skipped
            for old, new in zip(self.rates, lowered, strict=True)
        ]
        self.cooldown_left = self.cooldown
        self.bad_epochs = 0
        logger.info(
            "No improvement; learning rates after epoch %d: %s", self.last_epoch, self.rates
        )


def _mode(mode: str | None, validation_metric: str | list[str] | None) -> str:
    """Return `mode`, or what the metric's sign says; a list's signed sum grows as it improves."""
    if validation_metric is None:
        return mode or "min"
    falls = isinstance(validation_metric, str) and validation_metric.startswith("-")
    implied = "min" if falls else "max"
    if mode not in (None, implied):
        raise ConfigurationError(
            f'mode: expected "{implied}" for the validation metric {validation_metric!r}, '
            f'found "{mode}"'
        )
    return implied

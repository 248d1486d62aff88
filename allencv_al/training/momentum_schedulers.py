"""Momentum schedules, by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge, Gt
from overrides import overrides

from allencv_al.common.config.registrable import Registrable
from allencv_al.common.errors import ConfigurationError
from allencv_al.training.learning_rate_schedulers.base import Scheduler, momentum_of, set_momentum

if TYPE_CHECKING:
    import torch


class MomentumScheduler(Scheduler, Registrable):
    """Sets the momentum of every parameter group (the first beta of Adam and its kin).

    Args:
        optimizer: The optimizer, given by the trainer.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    builtin: ClassVar[dict[str, str]] = {
        "inverted_triangular": "allencv_al.training.momentum_schedulers",
    }
    injected = ("optimizer",)

    def __init__(self, optimizer: torch.optim.Optimizer, last_epoch: int = -1) -> None:
        super().__init__(optimizer, "momentum", last_epoch)

    @overrides
    def _read(self, group: dict[str, Any]) -> float:
        momentum = momentum_of(group)
        if not momentum:
            raise ConfigurationError(
                f"{type(self).__name__} needs an optimizer with momentum, found "
                f"{type(self.optimizer).__name__} with {momentum}"
            )
        return momentum

    @overrides
    def _write(self, group: dict[str, Any], value: float) -> None:
        set_momentum(group, value)


@MomentumScheduler.register("inverted_triangular")
class InvertedTriangular(MomentumScheduler):
    """Lowers the momentum in a straight line, raises it in another, then leaves it.

    After Smith, "A disciplined approach to neural network hyper-parameters", arXiv:1803.09820.

    Args:
        optimizer: The optimizer, given by the trainer.
        cool_down: The number of epochs in which the momentum falls to its `ratio`-th part.
        warm_up: The number of epochs in which it rises to its first value again.
        ratio: Ratio of the highest to the lowest momentum.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        cool_down: Annotated[int, Ge(1)],
        warm_up: Annotated[int, Ge(1)],
        ratio: Annotated[float, Gt(0)] = 10,
        last_epoch: int = -1,
    ) -> None:
        super().__init__(optimizer, last_epoch)
        self.cool_down = cool_down
        self.warm_up = warm_up
        self.ratio = ratio
        self._write_values()

    @overrides
    def get_values(self) -> list[float]:
        epoch = self.last_epoch + 1
        if epoch <= self.cool_down:
            depth = epoch / self.cool_down
        else:
            depth = max(0.0, 1 - (epoch - self.cool_down) / self.warm_up)
        return [base - (base - base / self.ratio) * depth for base in self.base_values]

"""The base of the momentum schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from overrides import overrides

from allencv_al.common.config.registrable import Registrable
from allencv_al.common.errors import ConfigurationError
from allencv_al.training.scheduler import Scheduler, momentum_of, set_momentum

if TYPE_CHECKING:
    import torch


class MomentumScheduler(Scheduler, Registrable):
    """Sets the momentum of every parameter group (the first beta of Adam and its kin).

    Args:
        optimizer: The optimizer, given by the trainer.
        last_epoch: The index of the last finished epoch, -1 before the first.
    """

    builtin: ClassVar[dict[str, str]] = {
        "inverted_triangular": "allencv_al.training.momentum_schedulers.inverted_triangular",
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

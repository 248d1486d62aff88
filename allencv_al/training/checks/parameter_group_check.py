"""Which parameters an experiment's `parameter_groups` take, found out before any data is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from allencv_al.training.checks.unfreezing_check import unfreezes
from allencv_al.training.optimizers.parameter_groups import (
    GroupRule,
    assignment_faults,
    default_group_fault,
    read_rules,
)

if TYPE_CHECKING:
    from allencv_al.common.config.config_check import ConfigView
    from allencv_al.common.errors import Fault


def parameter_group_faults(
    trainer: ConfigView, trained: Sequence[str], frozen: Sequence[str]
) -> Iterator[Fault]:
    """Yield what is wrong with the parameter groups of a trainer's optimizer.

    Args:
        trainer: A view with `optimizer`.
        trained: The names of the parameters that train.
        frozen: The names of those that do not.
    """
    optimizer = trainer.child("optimizer") if trainer.sound("optimizer") else None
    if optimizer is None or not optimizer.get("parameter_groups"):
        return
    rules = read_rules(optimizer.get("parameter_groups"))
    for place, message in assignment_faults(rules, trained, frozen):
        yield optimizer.fault(place, message)
    left = _unnamed(rules, trained)
    if left and unfreezes(trainer):
        yield optimizer.fault("parameter_groups", default_group_fault(left))


def _unnamed(rules: Sequence[GroupRule], names: Sequence[str]) -> list[str]:
    return [name for name in names if not any(rule.holds(name) for rule in rules)]

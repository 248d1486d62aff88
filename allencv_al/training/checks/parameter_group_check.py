"""Checks of an optimizer's `parameter_groups`, and of what gradual unfreezing needs of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from allencv_al.training.learning_rate_schedulers.slanted_triangular import SlantedTriangular
from allencv_al.training.optimizers.parameter_groups import (
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
    left = [name for name in trained if not any(rule.holds(name) for rule in rules)]
    if left and _unfreezes(trainer):
        yield optimizer.fault("parameter_groups", default_group_fault(left))


def unfreezing_faults(trainer: ConfigView) -> Iterator[Fault]:
    """Yield what is wrong with gradual unfreezing in a trainer's config.

    The trainer has the number of epochs, its optimizer the groups, and its scheduler the option, so
    that none of them can check alone. For the trainer's `config_faults`.

    Args:
        trainer: A view with `num_epochs`, `optimizer` and `learning_rate_scheduler`.
    """
    groups = _trained_groups(trainer.get("optimizer"))
    for place, scheduler, epochs in _schedules(trainer):
        if not _is_gradual(scheduler) or not isinstance(epochs, int):
            continue
        if groups < 2:
            message = (
                "gradual unfreezing needs at least 2 groups in the optimizer's parameter_groups, "
                f"found {groups}"
            )
            yield trainer.fault("learning_rate_scheduler.gradual_unfreezing", message)
        elif message_of_epochs := SlantedTriangular.epoch_fault(groups, epochs):
            yield trainer.fault(place, message_of_epochs)


def _unfreezes(trainer: ConfigView) -> bool:
    """Return whether a trainer's config asks for gradual unfreezing at any time."""
    return any(_is_gradual(scheduler) for _, scheduler, _ in _schedules(trainer))


def _is_gradual(scheduler: Mapping[str, Any]) -> bool:
    is_slanted = scheduler.get("type") == "slanted_triangular"
    return is_slanted and scheduler.get("gradual_unfreezing") is True


def _trained_groups(optimizer: Any) -> int:
    groups = optimizer.get("parameter_groups") if isinstance(optimizer, Mapping) else None
    if not isinstance(groups, list):
        return 0
    return sum(not _is_frozen(group) for group in groups)


def _is_frozen(group: Any) -> bool:
    options = group[1] if isinstance(group, list) and len(group) > 1 else {}
    return isinstance(options, Mapping) and options.get("requires_grad") is False


def _schedules(trainer: ConfigView) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """Yield each schedule with its number of epochs and the key that gives that number."""
    scheduler = trainer.get("learning_rate_scheduler")
    if not isinstance(scheduler, Mapping):
        return
    here = "learning_rate_scheduler"
    if scheduler.get("type") == "combined":
        pairs = scheduler.get("schedulers")
        for index, pair in enumerate(pairs if isinstance(pairs, list) else []):
            if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], Mapping):
                yield _fewest(
                    (f"{here}.schedulers.{index}.0", pair[0]),
                    (f"{here}.schedulers.{index}.1.num_epochs", pair[1].get("num_epochs")),
                    pair[1],
                )
        return
    yield _fewest(
        ("num_epochs", trainer.get("num_epochs")),
        (f"{here}.num_epochs", scheduler.get("num_epochs")),
        scheduler,
    )


def _fewest(
    outer: tuple[str, Any], own: tuple[str, Any], scheduler: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any], Any]:
    """Return the smaller number of epochs: what ends first leaves groups untrained."""
    counts = [(place, epochs) for place, epochs in (outer, own) if isinstance(epochs, int)]
    place, epochs = min(counts, key=lambda count: count[1], default=(outer[0], None))
    return place, scheduler, epochs

"""What a trainer's config must agree on for gradual unfreezing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from allencv_al.training.learning_rate_schedulers.slanted_triangular import SlantedTriangular

if TYPE_CHECKING:
    from allencv_al.common.config.config_check import ConfigView
    from allencv_al.common.errors import Fault


def unfreezing_faults(trainer: ConfigView) -> Iterator[Fault]:
    """Yield what is wrong with gradual unfreezing in a trainer's config.

    The number of epochs stands in the trainer, the groups in its optimizer and the wish in its
    scheduler, so none of these can tell alone. Meant for the trainer's `config_faults`.

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


def unfreezes(trainer: ConfigView) -> bool:
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

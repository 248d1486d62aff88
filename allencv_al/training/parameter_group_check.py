"""Which parameters an experiment's `parameter_groups` take, found out before any data is read."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from allencv_al.data.vocabulary import Vocabulary
from allencv_al.modules.weights import building_without_weights
from allencv_al.training.optimizers.parameter_groups import (
    GroupRule,
    assignment_faults,
    default_group_fault,
    read_rules,
)
from allencv_al.training.unfreezing_check import unfreezes

if TYPE_CHECKING:
    from allencv_al.common.config_check import ConfigView
    from allencv_al.common.errors import Fault

logger = logging.getLogger(__name__)


def parameter_group_faults(experiment: ConfigView) -> Iterator[Fault]:
    """Yield what is wrong with the parameter groups of an experiment's optimizer.

    The model is built on the `meta` device, without weights and for two made-up labels. Where it
    cannot be built so, nothing is said here; the optimizer itself checks its groups again.

    Args:
        experiment: A view with `model` and `trainer`.
    """
    trainer = experiment.child("trainer")
    optimizer = trainer.child("optimizer") if trainer else None
    if trainer is None or optimizer is None or not optimizer.get("parameter_groups"):
        return
    if not (experiment.sound("model") and trainer.sound("optimizer", "no_grad")):
        return
    names = _parameter_names(experiment, trainer)
    if names is None:
        return
    rules = read_rules(optimizer.get("parameter_groups"))
    for place, message in assignment_faults(rules, *names):
        yield optimizer.fault(place, message)
    left = _unnamed(rules, names[0])
    if left and unfreezes(trainer):
        yield optimizer.fault("parameter_groups", default_group_fault(left))


def _parameter_names(
    experiment: ConfigView, trainer: ConfigView
) -> tuple[list[str], list[str]] | None:
    """Return the names of the parameters that train, and of those that do not."""
    try:
        parameters = dict(_model_on_meta(experiment).named_parameters())
    except Exception:  # whatever a model of someone else's does on "meta"
        logger.debug("the model cannot be built on meta", exc_info=True)
        return None
    no_grad = read_rules([[patterns]] if (patterns := trainer.get("no_grad")) else None)
    asleep = {
        name
        for name, parameter in parameters.items()
        if not parameter.requires_grad or any(rule.holds(name) for rule in no_grad)
    }
    return [name for name in parameters if name not in asleep], [
        name for name in parameters if name in asleep
    ]


def _model_on_meta(experiment: ConfigView) -> Any:
    stand_in = Vocabulary({"labels": {"a": 1, "b": 1}})
    with torch.device("meta"), building_without_weights():
        return experiment.build("model", vocab=stand_in, serialization_dir=None)


def _unnamed(rules: list[GroupRule], names: list[str]) -> list[str]:
    return [name for name in names if not any(rule.holds(name) for rule in rules)]

"""What a config with the block `active_learning` may describe, whatever trains."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol, Self

from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.settings import ActiveLearningSettings, name_in
from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationError

NOT_KEPT = "(not kept)"


class LoopExperiment(Protocol):
    """How labels are chosen, and what chance starts from; the learner knows the rest.

    Args:
        settings: The block `active_learning`.
        seeds: Of Python, NumPy and torch.
        secrets: Dotted keys of the config that no file of the run may hold.
    """

    settings: ActiveLearningSettings
    seeds: tuple[int, int, int]
    secrets: tuple[str, ...]

    @classmethod
    def from_checked(cls, params: Params) -> Self:
        """Build it from a config without faults."""


def experiment_class(params: Params) -> type[LoopExperiment]:
    """Return what a config describes, by the name of its learner."""
    block = params.as_dict().get("active_learning")
    if not isinstance(block, dict):
        return Learner.experiment_class()
    name = name_in(params.as_dict(), "learner", str(Learner.default_implementation))
    try:
        found = Learner.resolve(name)[0]
    except ConfigurationError:  # the check of the config says what is wrong with the name
        return Learner.experiment_class()
    return found.experiment_class() if issubclass(found, Learner) else Learner.experiment_class()


def without_secrets(params: Params, secrets: Sequence[str]) -> Params:
    """Return a config in which the values of some dotted keys are replaced."""
    config = copy.deepcopy(params.as_dict())
    for key in secrets:
        *above, name = key.split(".")
        place: Any = config
        for part in above:
            place = place.get(part) if isinstance(place, dict) else None
        if isinstance(place, dict) and place.get(name) is not None:
            place[name] = NOT_KEPT
    return Params(config)

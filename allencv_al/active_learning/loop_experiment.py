"""What a config with the block `active_learning` may describe, whatever trains."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol, Self

from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.settings import ActiveLearningSettings, name_in
from allencv_al.common import Params
from allencv_al.common.config.targets import subclass_of
from allencv_al.common.errors import ConfigurationError, Fault

NOT_KEPT = "(not kept)"


class LoopExperiment(Protocol):
    """How labels are chosen, and what chance starts from; the learner knows the rest.

    Args:
        settings: The block `active_learning`.
        seeds: Of Python, NumPy and torch.
        seed_keys: The keys of the config that they come from.
        secrets: Dotted keys of the config that no file of the run may hold.
        is_shared: Whether all runs of such a config drive one thing, which does one run at a time.
    """

    settings: ActiveLearningSettings
    seeds: tuple[int, int, int]
    seed_keys: ClassVar[Sequence[str]]
    secrets: ClassVar[Sequence[str]]
    is_shared: ClassVar[bool]

    @classmethod
    def from_checked(cls, params: Params) -> Self:
        """Build it from a config without faults."""

    def rehearse(self) -> None:
        """Do what a run does before it decodes the first image; write and download nothing."""

    @classmethod
    def comparison_faults(cls, params: Params) -> Iterator[Fault]:
        """Yield why runs of such a config cannot be compared, though each could be done."""


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
    return (subclass_of(found, Learner) or Learner).experiment_class()


def without_secrets(params: Params) -> Params:
    """Return a config as files of a run may hold it."""
    config = copy.deepcopy(params.as_dict())
    for key in experiment_class(params).secrets:
        *above, name = key.split(".")
        place: Any = config
        for part in above:
            place = place.get(part) if isinstance(place, dict) else None
        if isinstance(place, dict) and place.get(name) is not None:
            place[name] = NOT_KEPT
    return Params(config)

"""The experiment of a config with the block `active_learning`."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import torch
from overrides import overrides

from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.settings import (
    ActiveLearningSettings,
    first_query_faults,
    name_in,
    strategy_faults,
)
from allencv_al.common import Params
from allencv_al.common.config.config_check import ConfigView
from allencv_al.common.config.targets import Target, subclass_of
from allencv_al.common.errors import ConfigurationError, Fault
from allencv_al.models.model import Model, resolve_device
from allencv_al.modules.weights import without_downloads
from allencv_al.tasks.base import label_task
from allencv_al.training.checks.experiment_rules import image_shape_in
from allencv_al.training.experiment import Experiment
from allencv_al.training.trainers.base import Trainer

NOT_KEPT = "(not kept)"


class LoopExperiment(Protocol):
    """The settings of the loop and its seed; the learner has the rest.

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
        """Yield the faults of a config whose runs work one by one but cannot be compared."""


class ActiveLearningExperiment(Experiment):
    """An experiment whose labels are chosen by active learning.

    Args:
        active_learning: Settings of the loop. Default: `margin`, 20 items a round, to the end.
        kwargs: The keys of every experiment.
    """

    def __init__(
        self, active_learning: ActiveLearningSettings | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.settings = active_learning or ActiveLearningSettings()
        self.settings.fit_strategies(self.task)

    seed_keys: ClassVar[Sequence[str]] = ("random_seed", "numpy_seed", "pytorch_seed")
    secrets: ClassVar[Sequence[str]] = ()
    is_shared: ClassVar[bool] = False

    device: torch.device
    """The device of the model, from the trainer's `cuda_device`."""

    @classmethod
    @overrides
    def from_checked(cls, params: Params) -> Self:
        experiment = super().from_checked(params)
        experiment.device = _trainer_device(params.as_dict().get("trainer"))
        return experiment

    @overrides
    def rehearse(self) -> None:
        with without_downloads():
            self.settings.learner.construct(experiment=self, cache_folder=Path()).rehearse()

    @classmethod
    def comparison_faults(cls, params: Params) -> Iterator[Fault]:
        """Yield nothing: every such config can be compared."""
        yield from ()

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        yield from super().config_faults(config)
        block = config.child("active_learning")
        fraction = block.get("test_fraction") if block is not None else None
        if fraction is not None and config.get("test_data_path") is not None:
            yield config.fault(
                "active_learning.test_fraction", "expected it or test_data_path, found both"
            )
        if config.get("validation_fraction") is not None:
            yield config.fault(
                "validation_fraction",
                "the loop learns from all labels of a round, and labels that a strategy chose "
                "measure nothing: leave it out, and measure by active_learning.audit",
            )
        if block is not None:
            model = config.child("model")
            model_class = None if model is None else subclass_of(model.cls, Model)
            predicts = model_class is not None and model_class.predicts_untrained
            yield from first_query_faults(block, predicts)
            if model is not None and model_class is not None:
                yield from strategy_faults(block, label_task(model_class.task_in(model)))
        if block is None or block.get("cache_embeddings") is True:
            yield from _chance_faults(config)


def _trainer_device(trainer: Any) -> torch.device:
    """Return the device of the config's trainer, on which the model also infers before training."""
    config = {"type": trainer} if isinstance(trainer, str) else dict(trainer)
    target = Target(*Trainer.resolve(config.get("type", Trainer.default_implementation)))
    argument = target.signature.arguments.get("cuda_device")
    if argument is None:
        return torch.device("cpu")
    return resolve_device(config.get("cuda_device", argument.default))


def _chance_faults(config: ConfigView) -> Iterator[Fault]:
    """Yield the random transforms of images whose embeddings are cached."""
    model = config.child("model")
    model_class = None if model is None else subclass_of(model.cls, Model)
    if model is None or model_class is None:
        return
    try:
        shape = image_shape_in(config)
    except ConfigurationError:  # the check of an experiment tells
        return
    if not model_class.fixed_embedding_in(model, shape):
        return
    for name in ("dataset_reader", "validation_dataset_reader"):
        if not config.sound(name) or config.get(name) is None:
            continue
        reader = config.build(name)
        for index, step in enumerate(reader.augmentation):
            if step.is_random:
                yield config.fault(
                    f"{name}.augmentation.{index}",
                    f"{type(step).__name__} changes a picture by chance, but with an encoder that "
                    "does not train each picture is encoded once: leave it out, or set "
                    "active_learning.cache_embeddings to false to encode anew in every epoch",
                )


def experiment_class(params: Params) -> type[LoopExperiment]:
    """Return the class that a config describes, by the name of its learner."""
    block = params.as_dict().get("active_learning")
    if not isinstance(block, dict):
        return ActiveLearningExperiment
    name = name_in(params.as_dict(), "learner", str(Learner.default_implementation))
    try:
        learner = subclass_of(Learner.resolve(name)[0], Learner)
    except ConfigurationError:  # the check of the config reports the name
        learner = None
    described = None if learner is None else learner.experiment_class()
    return described or ActiveLearningExperiment


def without_secrets(params: Params) -> Params:
    """Return the config that the files of a run hold: secrets are replaced."""
    config = copy.deepcopy(params.as_dict())
    for key in experiment_class(params).secrets:
        # A config may lack any part of the path, or have another value there
        *above, name = key.split(".")
        place: Any = config
        for part in above:
            place = place.get(part) if isinstance(place, dict) else None
        if isinstance(place, dict) and place.get(name) is not None:
            place[name] = NOT_KEPT
    return Params(config)

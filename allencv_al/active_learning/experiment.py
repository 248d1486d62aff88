"""`ActiveLearningExperiment`: a config with the block `active_learning`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from overrides import overrides

from allencv_al.active_learning.settings import ActiveLearningSettings
from allencv_al.common.config_check import ConfigView
from allencv_al.common.errors import Fault
from allencv_al.models.model import Model
from allencv_al.training.experiment import Experiment


class ActiveLearningExperiment(Experiment):
    """One config file that says what is trained, and how its labels are chosen.

    Args:
        active_learning: How labels are chosen. Default: `margin`, 20 items a round, to the end.
        kwargs: The keys of every experiment.
    """

    def __init__(
        self, active_learning: ActiveLearningSettings | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.settings = active_learning or ActiveLearningSettings()

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
        if block is None or block.get("cache_embeddings") is True:
            yield from _chance_faults(config)


def _chance_faults(config: ConfigView) -> Iterator[Fault]:
    """Yield the random transforms of images that are to be encoded once."""
    model = config.child("model")
    if model is None or not issubclass(model.cls, Model) or not model.cls.fixed_embedding_in(model):
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

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.learners.experiment_learner import ExperimentLearner
from allencv_al.active_learning.run import make_learner
from allencv_al.common import Params
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.instance import Instance
from allencv_al.models.basic_classifier import BasicImageClassifier


@pytest.fixture
def learner_of() -> Callable[..., ExperimentLearner]:
    """Return a function that makes the learner of a config."""

    def make(config: dict[str, Any], cache_folder: Path) -> ExperimentLearner:
        experiment = ActiveLearningExperiment.from_checked(Params(config))
        learner = make_learner(experiment, cache_folder)
        assert isinstance(learner, ExperimentLearner)
        return learner

    return make


class Counts:
    """What was decoded, and how many images were encoded."""

    def __init__(self) -> None:
        self.decoded: list[str] = []
        self.encoded = 0

    def reset(self) -> None:
        self.decoded.clear()
        self.encoded = 0


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Count the images that readers decode and models encode."""
    found = Counts()
    decode, embed = DatasetReader.decode, BasicImageClassifier.embed

    def counted_decode(self: DatasetReader, instance: Instance) -> Any:
        found.decoded.append(instance.id)
        return decode(self, instance)

    def counted_embed(self: BasicImageClassifier, image: torch.Tensor) -> torch.Tensor:
        found.encoded += len(image)
        return embed(self, image)

    monkeypatch.setattr(DatasetReader, "decode", counted_decode)
    monkeypatch.setattr(BasicImageClassifier, "embed", counted_embed)
    return found

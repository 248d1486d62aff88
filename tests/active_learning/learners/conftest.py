from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.encoded_images import note_encoded

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.learners.experiment_learner import ExperimentLearner
from allencv_al.active_learning.run import make_learner
from allencv_al.common import Params
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.instance import Instance


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

    def __init__(self, batches: list[int]) -> None:
        self.decoded: list[str] = []
        self._batches = batches

    @property
    def encoded(self) -> int:
        return sum(self._batches)

    def reset(self) -> None:
        self.decoded.clear()
        self._batches.clear()


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Count the images that readers decode and models encode."""
    found = Counts(note_encoded(monkeypatch))
    decode = DatasetReader.decode

    def counted_decode(self: DatasetReader, instance: Instance) -> Any:
        found.decoded.append(instance.id)
        return decode(self, instance)

    monkeypatch.setattr(DatasetReader, "decode", counted_decode)
    return found

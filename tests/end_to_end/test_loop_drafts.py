"""Rounds of masks and boxes come to the annotator with what the model predicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.loop import ActiveLearningLoop
from allencv_al.active_learning.run import make_learner
from allencv_al.common import Params
from allencv_al.data.sample_data.shapes import write_shapes
from allencv_al.labels.annotators.base import LabelRequest
from allencv_al.labels.annotators.ground_truth import GroundTruthAnnotator
from allencv_al.labels.label_store import NewLabel
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase

CONFIGS = Path(__file__).parents[2] / "training_config"


class Shown(GroundTruthAnnotator):
    """The labels of the data, given on a page that shows drafts."""

    shows_drafts = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[LabelRequest] = []

    def annotate(self, request: LabelRequest) -> list[NewLabel]:
        self.requests.append(request)
        return super().annotate(request)


def loop_of(name: str, folder: Path, annotator: GroundTruthAnnotator) -> ActiveLearningLoop:
    """Return the loop of a config of shapes: 12 images, rounds of 4, one epoch each."""
    shapes = write_shapes(folder / "shapes", counts={"train": 12, "validation": 4, "test": 4})
    overrides = {
        "trainer.num_epochs": 1,
        "trainer.cuda_device": -1,
        "active_learning.query_size": 4,
        "active_learning.budget": 12,
    }
    params = Params.from_file(
        CONFIGS / name, json.dumps(overrides), ext_vars={"SHAPES_PATH": str(shapes)}
    )
    experiment = ActiveLearningExperiment.from_checked(params)
    learner = make_learner(experiment, folder / "embeddings")
    experiment.settings.annotator = annotator
    database = RunDatabase(folder / DATABASE_NAME)
    return ActiveLearningLoop(learner, experiment.settings, database, folder, experiment.seeds[0])


@pytest.mark.parametrize(
    "name",
    ["shapes_masks.jsonnet", pytest.param("shapes_boxes.jsonnet", marks=pytest.mark.slow)],
)
def test_a_trained_model_drafts_what_it_asks_for(name: str, tmp_path: Path) -> None:
    annotator = Shown()
    loop = loop_of(name, tmp_path, annotator)
    loop.run()
    first, *later = annotator.requests
    assert not first.drafts, "no model yet"
    assert len(later) == 2
    task: Any = loop.learner.task
    for request in later:
        ids = [item.id for item in request.items]
        assert list(request.drafts) == ids
        for item in request.items:
            text, probability = request.drafts[item.id]
            assert 0 <= probability <= 1
            assert task.is_labeled(task.labeled(item, text))
        assert [pick.draft for pick in request.picks()] == [request.drafts[id] for id in ids]
        assert not request.predicted, "a caption is no label"


def test_drafts_cost_nothing_where_they_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = loop_of("shapes_masks.jsonnet", tmp_path, GroundTruthAnnotator())
    monkeypatch.setattr(loop.learner, "drafts", lambda ids: pytest.fail("a second inference"))
    loop.run()


@pytest.mark.slow
def test_a_round_counts_the_boxes_of_its_labels(tmp_path: Path) -> None:
    loop = loop_of("shapes_boxes.jsonnet", tmp_path, GroundTruthAnnotator())
    last = loop.run()[-1]
    boxes = {item.id: len(item.boxes or ()) for item in loop.learner.items}
    assert last.labels == len(boxes) == 12
    assert last.objects == sum(boxes.values()) > 12

"""The same experiment in this process and over HTTP gives the same picks, labels and curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.learners.base import Learner, TestOutputs
from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.active_learning.run import RunOptions, active_learn, make_learner
from allencv_al.common import Params
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.service.pipeline import Pipeline

MakeConfig = Callable[..., dict[str, Any]]


class OurLearner:
    """The functions of a pipeline in which a learner of this package trains."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.items = list(learner.items)

    def train(self, args: Any, labeled: Any, resume_from: Any, ckpt_file: Any, labels: Any) -> None:
        assert sorted(labels) == labeled
        folder = Path(args["EXPT_DIR"]) / "rounds" / f"{args['cur_loop'] + 1:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        named = {self.items[record].id: label for record, label in labels.items()}
        self.learner.train(args["cur_loop"] + 1, named, folder)

    def test(self, args: Any, ckpt_file: Any) -> Any:
        found = self.learner.test()
        assert isinstance(found, TestOutputs)
        predictions = found.logits.argmax(axis=1)
        return {"predictions": predictions, "labels": found.labels, "outputs": found.logits}

    def infer(self, args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        ids = [self.items[record].id for record in unlabeled]
        found = self.learner.infer(ids, {"logits", "embeddings"}, None)
        assert found.logits is not None and found.embeddings is not None
        rows = zip(found.logits, found.embeddings, strict=True)
        outputs = [{"pre_softmax": logits, "embedding": vector} for logits, vector in rows]
        return {"outputs": dict(zip(unlabeled, outputs, strict=True))}

    def state(self) -> Any:
        return {
            index: {"id": item.id, "label": item.label} for index, item in enumerate(self.items)
        }


_SHARED = ("strategy", "initial", "query_size", "budget", "retrain")


def run(config: dict[str, Any], folder: Path) -> list[RoundRecord]:
    return active_learn(Params(config), folder, RunOptions(files=False))


def labels_of(folder: Path) -> list[tuple[Any, ...]]:
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        events = LabelStore(database).events()
    return [(event.id, event.label, event.round) for event in events]


def curve_of(records: Sequence[RoundRecord]) -> list[Any]:
    return [(record.labels, record.metrics, record.confusion_matrix) for record in records]


@pytest.mark.parametrize(
    ("strategy", "network"),
    [
        ("margin", False),
        ("random", False),
        ("badge", False),
        ("k_center", False),
        ("margin", True),
        ("badge", True),
        pytest.param("random", True, marks=pytest.mark.slow),
        pytest.param("k_center", True, marks=pytest.mark.slow),
    ],
)
def test_in_process_and_over_http(
    strategy: str,
    network: bool,
    linear_config: MakeConfig,
    network_config: MakeConfig,
    tmp_path: Path,
) -> None:
    retrain = "warm" if network else "cold"
    make = network_config if network else linear_config
    ours = make(strategy=strategy, budget=16, retrain=retrain)
    here = run(ours, tmp_path / "here")
    experiment = ActiveLearningExperiment.from_checked(Params(ours))
    learner = make_learner(experiment, tmp_path / "embeddings")
    parts = OurLearner(learner)
    pipeline = Pipeline(
        "ours",
        *(parts.train, parts.test, parts.infer, parts.state),
        args={"EXPT_DIR": str(tmp_path / "pipeline")},
        class_labels=dict(enumerate(learner.class_names())),
    )
    server = pipeline.start()
    try:
        pipeline_learner = {"type": "pipeline", "url": server.url, "embeddings": True}
        block = {key: ours["active_learning"][key] for key in _SHARED}
        there = run({"active_learning": {**block, "learner": pipeline_learner}}, tmp_path / "there")
    finally:
        server.close()
    assert [record.picks for record in there] == [record.picks for record in here]
    assert labels_of(tmp_path / "there") == labels_of(tmp_path / "here")
    assert curve_of(there) == curve_of(here)
    assert len(here) == 5 and here[-1].metrics["coverage_radius"] is not None

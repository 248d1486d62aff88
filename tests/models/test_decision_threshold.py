"""The threshold of a rare class, against scikit-learn and by brute force."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.loop_projects import Project, write_pictures
from sklearn.metrics import f1_score, precision_score, recall_score

from allencv_al.__main__ import main
from allencv_al.common import ConfigurationError, Params
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.archive import load_archive
from allencv_al.models.decision_threshold import DecisionThreshold
from allencv_al.models.model import Model


def scores(count: int, seed: int, digits: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits of three classes, of which the last is rare, and labels."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, count, p=[0.5, 0.4, 0.1])
    logits = generator.normal(0, 1.5, (count, 3)) + 2 * np.eye(3)[labels] - [0, 0, 2]
    logits = logits if digits is None else logits.round(digits)
    return torch.from_numpy(logits), torch.from_numpy(labels)


def fitted(logits: torch.Tensor, labels: torch.Tensor) -> DecisionThreshold:
    decision = DecisionThreshold(2)
    decision.fit(decision.log_odds(logits).numpy(), (labels == 2).numpy())
    return decision


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("digits", [None, 0])  # with equal scores
def test_no_other_threshold_has_a_larger_f1_score(seed: int, digits: int | None) -> None:
    logits, labels = scores(80, seed, digits)
    decision = fitted(logits, labels)
    own = (labels == 2).numpy()
    found = f1_score(own, (decision.decide(logits) == 2).numpy())
    odds = decision.log_odds(logits).numpy()
    every = [f1_score(own, odds >= threshold) for threshold in np.unique(odds)]
    assert found == pytest.approx(max(every))


def test_below_the_threshold_the_likeliest_other_class_is_predicted() -> None:
    logits, labels = scores(300, 0)
    decision = fitted(logits, labels)
    decided = decision.decide(logits)
    others = decided != 2
    assert torch.equal(decided[others], logits[others, :2].argmax(dim=1))
    assert (logits[others].argmax(dim=1) == 2).any() or (decided == 2).sum() > 0


def test_figures_are_scikit_learns() -> None:
    logits, labels = scores(300, 1)
    decision = fitted(logits, labels)
    for part in (slice(0, 100), slice(100, 300)):
        decision.count(logits[part], labels[part])
    found = decision.metrics(reset=True)
    gold, predicted = (labels == 2).numpy(), (decision.decide(logits) == 2).numpy()
    assert found["decision_precision"] == pytest.approx(precision_score(gold, predicted))
    assert found["decision_recall"] == pytest.approx(recall_score(gold, predicted))
    assert found["decision_f1"] == pytest.approx(f1_score(gold, predicted))
    odds = np.log(found["decision_threshold"] / (1 - found["decision_threshold"]))
    assert odds == pytest.approx(float(decision.threshold))


@pytest.mark.parametrize("label", [0, 2])
def test_images_of_one_side_alone_make_no_threshold(label: int) -> None:
    logits, _ = scores(20, 0)
    decision = fitted(logits, torch.full((20,), label))
    assert not decision.fitted
    assert torch.equal(decision.decide(logits), logits.argmax(dim=1))
    assert decision.metrics() == {}


def test_a_class_that_does_not_exist_is_a_mistake() -> None:
    config = {
        "type": "basic_image_classifier",
        "im2vec_encoder": {"type": "pool", "input_channels": 3},
        "decision_class": "owls",
    }
    vocabulary = Vocabulary({"labels": {"cat": 1, "owl": 1}})
    with pytest.raises(ConfigurationError, match=r'decision_class: "owls" is no class.*owl'):
        Model.from_params(Params(config), vocab=vocabulary)


def of_owls(project: Project, **model: Any) -> None:
    project.config["model"] |= {"decision_class": "owl", **model}
    pictures = write_pictures(project.folder / "validation", count=5, first=70)
    project.config["validation_data_path"] = str(pictures)


def test_the_archive_keeps_the_threshold_and_predict_uses_it(project: Project) -> None:
    of_owls(project)
    del project.config["active_learning"]
    project.config["trainer"]["inverse_regularization"] = 1e-6  # hardly sure of anything
    assert project.run(command="train") == 0
    metrics = json.loads((project.run_folder / "metrics.json").read_text())
    assert metrics["validation_decision_f1"] == 1.0
    archive = project.run_folder / "model.tar.gz"
    model = load_archive(archive).model
    assert model.decision_threshold.fitted
    threshold = metrics["validation_decision_threshold"]
    assert float(model.decision_threshold.threshold.sigmoid()) == pytest.approx(threshold)
    out = project.folder / "found.jsonl"
    pictures = project.config["train_data_path"]
    assert main(["predict", str(archive), pictures, "--output-file", str(out)]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["class"] for line in lines} >= {"owl"}
    for line in lines:
        assert (line["class"] == "owl") == (line["probs"][2] >= threshold)
    figures = project.folder / "figures.json"
    assert main(["evaluate", str(archive), pictures, "--output-file", str(figures)]) == 0
    assert json.loads(figures.read_text())["decision_f1"] == 1.0


def test_a_training_in_steps_has_a_threshold_too(project: Project) -> None:
    of_owls(project)
    del project.config["active_learning"]
    project.config["trainer"] = {"num_epochs": 2, "cuda_device": -1}
    assert project.run(command="train") == 0, project.err
    assert load_archive(project.run_folder / "model.tar.gz").model.decision_threshold.fitted


def test_each_round_of_a_loop_has_a_threshold(project: Project) -> None:
    of_owls(project)
    assert project.run() == 0, project.err
    model = load_archive(project.run_folder / "model.tar.gz").model
    assert model.decision_threshold.fitted


def test_without_validation_images_it_is_a_fault_of_the_config(project: Project) -> None:
    project.config["model"]["decision_class"] = "owl"
    assert project.run(command="train") != 0
    assert "model.decision_class: needs validation_data_path" in project.err

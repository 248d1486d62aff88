"""The learner that is the model and the trainer of a config."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from overrides import overrides

from allencv_al.active_learning.learners.experiment_learner import (
    TRAINING_FOLDER,
    WEIGHTS_NAME,
    ExperimentLearner,
)
from allencv_al.active_learning.learners.model_state import (
    shrink_and_perturb,
    trained_state,
    write_state,
)
from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.common.config import registrable
from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.labels.annotators.base import WaitingForLabels
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.models.archive import load_archive
from allencv_al.models.model import Model
from allencv_al.predictors.predictor import Predictor
from allencv_al.training.callbacks.base import TrainerCallback
from allencv_al.training.checkpoints.checkpoint_files import read_weights
from allencv_al.training.experiment import Experiment
from allencv_al.training.trainers.training_loop import TrainingLoop

MakeConfig = Callable[..., dict[str, Any]]
MakeDigits = Callable[..., Path]
LearnerOf = Callable[..., ExperimentLearner]
Weights = Mapping[str, torch.Tensor]


def some_labels(learner: ExperimentLearner, per_class: int = 3) -> dict[str, str]:
    """Return the first few items of each class as if they had been labeled."""
    found: dict[str, list[str]] = {}
    for item in learner.items:
        assert item.label is not None
        found.setdefault(item.label, []).append(item.id)
    return {id: label for label, ids in found.items() for id in ids[:per_class]}


def same(first: Weights, second: Weights) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def ids_of(learner: ExperimentLearner) -> list[str]:
    return [item.id for item in learner.items]


def few_labels(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config that learns from few labels: scaled embeddings and a prior from the pool."""
    trainer = {
        "type": "logistic_regression",
        "prior": "label_spreading",
        "inverse_regularization": "auto",
    }
    model = {**config["model"], "embedding_scaling": "center_l2"}
    return {**config, "model": model, "trainer": trainer}


# --- the model ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "scaled", "network"])
def test_the_archive_predicts_what_the_learner_infers(
    linear_config: MakeConfig,
    network_config: MakeConfig,
    learner_of: LearnerOf,
    tmp_path: Path,
    kind: str,
) -> None:
    config = network_config() if kind == "network" else linear_config()
    config["active_learning"]["precision"] = "fp32"  # that of `predict`
    if kind == "scaled":
        config = few_labels(config)
    learner = learner_of(config, tmp_path / "cache")
    labels = some_labels(learner)
    (tmp_path / "run").mkdir()
    Params(config).to_file(tmp_path / "run" / "config.json")
    learner.train(1, labels, tmp_path / "run" / "rounds" / "0001")
    found = learner.infer(ids_of(learner), {"logits", "embeddings"}, None)
    predictor = Predictor.from_path(learner.write_archive(tmp_path / "run"))
    assert found.logits is not None and found.embeddings is not None
    expected = predictor.predict_logits(list(learner.items))
    np.testing.assert_allclose(found.logits, expected, rtol=1e-4, atol=1e-5)
    embeddings = predictor.embed(list(learner.items))
    np.testing.assert_allclose(found.embeddings, embeddings, rtol=1e-5, atol=1e-6)
    assert learner.class_names() == ["one", "two", "zero"]


@pytest.mark.parametrize("kind", ["linear", "scaled", "network"])
def test_another_process_goes_on_with_the_very_model(
    linear_config: MakeConfig,
    network_config: MakeConfig,
    learner_of: LearnerOf,
    tmp_path: Path,
    kind: str,
) -> None:
    config = network_config() if kind == "network" else linear_config()
    if kind == "scaled":
        config = few_labels(config)
    config["model"]["dropout"] = 0.3
    needs = {"logits", "mc_logits", "embeddings"}
    first = learner_of(config, tmp_path / "cache")
    labels, folder = some_labels(first), tmp_path / "rounds" / "0001"
    first.train(1, labels, folder)
    expected, tested = first.infer(ids_of(first), needs, None), first.test()
    second = learner_of(config, tmp_path / "cache")
    second.restore(1, labels, folder)
    found, tested_again = second.infer(ids_of(second), needs, None), second.test()
    for name in needs:
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert tested is not None and tested_again is not None
    assert np.array_equal(tested.logits, tested_again.logits)
    assert np.array_equal(tested.labels, tested_again.labels)


def test_embeddings_are_centered_by_the_pool_and_not_by_the_labeled_images(
    linear_config: MakeConfig, learner_of: LearnerOf, tmp_path: Path
) -> None:
    plain = learner_of(linear_config(), tmp_path / "cache")
    pool = plain.infer(ids_of(plain), {"embeddings"}, None).embeddings
    learner = learner_of(few_labels(linear_config()), tmp_path / "cache")
    labels = some_labels(learner)
    found = learner.infer(ids_of(learner), {"embeddings"}, None).embeddings
    assert pool is not None and found is not None
    centered = pool - pool.mean(axis=0)
    expected = centered / np.linalg.norm(centered, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    learner.train(1, labels, tmp_path / "run" / "0001")
    after = learner.infer(ids_of(learner), {"embeddings"}, None).embeddings
    np.testing.assert_array_equal(after, found)


def test_a_larger_pool_moves_the_center_from_the_next_training_on(
    linear_config: MakeConfig, learner_of: LearnerOf, tmp_path: Path
) -> None:
    config = few_labels(linear_config())
    before = learner_of(config, tmp_path / "cache")
    labels, folder = some_labels(before), tmp_path / "run" / "0001"
    before.train(1, labels, folder)
    moved = before.model
    assert moved.embedding_scaling is not None
    moved.embedding_scaling.mean.add_(1.0)  # as if the pool had been another one
    write_state(folder / WEIGHTS_NAME, moved)
    after = learner_of(config, tmp_path / "cache")
    after.restore(1, labels, folder)
    after.infer(ids_of(after), {"logits"}, None)
    scaling = after.model.embedding_scaling
    assert scaling is not None
    assert torch.equal(scaling.mean, moved.embedding_scaling.mean)
    after.train(2, labels, tmp_path / "run" / "0002")
    assert torch.allclose(scaling.mean, moved.embedding_scaling.mean - 1.0, atol=1e-5)


def test_the_same_labels_train_the_same_model_whatever_came_before(
    network_config: MakeConfig, learner_of: LearnerOf, tmp_path: Path
) -> None:
    learner = learner_of(network_config(), tmp_path / "cache")
    labels = some_labels(learner)
    learner.train(1, labels, tmp_path / "a" / "0001")
    first = trained_state(learner.model)
    learner.train(2, some_labels(learner, 6), tmp_path / "a" / "0002")
    assert not same(first, trained_state(learner.model))
    torch.rand(7)
    learner.train(1, labels, tmp_path / "b" / "0001")
    assert same(first, trained_state(learner.model))


# --- what a round starts from ---------------------------------------------------------------------


@pytest.mark.parametrize("trainer", ["logistic_regression", "gradient_descent"])
def test_balanced_weights_are_those_of_the_labels_of_each_round(
    linear_config: MakeConfig, learner_of: LearnerOf, tmp_path: Path, trainer: str
) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    config = linear_config(strategy="random")
    config["model"]["class_weights"] = "balanced"
    config["trainer"] = {"type": trainer, "cuda_device": -1}
    if trainer == "gradient_descent":
        config["trainer"] |= {"optimizer": "sgd", "num_epochs": 2}
    run(config, tmp_path / "run")
    with RunDatabase(tmp_path / "run" / DATABASE_NAME, create=False) as database:
        events = LabelStore(database).events()
    distinct = set()
    for round in (1, 2, 3):
        labels = {event.id: str(event.label) for event in events if event.round < round}
        classes = sorted(set(labels.values()))
        given = compute_class_weight("balanced", classes=np.array(classes), y=list(labels.values()))
        by_class = dict(zip(classes, given.tolist(), strict=True))
        expected = [by_class.get(name, 1.0) for name in ("one", "two", "zero")]
        folder = tmp_path / "run" / "rounds" / f"{round:04d}"
        found = read_weights(folder / WEIGHTS_NAME)["_class_weights"]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        distinct.add(tuple(expected))
    assert len(distinct) > 1
    # A process that resumes after the training measures and archives with the same weights
    resumed = learner_of(config, tmp_path / "cache")
    resumed.restore(3, labels, folder)
    (tmp_path / "archive").mkdir()
    Params(config).to_file(tmp_path / "archive" / "config.json")
    archived = load_archive(resumed.write_archive(tmp_path / "archive")).model
    np.testing.assert_allclose(archived.class_weights, expected, rtol=1e-6)


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Weights]:
    """A list that gets the weights with which each training begins."""
    found: list[Weights] = []
    make_trainer = Experiment.make_trainer

    def watched(self: Experiment, model: Model, *args: Any, **kwargs: Any) -> Any:
        found.append(trained_state(model))
        return make_trainer(self, model, *args, **kwargs)

    monkeypatch.setattr(Experiment, "make_trainer", watched)
    return found


def run(config: dict[str, Any], folder: Path, **options: Any) -> Any:
    return active_learn(Params(config), folder, RunOptions(files=False, **options))


def weights_of(folder: Path, round: int) -> Weights:
    return read_weights(folder / "rounds" / f"{round:04d}" / WEIGHTS_NAME)


def descending(linear_config: MakeConfig, **keys: Any) -> dict[str, Any]:
    """Return the config of a last layer that is trained by gradient descent, on embeddings."""
    trainer = {"type": "gradient_descent", "num_epochs": 1, "cuda_device": -1}
    return linear_config(_trainer=trainer, **keys)


@pytest.mark.parametrize("kind", ["linear", "network"])
def test_a_cold_start_is_the_initial_model(
    linear_config: MakeConfig,
    network_config: MakeConfig,
    tmp_path: Path,
    starts: list[Weights],
    kind: str,
) -> None:
    config = descending(linear_config) if kind == "linear" else network_config()
    run(config, tmp_path)
    assert len(starts) == 3
    assert same(starts[0], starts[1]) and same(starts[0], starts[2])
    assert not same(starts[0], weights_of(tmp_path, 1))


@pytest.mark.parametrize("kind", ["linear", "network"])
def test_a_warm_start_is_the_model_of_the_round_before(
    linear_config: MakeConfig,
    network_config: MakeConfig,
    tmp_path: Path,
    starts: list[Weights],
    kind: str,
) -> None:
    config = descending(linear_config) if kind == "linear" else network_config()
    config["active_learning"]["retrain"] = "warm"
    run(config, tmp_path)
    assert same(starts[1], weights_of(tmp_path, 1))
    assert same(starts[2], weights_of(tmp_path, 2))
    assert not same(starts[0], starts[1])


def test_a_shrunk_start_is_a_part_of_it_with_noise(
    network_config: MakeConfig, tmp_path: Path, starts: list[Weights]
) -> None:
    config = network_config(retrain="shrink_perturb", shrink=0.4, perturb=0.02)
    run(config, tmp_path)
    model = Model.from_params(config["model"], vocab=_vocabulary())
    for round in (1, 2):
        before = weights_of(tmp_path, round)
        assert same(starts[round], shrink_and_perturb(before, model, 0.4, 0.02, 133 + round + 1))
    noise = starts[1]["_classification_layer.weight"] - 0.4 * weights_of(tmp_path, 1).get(
        "_classification_layer.weight", torch.zeros(())
    )
    assert float(noise.std()) == pytest.approx(0.02, rel=0.1)


def _vocabulary() -> Any:
    from allencv_al.data.vocabulary import Vocabulary

    return Vocabulary({"labels": {"one": 1, "two": 1, "zero": 1}})


# --- trainings that are interrupted ---------------------------------------------------------------


class _KilledError(Exception):
    pass


def test_a_training_goes_on_from_its_own_checkpoint(
    network_config: MakeConfig,
    learner_of: LearnerOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = network_config()
    config["trainer"]["num_epochs"] = 3
    whole = learner_of(config, tmp_path / "cache")
    labels = some_labels(whole)
    whole.train(1, labels, tmp_path / "whole" / "0001")
    begin = TrainingLoop._train_epoch

    def killed_in_the_third(self: TrainingLoop) -> None:
        if self.epochs_completed == 2:
            raise _KilledError
        begin(self)

    monkeypatch.setattr(TrainingLoop, "_train_epoch", killed_in_the_third)
    folder = tmp_path / "killed" / "0001"
    with pytest.raises(_KilledError):
        learner_of(config, tmp_path / "cache").train(1, labels, folder)
    monkeypatch.setattr(TrainingLoop, "_train_epoch", begin)
    assert (folder / TRAINING_FOLDER / "checkpoints" / "e2_b0").is_dir()
    again = learner_of(config, tmp_path / "cache")
    with caplog.at_level(logging.INFO):
        again.train(1, labels, folder)
    assert "recovering from checkpoint e2_b0" in caplog.text
    assert same(trained_state(whole.model), trained_state(again.model))


@pytest.mark.parametrize("swept", [True, False])
def test_a_training_that_was_complete_but_not_recorded_is_done_again(
    network_config: MakeConfig, learner_of: LearnerOf, tmp_path: Path, swept: bool
) -> None:
    """Killed while its checkpoints were swept away: what is left of them is good for nothing."""
    config, folder = network_config(), tmp_path / "rounds" / "0001"
    learner = learner_of(config, tmp_path / "cache")
    labels = some_labels(learner)
    learner.train(1, labels, folder)
    expected = trained_state(learner.model)
    if not swept:
        checkpoint = folder / TRAINING_FOLDER / "checkpoints" / "e1_b0"
        checkpoint.mkdir(parents=True)
        (checkpoint / "manifest.json").write_text("{")
    again = learner_of(config, tmp_path / "cache")
    again.train(1, labels, folder)
    assert same(expected, trained_state(again.model))


def test_of_a_finished_training_figures_stay_and_no_weights(
    network_config: MakeConfig, tmp_path: Path
) -> None:
    run(network_config(budget=8), tmp_path)
    folder = tmp_path / "rounds" / "0001"
    assert (folder / TRAINING_FOLDER / "metrics.json").is_file()
    assert {path.suffix for path in (folder / TRAINING_FOLDER).iterdir()} == {".json"}
    assert {path.name for path in folder.iterdir()} == {TRAINING_FOLDER, WEIGHTS_NAME}


class Writes(TrainerCallback):
    """A callback of a user's own that writes what it likes, weights and folders too."""

    @overrides
    def on_start(self, trainer: TrainingLoop, is_primary: bool = True) -> None:
        assert self.serialization_dir is not None
        (self.serialization_dir / "pictures").mkdir(exist_ok=True)
        for name in ("notes.txt", "my.pt", "pictures/1.svg"):
            with (self.serialization_dir / name).open("a") as file:
                file.write("x")


def test_what_callbacks_write_stays(
    network_config: MakeConfig,
    learner_of: LearnerOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(registrable._registries[TrainerCallback], "writes", (Writes, None))
    config, folder = network_config(), tmp_path / "rounds" / "0001"
    config["trainer"]["callbacks"] = ["writes"]
    learner = learner_of(config, tmp_path / "cache")
    labels = some_labels(learner)
    for times in (1, 2):  # once more: the run was killed before it had recorded the training
        learner.train(1, labels, folder)
        written = folder / TRAINING_FOLDER
        for name in ("notes.txt", "my.pt", "pictures/1.svg"):
            assert (written / name).read_text() == "x" * times
        assert not (written / "checkpoints").exists()
        assert not (written / "best.safetensors").exists()


def test_a_cached_training_shows_itself_only_if_the_config_says_so(
    linear_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[bool] = []
    train = TrainingLoop.train

    def watched(self: TrainingLoop, recover: bool = False) -> Any:
        shown.append(self.show_progress)
        return train(self, recover)

    monkeypatch.setattr(TrainingLoop, "train", watched)
    config = descending(linear_config, budget=4)
    run(config, tmp_path / "a")
    config["trainer"]["enable_default_callbacks"] = True
    run(config, tmp_path / "b")
    assert shown == [False, True]


# --- classes that are not known at first ----------------------------------------------------------


def unlabeled(config: dict[str, Any], make_digits: MakeDigits, folder: Path) -> dict[str, Any]:
    """Return a config of images without any label, and an annotator for them."""
    images = folder / "images"
    for file in make_digits(folder / "labeled", per_class=6).rglob("*.png"):
        images.mkdir(exist_ok=True)
        shutil.copy(file, images / f"{file.parent.name}-{file.name}")
    config["train_data_path"] = str(images)
    block = config["active_learning"]
    block.pop("test_fraction")
    block.update(annotator="file", budget=10, query_size=3, initial={"size": 3})
    return config


def fill_in(table: Path, name: Callable[[str], str]) -> list[str]:
    """Fill in a table by the names of its files; return what was said."""
    head, *rows = table.read_text(encoding="utf-8").splitlines()
    columns = head.split(",")
    filled, said = [head], []
    for row in rows:
        cells = row.split(",")
        said.append(name(Path(cells[columns.index("path")]).name.partition("-")[0]))
        cells[columns.index("label")] = said[-1]
        filled.append(",".join(cells))
    table.write_text("\n".join(filled) + "\n", encoding="utf-8")
    return said


@pytest.mark.parametrize("kind", ["linear", "network"])
def test_the_classes_may_be_named_by_the_annotator(
    linear_config: MakeConfig,
    network_config: MakeConfig,
    make_digits: MakeDigits,
    tmp_path: Path,
    kind: str,
) -> None:
    make = {"linear": linear_config, "network": network_config}[kind]
    config = unlabeled(make(retrain="warm", strategy="badge"), make_digits, tmp_path)
    folder, names = tmp_path / "run", ["b"]
    named: list[str] = []
    for round, expected in enumerate(("3 images of round 0", "3 images of round 1", "3 images")):
        with pytest.raises(WaitingForLabels, match=expected):
            run(config, folder)
        said = names[:1] * 3 if round == 0 else ["a", "b", "c"]
        answers = iter(said)
        fill_in(folder / "to_label.csv", lambda _, answers=answers: next(answers))
        named += said
    with pytest.raises(WaitingForLabels, match="1 image of round 3"):
        run(config, folder)
    fill_in(folder / "to_label.csv", lambda digit: "d")
    records = run(config, folder)
    assert [record.labels for record in records] == [0, 3, 6, 9, 10]
    assert [list(record.classes) for record in records[1:]] == [
        ["b"],
        ["a", "b", "c"],
        ["a", "b", "c"],
        ["a", "b", "c", "d"],
    ]
    last = weights_of(folder, 4)["_classification_layer.weight"]
    assert len(last) == 4


def test_the_first_items_of_unlabeled_images_may_be_typical_ones(
    linear_config: MakeConfig, make_digits: MakeDigits, tmp_path: Path
) -> None:
    config = unlabeled(linear_config(), make_digits, tmp_path)
    config["active_learning"]["initial"] = {"size": 3, "strategy": "typiclust"}
    with pytest.raises(WaitingForLabels, match="3 images of round 0"):
        run(config, tmp_path / "run")
    fill_in(tmp_path / "run" / "to_label.csv", lambda digit: digit)
    with pytest.raises(WaitingForLabels, match="3 images of round 1"):
        run(config, tmp_path / "run")


def test_given_classes_are_the_columns_even_where_no_image_shows_them(
    linear_config: MakeConfig, learner_of: LearnerOf, tmp_path: Path
) -> None:
    learner = learner_of(linear_config(classes=["four", "one", "two", "zero"]), tmp_path)
    assert learner.class_names() == ["four", "one", "two", "zero"]
    assert learner.model.state_dict()["_classification_layer.bias"].shape == (4,)
    message = r"active_learning\.classes: the data has labels that are none of them: two"
    with pytest.raises(DataError, match=message):
        learner_of(linear_config(classes=["one", "zero"]), tmp_path)
    with pytest.raises(DataError, match=r"labels of no class of active_learning\.classes: seven"):
        learner.set_classes({"seven"})


def test_other_classes_in_the_middle_of_a_round_train_it_again(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    config = linear_config(classes=["one", "two", "zero"], budget=8)

    def killed(point: str) -> None:
        if point == "INFER recorded":
            raise _KilledError

    with pytest.raises(_KilledError):
        run(config, tmp_path, on_point=killed)
    config["active_learning"]["classes"] = ["four", "one", "two", "zero"]
    records = run(config, tmp_path, recover=True)
    assert [record.labels for record in records] == [0, 4, 8]
    assert {pick.predicted for pick in records[1].picks} <= {"one", "two", "zero"}


def test_a_vocabulary_from_files_is_closed(
    linear_config: MakeConfig, make_digits: MakeDigits, learner_of: LearnerOf, tmp_path: Path
) -> None:
    _vocabulary().save_to_files(tmp_path / "vocabulary")
    config = unlabeled(linear_config(), make_digits, tmp_path)
    config["vocabulary"] = {"type": "from_files", "directory": str(tmp_path / "vocabulary")}
    learner = learner_of(config, tmp_path / "cache")
    assert learner.class_names() == ["one", "two", "zero"]
    assert learner.set_classes({"two"}) is False
    with pytest.raises(DataError, match="labels of no class of the vocabulary: seven"):
        learner.set_classes({"seven"})
    assert learner.class_names() == ["one", "two", "zero"]


def test_a_layer_may_be_wider_than_the_classes(linear_config: MakeConfig, tmp_path: Path) -> None:
    config = linear_config(_trainer={"type": "no_op"})
    config["model"]["num_labels"] = 30
    records = run(config, tmp_path)
    assert records[1].classes[:4] == ("one", "two", "zero", "3")
    assert len(records[1].classes) == 30
    assert records[1].confusion_matrix is not None
    assert all(pick.predicted in records[1].classes for pick in records[1].picks)


# --- what is asked of it --------------------------------------------------------------------------


def test_dropout_that_drops_nothing_is_no_ensemble(
    linear_config: MakeConfig, network_config: MakeConfig, learner_of: LearnerOf, tmp_path: Path
) -> None:
    learner_of(network_config(), tmp_path / "cache").check({"mc_logits"})
    learner_of(linear_config(), tmp_path / "cache").check({"logits", "embeddings"})
    for needs in ({"mc_logits"}, {"target_mc_logits"}):
        with pytest.raises(ConfigurationError, match="which dropout gives, and this model has"):
            learner_of(linear_config(), tmp_path / "cache").check(needs)


def test_a_model_without_embeddings_is_told_before_a_strategy_needs_them(
    linear_config: MakeConfig,
    learner_of: LearnerOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learner = learner_of(linear_config(), tmp_path / "cache")
    monkeypatch.setattr(type(learner.model), "embed", Model.embed)
    learner.check({"logits"})
    with pytest.raises(ConfigurationError, match="needs embeddings, and this model has no method"):
        learner.check({"embeddings"})


def test_test_items_without_a_label_or_an_image_do_not_count(
    linear_config: MakeConfig, learner_of: LearnerOf, digits: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    files = [*sorted(digits.rglob("*.png"))[:3], tmp_path / "broken.png"]
    rows = [f"{file},{label}" for file, label in zip(files, ["one", "", "two", "two"], strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(["path,label", *rows]))
    others = sorted(digits.rglob("*.png"))[3:]
    rows = [f"{file},{file.parent.name}" for file in others]
    (tmp_path / "train.csv").write_text("\n".join(["path,label", *rows]))
    config = linear_config(
        tmp_path / "train.csv",
        _dataset_reader={"type": "manifest"},
        test_fraction=None,
        _test_data_path=str(tmp_path / "rows.csv"),
    )
    learner = learner_of(config, tmp_path / "cache")
    learner.train(1, some_labels(learner), tmp_path / "0001")
    found = learner.test()
    assert found is not None
    assert found.labels.tolist() == [0, 1] and found.logits.shape == (2, 3)
    assert list(found.unreadable) == ["broken.png"]


def test_what_cannot_be_read_is_not_trained_on(
    linear_config: MakeConfig, make_digits: MakeDigits, learner_of: LearnerOf, tmp_path: Path
) -> None:
    data = make_digits(tmp_path / "data", per_class=4)
    broken = sorted(data.rglob("*.png"))[0]
    broken.write_bytes(b"no picture")
    learner = learner_of(linear_config(data, test_fraction=None), tmp_path / "cache")
    labels = some_labels(learner, 4)
    metrics = learner.train(1, labels, tmp_path / "0001")
    assert len(labels) == 12 and metrics["training_images"] == 11
    found = learner.infer(list(labels), {"logits"}, None)
    assert len(found.ids) == 11
    assert list(found.unreadable) == ["one/" + broken.name]
    assert "cannot identify" in found.unreadable["one/" + broken.name] or found.unreadable


def test_validation_images_choose_the_best_epoch_on_embeddings(
    linear_config: MakeConfig, make_digits: MakeDigits, learner_of: LearnerOf, tmp_path: Path
) -> None:
    validation = make_digits(tmp_path / "validation", per_class=2, first=20)
    trainer = {"type": "gradient_descent", "num_epochs": 2, "cuda_device": -1}
    learner = learner_of(
        linear_config(_trainer=trainer, _validation_data_path=str(validation)), tmp_path / "cache"
    )
    metrics = learner.train(1, some_labels(learner), tmp_path / "0001")
    assert metrics["best_validation_loss"] <= metrics["validation_loss"]
    assert metrics["best_epoch"] in (0, 1)

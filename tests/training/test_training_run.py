"""A run as a whole: what it leaves behind when it works, and when it cannot begin."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.common import ConfigurationError, Params
from allencv_al.common.errors import DataError
from allencv_al.common.files.run_lock import is_locked, run_lock
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.models import Model, load_archive
from allencv_al.training import training_run as run_module
from allencv_al.training.callbacks.standard_callbacks import (
    ConsoleLoggerCallback,
    MetricsJsonlCallback,
)
from allencv_al.training.experiment import Experiment, check_experiment
from allencv_al.training.run_folder import is_of_a_run
from allencv_al.training.trainers import head_trainer
from allencv_al.training.training_run import train


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    for split in ("train", "validation", "test"):
        for label, value in (("dark", 30), ("bright", 220)):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (8, 8), (value + number,) * 3).save(folder / f"{number}.png")
    return {
        "dataset_reader": {
            "type": "image_classification_directory",
            "augmentation": [{"type": "normalize"}],
        },
        "train_data_path": str(tmp_path / "train"),
        "validation_data_path": str(tmp_path / "validation"),
        "test_data_path": str(tmp_path / "test"),
        "evaluate_on_test": True,
        "model": {
            "type": "basic_image_classifier",
            "im2vec_encoder": {"type": "pool", "input_channels": 3},
        },
        "data_loader": {"batch_size": 4},
        "trainer": {"num_epochs": 3, "optimizer": {"type": "sgd", "lr": 1.0}},
    }


@pytest.mark.draws
def test_a_run_leaves_everything_about_it(config: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    metrics = train(Params(config), run)
    assert metrics["test_accuracy"] == 1.0
    assert json.loads((run / "metrics.json").read_text())["test_accuracy"] == 1.0
    assert {path.name for path in run.iterdir()} == {
        "best.safetensors",
        "checkpoints",
        "config.json",
        "confusion_matrix.png",
        "environment.json",
        "metrics.json",
        "metrics.jsonl",
        "metrics_epoch_0.json",
        "metrics_epoch_1.json",
        "metrics_epoch_2.json",
        "model.tar.gz",
        "training_curves.png",
        "vocabulary",
    }
    assert all(is_of_a_run(path.name) for path in run.iterdir())


@pytest.mark.parametrize("data", ["test", "validation"])
def test_a_gallery_sees_each_image_that_measures_once(
    config: dict[str, Any], tmp_path: Path, data: str
) -> None:
    class Seen:
        def __init__(self, model: Model, dataset: Dataset) -> None:
            self.expected = [item.id for item in dataset]
            self.found: list[str] = []
            galleries.append(self)

        def note(self, ids: list[str], outputs: dict[str, Any]) -> None:
            assert len(outputs["logits"]) == len(ids)
            self.found += ids

        def write(self, path: Path, name: str) -> None:
            # The model and its figures are safe, whatever fails here
            assert (path.parent / "model.tar.gz").is_file()
            assert (path.parent / "metrics.json").is_file()
            assert (path.name, name) == ("mistakes.html", "run")
            self.is_written = True

    galleries: list[Seen] = []
    run = tmp_path / "run"
    params = Params({**config, "evaluate_on_test": data == "test"})
    plain = train(params.duplicate(), tmp_path / "plain")
    metrics = train(params, run, gallery=Seen)
    [seen] = galleries
    assert seen.found == seen.expected
    assert len(seen.found) == len(list((tmp_path / data).rglob("*.png")))
    assert seen.is_written
    # Nothing is measured twice
    assert _without_times(metrics) == _without_times(plain)


def _without_times(metrics: dict[str, Any]) -> dict[str, Any]:
    odd = ("duration", "seconds", "MB", "per_second")
    return {name: value for name, value in metrics.items() if not name.endswith(odd)}


def test_the_archive_takes_along_the_samples_that_are_asked_for(
    config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "validation" / "bright" / "0.png").write_bytes(b"unreadable")
    Image.new("RGB", (900, 600), (225,) * 3).save(tmp_path / "validation" / "bright" / "1.png")
    config["dataset_reader"]["augmentation"].insert(0, {"type": "resize", "height": 8, "width": 8})
    config["dataset_reader"]["max_unreadable"] = 0.5
    train(Params({**config, "archive_samples": 3}), tmp_path / "run")
    samples = load_archive(tmp_path / "run" / "model.tar.gz").samples
    pictures = [Image.open(io.BytesIO(content)) for content in samples]
    assert [picture.format for picture in pictures] == ["PNG", "JPEG", "PNG"]
    assert pictures[1].size == (512, 341)
    brightness = [picture.convert("L").getpixel((0, 0)) for picture in pictures]
    assert brightness == pytest.approx([30, 225, 31], abs=1)


def test_samples_are_never_images_that_the_model_learned_from(config: dict[str, Any]) -> None:
    alone = {**config, "evaluate_on_test": False}
    del alone["validation_data_path"], alone["test_data_path"]
    for count, message in (
        (101, "expected int from 0 to 100, found 101"),
        (1, "needs validation_data_path, found none"),
    ):
        with pytest.raises(ConfigurationError, match=f"archive_samples: {message}"):
            check_experiment(Params({**alone, "archive_samples": count}), "x")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"train_data_path": "{}/empty"}, DataError),
        (
            {
                "trainer": {
                    "optimizer": {"type": "sgd", "lr": 0.1, "parameter_groups": [[["nothing"]]]}
                }
            },
            ConfigurationError,
        ),
    ],
)
def test_a_run_that_cannot_begin_writes_nothing(
    config: dict[str, Any], tmp_path: Path, change: dict[str, Any], error: type[Exception]
) -> None:
    (tmp_path / "empty").mkdir()
    text = json.dumps({**config, **change}).replace("{}", str(tmp_path))
    with pytest.raises(error):
        train(Params(json.loads(text)), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    train(Params(config), tmp_path / "run")  # the mended command runs as it is


def _fail(*_: Any, **options: Any) -> None:
    raise DataError("no more")


def test_a_callback_may_write_into_the_folder_at_once(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    config["trainer"]["callbacks"] = ["tensorboard"]
    run = tmp_path / "run"
    groups = {"optimizer": {"type": "sgd", "lr": 0.1, "parameter_groups": [[["nothing"]]]}}
    with pytest.raises(ConfigurationError):
        train(Params({**config, "trainer": {**config["trainer"], **groups}}), run)
    assert not run.exists()
    train(Params(config), run)
    assert list((run / "log" / "train").iterdir()) and (run / "model.tar.gz").is_file()
    train(Params(config), run, recover=True)
    before = {path.name for path in run.iterdir()}
    archive = (run / "model.tar.gz").read_bytes()
    monkeypatch.setattr(MetricsJsonlCallback, "__init__", _fail)
    with pytest.raises(DataError, match="no more"):
        train(Params({**config, "random_seed": 1}), run, force=True)
    assert {path.name for path in run.iterdir()} == before
    assert (run / "model.tar.gz").read_bytes() == archive
    monkeypatch.undo()
    train(Params({**config, "random_seed": 1}), run, force=True)
    assert (run / "model.tar.gz").read_bytes() != archive


@pytest.mark.parametrize(
    ("name", "command"), [("run.sqlite", "active-learn"), ("comparison.json", "compare")]
)
def test_the_run_of_another_command_is_not_gone_on_with(
    config: dict[str, Any], tmp_path: Path, name: str, command: str
) -> None:
    Params(config).to_file(tmp_path / "run" / "config.json")
    (tmp_path / "run" / name).touch()
    with pytest.raises(ConfigurationError, match=f"holds a run of {command}; {command} --recover"):
        train(Params(config), tmp_path / "run", recover=True)
    assert len(list((tmp_path / "run").iterdir())) == 2


def test_a_reader_may_keep_something_in_the_folder(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, run, errors = Experiment.prepare, tmp_path / "run", [DataError("no more")]

    def cached(self: Experiment) -> Any:
        assert is_locked(run)
        (run / "cache").mkdir()
        if errors:
            raise errors.pop()
        return prepare(self)

    monkeypatch.setattr(Experiment, "prepare", cached)
    with pytest.raises(DataError, match="no more"):
        train(Params(config), run)
    assert not run.exists()
    train(Params(config), run)
    assert (run / "cache").is_dir() and (run / "model.tar.gz").is_file()


def test_one_folder_takes_one_training_at_a_time(config: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for flags in ({}, {"recover": True}, {"force": True}):
        with run_lock(run), pytest.raises(DataError, match="at work on this run"):
            train(Params(config), run, **flags)
    assert list(run.iterdir()) == []


def test_a_callback_that_fails_at_the_end_costs_neither_model_nor_pictures(
    config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ConsoleLoggerCallback, "on_end", _fail)
    with pytest.raises(DataError, match="no more"):
        train(Params(config), tmp_path / "run")
    assert "ConsoleLoggerCallback failed at the end: no more" in caplog.text
    assert (tmp_path / "run" / "training_curves.png").is_file()
    load_archive(tmp_path / "run" / "model.tar.gz")


@pytest.mark.parametrize(
    ("trainer", "module", "measured"),
    [
        ("gradient_descent", run_module, "test"),
        ("logistic_regression", head_trainer, "validation"),
    ],
)
def test_images_that_cannot_be_measured_cost_no_model(
    config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trainer: str,
    module: Any,
    measured: str,
) -> None:
    if trainer == "logistic_regression":
        config["trainer"] = {"type": trainer}
    monkeypatch.setattr(module, "evaluate", _fail)
    with pytest.raises(DataError):
        train(Params(config), tmp_path / "run")
    load_archive(tmp_path / "run" / "model.tar.gz")
    monkeypatch.undo()
    metrics = train(Params(config), tmp_path / "run", recover=True)
    assert f"{measured}_accuracy" in metrics


def test_a_run_goes_on_with_more_epochs_and_workers_but_not_with_other_data(
    config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    config["trainer"]["learning_rate_scheduler"] = {"type": "linear_with_warmup", "warmup_steps": 0}
    first = train(Params(config), run)
    config["trainer"]["num_epochs"] = 4
    config["data_loader"]["num_workers"] = 1
    config["trainer"]["checkpointer"] = {"save_every_num_batches": 1}
    metrics = train(Params(config), run, recover=True)
    assert (first["training_epochs"], metrics["training_epochs"]) == (3, 4)
    assert "LinearWithWarmup keeps the plan for 3 epochs" in caplog.text
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["learning_rates"][0] for line in lines[2:]] == [0.0, 0.0]
    assert json.loads((run / "config.json").read_text())["trainer"]["num_epochs"] == 4

    config["trainer"]["num_epochs"] = 2
    with pytest.raises(ConfigurationError, match=r"trainer\.num_epochs: 4 before, 2 now"):
        train(Params(config), run, recover=True)
    config["trainer"]["num_epochs"] = 5
    (tmp_path / "train" / "dark" / "0.png").unlink()
    (tmp_path / "test" / "dim").mkdir()
    (tmp_path / "test" / "dark" / "0.png").rename(tmp_path / "test" / "dim" / "0.png")
    before = (run / "config.json").read_bytes()
    with pytest.raises(DataError) as error:
        train(Params(config), run, recover=True)
    assert "train: 1 image gone: dark/0.png" in str(error.value)
    assert (run / "config.json").read_bytes() == before


def test_a_class_only_of_validation_is_left_out_alike_by_train_and_evaluate(
    config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for split in ("validation", "test"):
        folder = tmp_path / split / "gray"
        folder.mkdir()
        for number in range(3):
            Image.new("RGB", (8, 8), (128,) * 3).save(folder / f"{number}.png")
    metrics = train(Params(config), tmp_path / "run")
    for split in ("validation", "test"):
        assert (
            f"{split}_data_path: 3 of 11 images are of classes that the model does not know: "
            "gray (3): left out"
        ) in caplog.text
    result = tmp_path / "result.json"
    archive = str(tmp_path / "run" / "model.tar.gz")
    data = str(tmp_path / "test")
    assert main(["evaluate", archive, data, "--output-file", str(result)]) == 0
    found = json.loads(result.read_text())
    assert found["accuracy"] == metrics["test_accuracy"] == 1.0
    assert found["loss"] == pytest.approx(metrics["test_loss"])
    assert sum(map(sum, found["confusion_matrix"])) == 8
    config["datasets_for_vocab_creation"] = ["train", "validation"]
    kept = train(Params(config), tmp_path / "kept")
    assert kept["test_accuracy"] == pytest.approx(8 / 11)


def test_unreadable_images_are_listed(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "train" / "dark" / "broken.png").write_bytes(b"no picture")
    config["dataset_reader"]["max_unreadable"] = 0.2
    train(Params(config), tmp_path / "run")
    [line] = (tmp_path / "run" / "unreadable_images.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == "dark/broken.png"


def test_measuring_on_the_training_images_is_pointed_out(
    config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config["test_data_path"] = config["train_data_path"]
    train(Params(config), tmp_path / "run")
    assert "test_data_path is train_data_path" in caplog.text


def test_the_order_of_everything_random_is_the_seed_s(
    config: dict[str, Any], tmp_path: Path
) -> None:
    config["trainer"]["enable_default_callbacks"] = False  # pictures take most of a run
    losses = [
        train(Params({**config, "pytorch_seed": seed}), tmp_path / name)["training_loss"]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert losses[0] == losses[1] != losses[2]


def test_random_transforms_of_what_measures_are_pointed_out(
    config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config["trainer"]["enable_default_callbacks"] = False  # pictures take most of a run
    config["dataset_reader"]["augmentation"].insert(0, {"type": "horizontal_flip", "p": 0.5})
    train(Params(config), tmp_path / "a")
    assert "random transforms too (HorizontalFlip)" in caplog.text
    caplog.clear()
    config["validation_dataset_reader"] = {
        "type": "image_classification_directory",
        "augmentation": [{"type": "horizontal_flip", "p": 1.0}, {"type": "normalize"}],
    }
    train(Params(config), tmp_path / "b")
    assert "random transforms" not in caplog.text


def test_a_table_that_is_half_filled_in_trains_on_what_it_has(
    config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        f"train/{label}/{number}.png,{label if number < 2 else ''}"
        for number in range(4)
        for label in ("dark", "bright")
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows, ""]))
    config["validation_dataset_reader"] = config["dataset_reader"]
    config["dataset_reader"] = {"type": "manifest", "augmentation": [{"type": "normalize"}]}
    config["train_data_path"] = str(tmp_path / "labels.csv")
    config["data_loader"] = {"batch_size": 3}
    assert train(Params(config), tmp_path / "run")["test_accuracy"] == 1.0
    assert "4 of 8 training images have no label: left out" in caplog.text


@pytest.mark.parametrize("trainer", ["gradient_descent", "logistic_regression"])
def test_an_archive_keeps_balanced_class_weights(
    config: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], trainer: str
) -> None:
    for number in range(1, 4):  # one image of the class is left
        (tmp_path / "train/bright" / f"{number}.png").unlink()
    config["model"]["class_weights"] = "balanced"
    config["trainer"] = {"type": trainer, "cuda_device": -1}
    if trainer == "gradient_descent":
        config["trainer"]["num_epochs"] = 1
    metrics = train(Params(config), tmp_path / "run")
    model = load_archive(tmp_path / "run").model
    assert model.get_buffer("_class_weights").tolist() == [5 / 2, 5 / 8]
    main(["evaluate", str(tmp_path / "run"), str(tmp_path / "test"), "--json"])
    measured = json.loads(capsys.readouterr().out)
    assert measured["loss"] == pytest.approx(metrics["test_loss"])
    assert measured["per_class_f1"] == metrics["test_per_class_f1"]


@pytest.mark.parametrize(
    ("trainer", "weights", "problem"),
    [
        ("gradient_descent", "balanced", "correct twice"),
        ("logistic_regression", None, "learns from all images at once"),
    ],
)
def test_a_sampling_that_does_not_help_is_a_fault(
    config: dict[str, Any], trainer: str, weights: str | None, problem: str
) -> None:
    config["data_loader"]["class_sampling"] = "balanced"
    config["trainer"] = {"type": trainer}
    config["model"]["class_weights"] = weights
    with pytest.raises(ConfigurationError, match=f"data_loader.class_sampling: .*{problem}"):
        check_experiment(Params(config), "config")


def test_sampled_classes_train_alike_twice(config: dict[str, Any], tmp_path: Path) -> None:
    for number in range(1, 4):
        (tmp_path / "train/bright" / f"{number}.png").unlink()
    config["data_loader"]["class_sampling"] = "square_root"
    first, second = (train(Params(config), tmp_path / name) for name in ("one", "two"))
    assert first["training_loss"] == second["training_loss"]
    assert first["test_balanced_accuracy"] == 1.0

"""Everything that is wrong with an experiment is said at once, before any image is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationFaults
from allencv_al.data import image_io
from allencv_al.training.experiment import check_experiment

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    (tmp_path / "images" / "cat").mkdir(parents=True)
    return tmp_path / "images"


@pytest.fixture
def tutorial(image_folder: Path) -> dict[str, Any]:
    """The tutorial's config as JSON."""
    variables = {"TRAIN_PATH": str(image_folder), "VALIDATION_PATH": str(image_folder)}
    file = REPOSITORY / "training_config" / "image_classifier.jsonnet"
    return Params.from_file(file, ext_vars=variables).as_dict()


def faults_of(config: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ConfigurationFaults) as caught:
        check_experiment(Params(config), "experiment.jsonnet")
    return {fault.path: fault.message for fault in caught.value.faults}


def test_the_tutorial_has_no_faults(tutorial: dict[str, Any]) -> None:
    check_experiment(Params(tutorial), "image_classifier.jsonnet")


def test_ten_planted_faults_are_listed_with_their_paths(
    tutorial: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_image_may_be_read(*args: object, **kwargs: object) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr(image_io, "load_image", no_image_may_be_read)
    config = json.loads(json.dumps(tutorial))
    config["dataset_reader"]["augmentation"][0]["hieght"] = 64  # unknown key 1
    config["trainer"]["pateince"] = 3  # unknown key 2
    config["dataset_reader"]["augmentation"][3]["type"] = "chanel_shuffle"  # misspelt name
    config["trainer"]["optimizer"]["lr"] = "fast"  # wrong type 1
    config["dataset_reader"]["lazy"] = "yes"  # wrong type 2
    config["data_loader"]["batch_size"] = 16.5  # wrong type 3
    del config["validation_dataset_reader"]["augmentation"][0]["width"]  # missing key
    config["model"]["im2vec_encoder"]["input_height"] = 7  # does not fit 2048x1x1
    config["trainer"]["optimizer"]["parameter_groups"][0][0][0] = "^_im2im_encoder\\.(0|1"  # regex
    config["trainer"]["num_epochs"] = 5  # six groups
    config["trainer"]["learning_rate_scheduler"]["num_epochs"] = 5

    found = faults_of(config)

    assert 'did you mean "height"' in found["dataset_reader.augmentation.0.hieght"]
    assert 'did you mean "patience"' in found["trainer.pateince"]
    assert '"channel_shuffle"' in found["dataset_reader.augmentation.3.type"]
    assert found["trainer.optimizer.lr"] == 'expected float >= 0, found "fast"'
    assert found["dataset_reader.lazy"] == 'expected bool, found "yes"'
    assert found["data_loader.batch_size"] == "expected int >= 1, found 16.5"
    assert "missing key, expected int" in found["validation_dataset_reader.augmentation.0.width"]
    [shape] = [text for path, text in found.items() if path.startswith("model.im2vec_encoder")]
    assert "2048x1x1" in shape
    assert "2048x7x1" in shape
    regex = found["trainer.optimizer.parameter_groups.0.0.0"]
    assert "expected a regular expression" in regex
    [epochs] = [text for path, text in found.items() if path.endswith("num_epochs")]
    assert "6" in epochs
    assert len(found) == 10


def test_data_paths_must_exist(tutorial: dict[str, Any], tmp_path: Path) -> None:
    tutorial["train_data_path"] = str(tmp_path / "absent")
    tutorial["validation_data_path"] = ""
    found = faults_of(tutorial)
    assert str(tmp_path / "absent") in found["train_data_path"]
    assert set(found) == {"train_data_path", "validation_data_path"}
    assert found["validation_data_path"].endswith("null does without")
    assert "null" not in found["train_data_path"]


def test_a_test_evaluation_needs_a_test_path(tutorial: dict[str, Any]) -> None:
    tutorial["evaluate_on_test"] = True
    assert "test_data_path" in faults_of(tutorial)["evaluate_on_test"]


def test_the_shape_check_follows_the_transforms(tutorial: dict[str, Any]) -> None:
    tutorial["model"]["im2im_encoder"] = {
        "type": "feedforward",
        "input_channels": 3,
        "num_layers": 1,
        "hidden_channels": 8,
        "activations": "relu",
    }
    tutorial["model"]["im2vec_encoder"] = {
        "type": "flatten",
        "input_channels": 8,
        "input_height": 512,
        "input_width": 512,
    }
    tutorial["trainer"] = {"num_epochs": 1}
    check_experiment(Params(tutorial), "experiment.jsonnet")
    for reader in ("dataset_reader", "validation_dataset_reader"):
        tutorial[reader]["augmentation"][0].update(height=64, width=32)
    [(path, message)] = faults_of(tutorial).items()
    assert path.startswith("model.im2vec_encoder")
    assert "8x64x32" in message
    assert "8x512x512" in message


@pytest.mark.parametrize(
    ("encoder", "path"),
    [
        ({"type": "timm", "model": "resnet19"}, "model.im2vec_encoder.model"),
        ({"type": "timmm", "model": "resnet18"}, "model.im2vec_encoder.type"),
        ({"type": "timm", "model": "test_vit", "pool": "clss"}, "model.im2vec_encoder.pool"),
    ],
)
def test_a_fault_of_the_encoder_is_not_also_one_of_what_waits_for_it(
    image_folder: Path, encoder: dict[str, Any], path: str
) -> None:
    reader = {"type": "image_classification_directory", "augmentation": ["pretrained"]}
    config = {
        "dataset_reader": reader,
        "validation_dataset_reader": reader,
        "train_data_path": str(image_folder),
        "model": {
            "type": "basic_image_classifier",
            "im2vec_encoder": {**encoder, "requires_grad": False},
            "embedding_scaling": "center_l2",
        },
        "trainer": "logistic_regression",
    }
    assert list(faults_of(config)) == [path]
    config["model"]["im2vec_encoder"] = {"type": "pool"}
    assert list(faults_of(config)) == [
        "dataset_reader.augmentation.0",
        "validation_dataset_reader.augmentation.0",
    ]


def test_damaged_preprocessing_in_a_folder_of_weights_is_told_as_such(
    image_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"pretrained_cfg": {"mean": "gray"}}')
    (tmp_path / "model.safetensors").write_bytes(b"not looked at")
    encoder = {"type": "timm", "model": "resnet18", "weights_file": str(tmp_path)}
    config = {
        "dataset_reader": {
            "type": "image_classification_directory",
            "augmentation": ["pretrained"],
        },
        "train_data_path": str(image_folder),
        "model": {"type": "basic_image_classifier", "im2vec_encoder": encoder},
        "trainer": "no_op",
    }
    found = faults_of(config)
    assert "pretrained_cfg that is not timm's" in found["dataset_reader.augmentation.0"]

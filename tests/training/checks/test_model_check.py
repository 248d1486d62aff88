"""What the built model tells about a config, before any data is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationFaults
from allencv_al.training.experiment import check_experiment


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "cat").mkdir()
    return {
        "dataset_reader": {
            "type": "image_classification_directory",
            "augmentation": [{"type": "resize", "height": 32, "width": 32}],
        },
        "train_data_path": str(tmp_path),
        "validation_data_path": str(tmp_path),
        "model": {
            "type": "basic_image_classifier",
            "im2im_encoder": {"type": "cifar_resnet", "depth": 8},
            "im2vec_encoder": {"type": "pool", "input_channels": 64},
        },
        "data_loader": {"batch_size": 8},
        "trainer": {"num_epochs": 3},
    }


def faults_of(config: dict[str, Any], **keys: Any) -> dict[str, str]:
    given = Params(config).duplicate().as_dict()
    for dotted, value in keys.items():
        *above, name = dotted.split("__")
        place: Any = given
        for part in above:
            place = place[part]
        place[name] = value
    try:
        check_experiment(Params(given), "experiment.jsonnet")
    except ConfigurationFaults as error:
        return {fault.path: fault.message for fault in error.faults}
    return {}


def test_a_sound_config_has_no_faults_and_uses_up_no_chance(config: dict[str, Any]) -> None:
    before = torch.get_rng_state()
    assert faults_of(config) == {}
    assert torch.equal(torch.get_rng_state(), before)


ZERO = ["^_nothing", "zero"]


@pytest.mark.parametrize(
    ("keys", "path", "message"),
    [
        ({"trainer__no_grad": ["^encoder"]}, "trainer.no_grad.0", "'^encoder' is found in no"),
        (
            {"trainer__no_grad": ["^_im2im", "^_im2vec"]},
            "trainer.no_grad.1",
            "'^_im2vec' is found in no",
        ),
        ({"model__initializer": {"regexes": [ZERO]}}, "model.initializer", "'^_nothing' is found"),
        (
            {"model__initializer": {"regexes": [["bias", "zero"]], "prevent_regexes": ["^haed"]}},
            "model.initializer",
            "'^haed' is found in no",
        ),
        (
            {"model__regularizer": {"regexes": [["^haed", "l2"]]}},
            "model.regularizer",
            "'^haed' is found in no",
        ),
        (
            {
                "model__regularizer": {"regexes": [["^_im2im", "l2"]]},
                "trainer__no_grad": ["^_im2im"],
            },
            "model.regularizer.regexes.0.0",
            "parameters only that do not train",
        ),
        (
            {"trainer__validation_metric": "+acuracy"},
            "trainer.validation_metric",
            'did you mean "accuracy"',
        ),
        (
            {"trainer__validation_metric": ["-loss", "+confusion_matrix"]},
            "trainer.validation_metric",
            'no single number "confusion_matrix"',
        ),
        (
            {"validation_data_path": None, "trainer__validation_metric": "+accuracy"},
            "trainer.validation_metric",
            "needs validation_data_path",
        ),
        (
            {"validation_data_path": None, "trainer__patience": 2},
            "trainer.patience",
            "needs validation_data_path",
        ),
        ({"model__class_weights": [0, 0.0]}, "model.class_weights", "found only 0"),
        (
            {"model__class_weights": {"cat": -1}},
            "model.class_weights.cat",
            "expected float >= 0, found -1",
        ),
    ],
)
def test_each_is_a_fault_with_its_place(
    config: dict[str, Any], keys: dict[str, Any], path: str, message: str
) -> None:
    found = faults_of(config, **keys)
    assert set(found) == {path}
    assert message in found[path]


@pytest.mark.parametrize(
    "keys",
    [
        {"trainer__validation_metric": "+top_5_accuracy"},
        {"model__class_weights": {"cat": 2.0, "dog": 0.0}},
        {"model__class_weights": [1.0, 0.0, 3.0]},
        {"model__num_labels": 1},
        {"model__initializer": {"regexes": [["bias", "zero"]]}},
        {"trainer__no_grad": ["^_im2im_encoder"]},
        {"data_loader__batch_size": 1},
    ],
)
def test_what_may_be_right_is_no_fault(config: dict[str, Any], keys: dict[str, Any]) -> None:
    assert faults_of(config, **keys) == {}


def test_a_batch_norm_that_sees_one_value_is_a_fault_of_batch_size_1(
    config: dict[str, Any],
) -> None:
    encoder = {
        "type": "pretrained_resnet",
        "resnet_model": "resnet18",
        "pretrained": False,
        "requires_grad": True,
    }
    pool = {"type": "pool", "input_channels": 512}
    small = {"model__im2im_encoder": encoder, "model__im2vec_encoder": pool}
    [(path, message)] = faults_of(config, **small, data_loader__batch_size=1).items()
    assert path == "data_loader.batch_size"
    assert "cannot learn from one image" in message
    assert faults_of(config, **small) == {}
    frozen = {**small, "model__im2im_encoder": {**encoder, "requires_grad": False}}
    assert faults_of(config, **frozen, data_loader__batch_size=1) == {}
    assert faults_of(config, **small, trainer__no_grad=["im2im"], data_loader__batch_size=1) == {}


LOGISTIC = {"type": "logistic_regression"}
FROZEN = {"type": "cifar_resnet", "depth": 8, "requires_grad": False}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("label_smoothing", 0.1),
        ("loss", "multi_margin"),
        ("dropout", 0.5),
        ("regularizer", {"regexes": [["weight", "l2"]]}),
    ],
)
def test_what_a_trainer_would_not_use_is_refused(
    config: dict[str, Any], key: str, value: Any
) -> None:
    frozen = {"trainer": LOGISTIC, "model__im2im_encoder": FROZEN}
    found = faults_of(config, **frozen, **{f"model__{key}": value})
    assert set(found) == {f"model.{key}"}
    assert "the trainer logistic_regression" in found[f"model.{key}"]
    assert faults_of(config, **{f"model__{key}": value}) == {}


def test_initial_values_that_the_trainer_replaces_are_refused(config: dict[str, Any]) -> None:
    frozen = {"trainer": LOGISTIC, "model__im2im_encoder": FROZEN}
    head = {"regexes": [["bias", "zero"], ["^_classification_layer", "normal"]]}
    found = faults_of(config, **frozen, model__initializer=head)
    assert set(found) == {"model.initializer.regexes.1.0"}
    assert "the trainer sets itself" in found["model.initializer.regexes.1.0"]
    assert faults_of(config, model__initializer=head) == {}


def test_defaults_class_weights_and_the_dropout_of_query_strategies_are_used(
    config: dict[str, Any],
) -> None:
    frozen = {"trainer": LOGISTIC, "model__im2im_encoder": FROZEN}
    assert faults_of(config, **frozen, model__label_smoothing=0, model__loss="cross_entropy") == {}
    assert faults_of(config, **frozen, model__class_weights=[1.0, 2.0]) == {}
    block = {"strategy": "bald"}
    assert faults_of(config, **frozen, model__dropout=0.5, active_learning=block) == {}

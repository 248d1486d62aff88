"""What the built model tells about a config, before any data is read."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from allencv_al.common import FromParams, Lazy, Params
from allencv_al.common.config.config_check import ConfigView, Fault, check
from allencv_al.common.errors import ConfigurationFaults
from allencv_al.training.checks.model_check import unfreezing_faults
from allencv_al.training.experiment import check_experiment
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.optimizers import Optimizer


@pytest.fixture
def group_config(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "cat").mkdir()
    return {
        "dataset_reader": {"type": "image_classification_directory"},
        "train_data_path": str(tmp_path),
        "model": {
            "type": "basic_image_classifier",
            "im2im_encoder": {"type": "cifar_resnet", "depth": 8},
            "im2vec_encoder": {"type": "pool", "input_channels": 64},
        },
        "trainer": {"num_epochs": 3, "optimizer": {"type": "adam"}},
    }


def group_faults_of(group_config: dict[str, Any], groups: Any, **trainer: Any) -> dict[str, str]:
    group_config["trainer"].update(trainer)
    group_config["trainer"]["optimizer"]["parameter_groups"] = groups
    try:
        check_experiment(Params(group_config), "experiment.jsonnet")
    except ConfigurationFaults as error:
        return {fault.path: fault.message for fault in error.faults}
    return {}


ENCODER, HEAD = [["^_im2im_encoder"], {"lr": 1e-5}], [["^_classification_layer"]]
GRADUAL = {"type": "slanted_triangular", "gradual_unfreezing": True}
PLACE = "trainer.optimizer.parameter_groups"


def test_groups_that_fit_are_no_fault(group_config: dict[str, Any]) -> None:
    assert group_faults_of(group_config, [ENCODER, HEAD], learning_rate_scheduler=GRADUAL) == {}


def test_an_expression_that_matches_nothing(group_config: dict[str, Any]) -> None:
    found = group_faults_of(group_config, [[["^encoder", "^_im2im"]], HEAD])
    assert set(found) == {f"{PLACE}.0.0.0"}
    assert '"^encoder" matches no parameter' in found[f"{PLACE}.0.0.0"]


def test_parameters_in_two_groups(group_config: dict[str, Any]) -> None:
    found = group_faults_of(group_config, [HEAD, [["bias$"]]])
    assert found == {
        f"{PLACE}.1": '"_classification_layer.bias" belongs to 2 groups: '
        '"^_classification_layer" and "bias$"'
    }


def test_a_default_group_under_gradual_unfreezing(group_config: dict[str, Any]) -> None:
    groups = [[["^_im2im_encoder.model.5"]], HEAD]
    [(path, message)] = group_faults_of(
        group_config, groups, learning_rate_scheduler=GRADUAL
    ).items()
    assert path == PLACE
    assert message.count("_im2im_encoder") == 5
    assert " and 10 more; add a group whose regular expression matches them" in message
    group_config["trainer"].pop("learning_rate_scheduler")
    assert group_faults_of(group_config, groups) == {}


def test_no_grad_and_frozen_encoders_count(group_config: dict[str, Any]) -> None:
    found = group_faults_of(group_config, [ENCODER, HEAD], no_grad=["^_im2im"])
    assert "matches frozen parameters only" in found[f"{PLACE}.0.0.0"]
    group_config["trainer"].pop("no_grad")
    group_config["model"]["im2im_encoder"]["requires_grad"] = False
    assert "matches frozen" in group_faults_of(group_config, [ENCODER, HEAD])[f"{PLACE}.0.0.0"]


def test_faults_of_the_model_come_first(group_config: dict[str, Any]) -> None:
    group_config["model"]["im2im_encoder"]["depth"] = 9
    assert set(group_faults_of(group_config, [[["^encoder"]]])) == {"model.im2im_encoder.depth"}


def test_a_model_that_cannot_be_built_on_meta_is_left_to_the_training(
    group_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr("allencv_al.models.basic_classifier.label_count", refuse)
    assert group_faults_of(group_config, [[["^encoder"]]]) == {}


def test_nothing_is_read_and_no_chance_is_used_up(
    group_config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"not weights")
    group_config["model"]["im2im_encoder"].update(weights_file=str(weights), requires_grad=False)
    states = torch.get_rng_state(), random.getstate()
    with caplog.at_level(logging.WARNING):
        assert group_faults_of(group_config, [HEAD]) == {}
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    assert caplog.messages == []


class TinyTrainer(FromParams):
    def __init__(
        self,
        optimizer: Lazy[Optimizer],
        learning_rate_scheduler: Lazy[LearningRateScheduler] | None = None,
        num_epochs: int = 20,
    ) -> None:
        pass

    @classmethod
    def config_faults(cls, group_config: ConfigView) -> Iterator[Fault]:
        yield from unfreezing_faults(group_config)


def unfreezing(groups: Any, epochs: int, **scheduler: Any) -> list[str]:
    group_config = {
        "optimizer": {"type": "sgd", "parameter_groups": groups},
        "learning_rate_scheduler": {
            "type": "slanted_triangular",
            "gradual_unfreezing": True,
            **scheduler,
        },
        "num_epochs": epochs,
    }
    return [str(fault) for fault in check(TinyTrainer, group_config)]


SIX = [[[f"^layer{i}"]] for i in range(6)]


def test_fewer_epochs_than_groups_is_a_fault_that_says_how_many_are_needed() -> None:
    (fault,) = unfreezing(SIX, 5)
    assert fault.startswith("num_epochs: expected at least 6 epochs")
    assert fault.endswith("found 5: the first 1 would never train")


@pytest.mark.parametrize("num_epochs", [6, 7, 20])
def test_enough_epochs_are_no_fault(num_epochs: int) -> None:
    assert unfreezing(SIX, num_epochs) == []


def test_the_schedules_own_number_of_epochs_counts_too() -> None:
    (fault,) = unfreezing(SIX, 8, num_epochs=5)
    assert fault.startswith("learning_rate_scheduler.num_epochs: expected at least 6 epochs")
    (fault,) = unfreezing(SIX, 5, num_epochs=8)
    assert fault.startswith("num_epochs: expected at least 6 epochs")


def test_groups_that_are_frozen_need_no_epoch() -> None:
    assert unfreezing([*SIX, [["^stem"], {"requires_grad": False}]], 6) == []


def test_without_groups_there_is_nothing_to_unfreeze() -> None:
    for groups in (None, [], SIX[:1]):
        (fault,) = unfreezing(groups, 6)
        assert "needs at least 2 groups" in fault


def test_without_unfreezing_epochs_do_not_matter() -> None:
    assert unfreezing(SIX, 1, gradual_unfreezing=False) == []


def test_other_faults_do_not_hide_it() -> None:
    found = unfreezing([*SIX[1:], [["("], {"lr": "fast"}]], 5)
    paths = [fault.split(":")[0] for fault in found]
    assert sorted(paths) == [
        "num_epochs",
        "optimizer.parameter_groups.5.0.0",
        "optimizer.parameter_groups.5.1.lr",
    ]


def test_within_a_combined_schedule() -> None:
    group_config = {
        "optimizer": {"type": "sgd", "parameter_groups": SIX},
        "learning_rate_scheduler": {
            "type": "combined",
            "schedulers": [
                [2, "constant"],
                [3, {"type": "slanted_triangular", "gradual_unfreezing": True}],
            ],
        },
    }
    (fault,) = check(TinyTrainer, group_config)
    assert fault.path == "learning_rate_scheduler.schedulers.1.0"


@pytest.mark.parametrize(
    "config",
    [
        {"optimizer": "adam", "learning_rate_scheduler": "constant"},
        {"optimizer": {"type": "adam"}},
        {"optimizer": 3, "learning_rate_scheduler": 4, "num_epochs": "many"},
        {
            "optimizer": {"parameter_groups": 5},
            "learning_rate_scheduler": {"type": "combined", "schedulers": [7, []]},
        },
    ],
)
def test_other_configs_pass_through(config: dict[str, Any]) -> None:
    assert all("unfreezing" not in fault.message for fault in check(TinyTrainer, config))


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
    assert "its trainer" in found[f"model.{key}"]
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

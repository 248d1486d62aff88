"""Parameter groups that fit no parameter, or no unfreezing, are found before data is read."""

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
from allencv_al.training.checks.parameter_group_check import unfreezing_faults
from allencv_al.training.experiment import check_experiment
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.optimizers import Optimizer


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
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


def faults_of(config: dict[str, Any], groups: Any, **trainer: Any) -> dict[str, str]:
    config["trainer"].update(trainer)
    config["trainer"]["optimizer"]["parameter_groups"] = groups
    try:
        check_experiment(Params(config), "experiment.jsonnet")
    except ConfigurationFaults as error:
        return {fault.path: fault.message for fault in error.faults}
    return {}


ENCODER, HEAD = [["^_im2im_encoder"], {"lr": 1e-5}], [["^_classification_layer"]]
GRADUAL = {"type": "slanted_triangular", "gradual_unfreezing": True}
PLACE = "trainer.optimizer.parameter_groups"


def test_groups_that_fit_are_no_fault(config: dict[str, Any]) -> None:
    assert faults_of(config, [ENCODER, HEAD], learning_rate_scheduler=GRADUAL) == {}


def test_an_expression_that_matches_nothing(config: dict[str, Any]) -> None:
    found = faults_of(config, [[["^encoder", "^_im2im"]], HEAD])
    assert set(found) == {f"{PLACE}.0.0.0"}
    assert '"^encoder" matches no parameter' in found[f"{PLACE}.0.0.0"]


def test_parameters_in_two_groups(config: dict[str, Any]) -> None:
    found = faults_of(config, [HEAD, [["bias$"]]])
    assert found == {
        f"{PLACE}.1": '"_classification_layer.bias" belongs to 2 groups: '
        '"^_classification_layer" and "bias$"'
    }


def test_a_default_group_under_gradual_unfreezing(config: dict[str, Any]) -> None:
    groups = [[["^_im2im_encoder.model.5"]], HEAD]
    [(path, message)] = faults_of(config, groups, learning_rate_scheduler=GRADUAL).items()
    assert path == PLACE
    assert message.count("_im2im_encoder") == 5
    assert " and 10 more; add a group whose regular expression matches them" in message
    config["trainer"].pop("learning_rate_scheduler")
    assert faults_of(config, groups) == {}


def test_no_grad_and_frozen_encoders_count(config: dict[str, Any]) -> None:
    found = faults_of(config, [ENCODER, HEAD], no_grad=["^_im2im"])
    assert "matches frozen parameters only" in found[f"{PLACE}.0.0.0"]
    config["trainer"].pop("no_grad")
    config["model"]["im2im_encoder"]["requires_grad"] = False
    assert "matches frozen" in faults_of(config, [ENCODER, HEAD])[f"{PLACE}.0.0.0"]


def test_faults_of_the_model_come_first(config: dict[str, Any]) -> None:
    config["model"]["im2im_encoder"]["depth"] = 9
    assert set(faults_of(config, [[["^encoder"]]])) == {"model.im2im_encoder.depth"}


def test_a_model_that_cannot_be_built_on_meta_is_left_to_the_training(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr("allencv_al.models.basic_classifier._label_count", refuse)
    assert faults_of(config, [[["^encoder"]]]) == {}


def test_nothing_is_read_and_no_chance_is_used_up(
    config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"not weights")
    config["model"]["im2im_encoder"].update(weights_file=str(weights), requires_grad=False)
    states = torch.get_rng_state(), random.getstate()
    with caplog.at_level(logging.WARNING):
        assert faults_of(config, [HEAD]) == {}
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
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        yield from unfreezing_faults(config)


def unfreezing(groups: Any, epochs: int, **scheduler: Any) -> list[str]:
    config = {
        "optimizer": {"type": "sgd", "parameter_groups": groups},
        "learning_rate_scheduler": {
            "type": "slanted_triangular",
            "gradual_unfreezing": True,
            **scheduler,
        },
        "num_epochs": epochs,
    }
    return [str(fault) for fault in check(TinyTrainer, config)]


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
    config = {
        "optimizer": {"type": "sgd", "parameter_groups": SIX},
        "learning_rate_scheduler": {
            "type": "combined",
            "schedulers": [
                [2, "constant"],
                [3, {"type": "slanted_triangular", "gradual_unfreezing": True}],
            ],
        },
    }
    (fault,) = check(TinyTrainer, config)
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

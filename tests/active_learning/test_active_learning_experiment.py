"""The experiment of a config with the block `active_learning`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fixtures.loop_faults import faults_of

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.common import Params

MakeConfig = Callable[..., dict[str, Any]]


def test_a_share_to_measure_on_excludes_test_data(linear_config: MakeConfig, digits: Path) -> None:
    found = faults_of(linear_config(_test_data_path=str(digits)))
    assert found == {"test_fraction": "expected it or test_data_path, found both"}


def test_images_that_are_encoded_once_do_not_change_by_chance(linear_config: MakeConfig) -> None:
    flips = {
        "type": "image_classification_directory",
        "augmentation": [{"type": "normalize"}, {"type": "horizontal_flip", "p": 0.5}],
    }
    found = faults_of(linear_config(_dataset_reader=flips))
    assert list(found) == ["dataset_reader.augmentation.1"]
    assert "changes a picture by chance" in found["dataset_reader.augmentation.1"]
    assert "active_learning.cache_embeddings to false" in found["dataset_reader.augmentation.1"]
    found = faults_of(linear_config(_validation_dataset_reader=flips))
    assert list(found) == ["validation_dataset_reader.augmentation.1"]
    assert faults_of(linear_config(_dataset_reader=flips, cache_embeddings=False)) == {}
    bare = linear_config(_dataset_reader=flips)
    del bare["active_learning"]
    assert list(faults_of(bare)) == ["dataset_reader.augmentation.1"]


def test_images_of_an_encoder_that_trains_may_change_by_chance(network_config: MakeConfig) -> None:
    flips = {
        "type": "image_classification_directory",
        "augmentation": [{"type": "horizontal_flip", "p": 0.5}],
    }
    assert faults_of(network_config(_dataset_reader=flips)) == {}


def test_training_on_everything_does_not_look_at_the_block(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    from allencv_al.training.training_run import train

    config = linear_config(strategy="no such one", anything=1)
    metrics = train(Params(config), tmp_path / "run")
    assert metrics["training_images"] == 60


def test_where_the_model_is_before_it_trains(linear_config: MakeConfig) -> None:
    """An encoder of 20,000 images must not run on the CPU only because nothing is trained yet."""
    import torch

    config = Params(linear_config(_trainer={"type": "logistic_regression", "cuda_device": -1}))
    assert ActiveLearningExperiment.from_checked(config).device == torch.device("cpu")
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    for trainer in ("no_op", {}, "logistic_regression", {"type": "gradient_descent"}):
        config = Params(linear_config(_trainer=trainer))
        assert ActiveLearningExperiment.from_checked(config).device.type == automatic

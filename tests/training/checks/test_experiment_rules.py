"""Rules across the parts of an experiment: each fault has the path of the key to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.specs.type_specs import Scope
from allencv_al.training.checks.experiment_rules import (
    image_shape_in,
    sample_faults,
    sampling_faults,
    shape_faults,
    split_faults,
    validation_faults,
)
from allencv_al.training.experiment import Experiment

Rule = Callable[[ConfigView], Iterator[Fault]]
READER: dict[str, Any] = {"type": "image_classification_directory"}
CONFIG: dict[str, Any] = {
    "dataset_reader": READER,
    "train_data_path": "train",
    "model": {
        "type": "basic_image_classifier",
        "im2vec_encoder": {"type": "pool", "input_channels": 3},
    },
    "trainer": {"type": "gradient_descent"},
}


def view(**changes: Any) -> ConfigView:
    config = {name: value for name, value in {**CONFIG, **changes}.items() if value is not None}
    found = spec_of(Experiment).view(config, "", Scope(assume_injected=True))
    assert found is not None
    return found


def faults(rule: Rule, **changes: Any) -> list[str]:
    return [str(fault) for fault in rule(view(**changes))]


@pytest.mark.parametrize(
    "rule", [split_faults, sample_faults, validation_faults, sampling_faults, shape_faults]
)
def test_a_config_that_keeps_all_rules_has_no_fault(rule: Rule) -> None:
    assert faults(rule) == []


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"validation_fold": 1}, "validation_fold: needs validation_fraction, found none"),
        ({"group_by": "(a)"}, "group_by: needs validation_fraction, found none"),
        (
            {"validation_fraction": 0.2, "validation_data_path": "v"},
            "validation_fraction: expected it or validation_data_path, found both",
        ),
        ({"validation_fraction": 0.2, "validation_fold": 5}, "validation_fold: expected 0 to 4"),
        ({"validation_fraction": 0.2, "group_by": "("}, "group_by: no regular expression"),
        ({"validation_fraction": 0.2, "group_by": "a"}, "group_by: expected one group in"),
        ({"validation_fraction": 0.2, "group_by": "(a)(b)"}, "found 2"),
    ],
)
def test_a_split_has_its_own_keys(keys: dict[str, Any], expected: str) -> None:
    (fault,) = faults(split_faults, **keys)
    assert expected in fault


@pytest.mark.parametrize(
    "keys", [{"validation_data_path": "v"}, {"validation_fraction": 0.2}, {"test_data_path": "t"}]
)
def test_samples_come_from_images_that_do_not_train(keys: dict[str, Any]) -> None:
    assert faults(sample_faults, archive_samples=3) == [
        "archive_samples: needs validation_data_path, found none"
    ]
    assert faults(sample_faults, archive_samples=3, **keys) == []


def test_options_of_validation_need_its_data() -> None:
    trainer = {"type": "gradient_descent", "patience": 2, "validation_metric": "+accuracy"}
    assert faults(validation_faults, trainer=trainer) == [
        "trainer.patience: needs validation_data_path, found none",
        "trainer.validation_metric: needs validation_data_path, found none",
    ]
    for keys in ({"validation_data_path": "v"}, {"validation_fraction": 0.2}):
        assert faults(validation_faults, trainer=trainer, **keys) == []


def test_classes_are_balanced_once_and_where_batches_are_learned() -> None:
    loader = {"class_sampling": "balanced"}
    assert faults(sampling_faults, data_loader=loader) == []
    assert faults(sampling_faults, data_loader={"class_sampling": "natural"}) == []
    (fault,) = faults(sampling_faults, data_loader=loader, trainer={"type": "logistic_regression"})
    assert fault.startswith("data_loader.class_sampling: the trainer learns from all images")
    weighted = {**CONFIG["model"], "class_weights": "balanced"}
    (fault,) = faults(sampling_faults, data_loader=loader, model=weighted)
    assert "correct twice" in fault
    several = {**CONFIG["model"], "task": "multi_label"}
    (fault,) = faults(sampling_faults, data_loader=loader, model=several)
    assert fault.startswith("data_loader.class_sampling: draws by the one class of an image")


def test_the_model_has_to_fit_the_images() -> None:
    flatten = {"type": "flatten", "input_channels": 3, "input_height": 8, "input_width": 8}
    model = {"type": "basic_image_classifier", "im2vec_encoder": flatten}
    for side, count in ((8, 0), (9, 1)):
        resize = {"type": "resize", "height": side, "width": side}
        reader = {**READER, "augmentation": [resize]}
        assert image_shape_in(view(dataset_reader=reader)) == (3, side, side)
        found = faults(shape_faults, dataset_reader=reader, model=model)
        assert [fault.startswith("model.im2vec_encoder: ") for fault in found] == [True] * count
    assert image_shape_in(view()) == (3, None, None)

"""Metrics that a config adds to a model."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.metrics import Metric
from allencv_al.metrics.added_metrics import AddedMetrics

NAMES = ["ant", "bee", "cat"]
LOGITS, GOLD = torch.eye(3)[[0, 1, 1, 2]], torch.tensor([0, 1, 2, 2])


def added(*metrics: Any, **named: Any) -> AddedMetrics:
    built = [Metric.from_params(config) for config in metrics]
    under_names = {name: Metric.from_params(config) for name, config in named.items()}
    return AddedMetrics(under_names or built, {"classes"})


def test_values_have_the_names_of_metrics_and_classes() -> None:
    metrics = added({"type": "f1", "positive_label": 1}, "per_class_accuracy", "macro_f1")
    metrics(False, "classes", LOGITS, GOLD, None)
    values = metrics.values(False, lambda: NAMES, reset=True)
    assert values == {
        "f1": pytest.approx(2 / 3),
        "f1_precision": 0.5,
        "f1_recall": 1.0,
        "per_class_accuracy": {"ant": 1.0, "bee": 1.0, "cat": 0.5},
        "macro_f1": pytest.approx((1 + 2 / 3 + 2 / 3) / 3),
    }
    assert metrics.values(False, lambda: NAMES, reset=False)["macro_f1"] == 0


def test_training_and_evaluation_are_apart() -> None:
    metrics = added(top="categorical_accuracy")
    metrics(True, "classes", LOGITS, GOLD, None)
    assert metrics.values(True, lambda: NAMES, reset=False) == {"top": 0.75}
    assert metrics.values(False, lambda: NAMES, reset=False) == {"top": 0.0}
    assert list(metrics.of_training()) == ["top"]


def test_other_kinds_of_inputs_pass_by() -> None:
    metrics = added("macro_f1")
    metrics(True, "numbers", torch.zeros(2), torch.zeros(2), None)
    assert metrics.values(True, lambda: NAMES, reset=False) == {"macro_f1": 0.0}


@pytest.mark.parametrize(
    ("metrics", "named", "message"),
    [
        (["macro_f1", "macro_f1"], {}, r'"macro_f1" is there twice'),
        (["average"], {}, '"average" takes value, which the model does not give; it gives classes'),
        ([], {"loss": "macro_f1"}, '"loss" is the name of the loss'),
    ],
)
def test_what_cannot_be_added_is_an_error(metrics: Any, named: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"metrics: {message}"):
        added(*metrics, **named)

"""What does not fit the kind of labels of a classifier is told with its key."""

from __future__ import annotations

from typing import Any

import pytest

from allencv_al.common.config.config_check import check
from allencv_al.models.model import Model

CONFIG = {"type": "basic_image_classifier", "im2vec_encoder": "pool"}


def faults(**keys: Any) -> dict[str, str]:
    return {fault.path: fault.message for fault in check(Model, {**CONFIG, **keys})}


@pytest.mark.parametrize(
    ("key", "value"), [("loss", "multi_margin"), ("label_smoothing", 0.1), ("decision_class", "a")]
)
def test_what_is_of_one_class_per_image_is_refused_for_several(key: str, value: Any) -> None:
    assert key not in faults(**{key: value})
    assert key in faults(task="multi_label", **{key: value})


def test_thresholds_are_of_several_classes() -> None:
    assert "thresholds" in faults(thresholds="f1")
    assert "thresholds" not in faults(task="multi_label", thresholds="f1")
    assert "thresholds" in faults(task="multi_label", thresholds=1.5)

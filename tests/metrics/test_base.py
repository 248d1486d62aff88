"""What all metrics share: class indices that name no class."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from allencv_al.metrics import Metric, base
from allencv_al.metrics.base import ClassRange

OF_CLASSES = [
    name for name in Metric.list_available() if Metric.from_params(name).takes == "classes"
]


@pytest.mark.parametrize("name", OF_CLASSES)
@pytest.mark.parametrize("wrong", [3, 7, -1, -100])
def test_every_metric_names_an_index_that_is_no_class(name: str, wrong: int) -> None:
    metric = Metric.from_params(name)
    with pytest.raises(ValueError, match=rf"class index {wrong}: expected 0 to 2"):
        metric(torch.eye(3), torch.tensor([0, 1, wrong]))


@pytest.mark.parametrize("options", [{"top_k": 2}, {"top_k": 3}])
def test_top_k_too(options: dict[str, Any]) -> None:
    metric = Metric.from_params({"type": "categorical_accuracy", **options})
    with pytest.raises(ValueError, match="class index -1"):
        metric(torch.eye(3), torch.tensor([0, 1, -1]))


@pytest.mark.parametrize("name", OF_CLASSES)
@pytest.mark.parametrize("asks", ["get_metric", "state"])
@pytest.mark.parametrize("wrong", [9, -2])
def test_on_a_gpu_it_is_found_when_the_value_is_read(
    name: str, asks: str, wrong: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "within_classes", lambda gold, n: gold.clamp(0, n - 1))
    metric = Metric.from_params(name)
    metric(torch.eye(3), torch.tensor([0, wrong, 2]))
    metric(torch.eye(3), torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match=f"class index {wrong}"):
        getattr(metric, asks)()
    metric.reset()
    metric(torch.eye(3), torch.tensor([0, 1, 2]))
    metric.get_metric()


def test_right_indices_are_given_back_as_they_are() -> None:
    seen, gold = ClassRange(), torch.tensor([0, 2])
    assert seen.add(gold, 3) is gold
    assert seen.add(gold[:0], 3).numel() == 0
    seen.check()

"""What every registered metric promises."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from allencv_al.metrics import Metric
from allencv_al.metrics.base import MetricInput

NAMES = Metric.list_available()


def batch(kind: MetricInput, seed: int, size: int = 32, classes: int = 4) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(size, classes, generator=generator)
    match kind:
        case "classes":
            return scores, torch.randint(classes, (size,), generator=generator)
        case "labels":
            return scores.sigmoid(), torch.randint(-1, 2, scores.shape, generator=generator)
        case "numbers":
            whole = (2 * scores[:, 0]).round()
            return whole, whole + scores[:, 1].round()
        case "value":
            return scores[:, 0], None
    sides: list[list[dict[str, torch.Tensor]]] = [[], []]
    for _ in range(size):
        corners = torch.rand(3, 2, generator=generator) * 50
        true = torch.hstack([corners, corners + 5 + 40 * torch.rand(3, 2, generator=generator)])
        found = true + torch.randn(3, 4, generator=generator)
        labels = torch.randint(classes, (3,), generator=generator)
        crowd = torch.rand(3, generator=generator) < 0.2
        sides[0].append(
            {"boxes": found, "labels": labels, "scores": torch.rand(3, generator=generator)}
        )
        sides[1].append({"boxes": true, "labels": labels, "crowd": crowd})
    return sides[0], sides[1]


def takes(name: str) -> MetricInput:
    return Metric.from_params(name).takes


@pytest.fixture(params=NAMES)
def metric(request: pytest.FixtureRequest) -> Metric:
    return Metric.from_params(request.param)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)], ids=str)
def test_batches_add_up_to_the_whole_in_any_order(metric: Metric, order: tuple[int, ...]) -> None:
    predictions, gold = batch(metric.takes, 0)
    metric(predictions, gold)
    whole = metric.get_metric(reset=True)
    cuts = [(0, 5), (5, 11), (11, 32)]
    for begin, end in (cuts[place] for place in order):
        metric(predictions[begin:end], None if gold is None else gold[begin:end])
    parts = metric.get_metric()
    assert_equal(parts, whole)


def assert_equal(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert_equal(found[name], value)
    else:  # None: nan
        np.testing.assert_allclose(np.array(found, float), np.array(expected, float), rtol=1e-9)


@pytest.mark.parametrize("name", [name for name in NAMES if takes(name) != "boxes"])
def test_a_mask_leaves_items_out(name: str) -> None:
    metric = Metric.from_params(name)
    predictions, gold = batch(metric.takes, 0)
    kept = torch.rand(32, generator=torch.Generator().manual_seed(3)) < 0.5
    metric(predictions, gold, kept)
    masked = metric.get_metric(reset=True)
    metric(predictions[kept], None if gold is None else gold[kept])
    assert_equal(masked, metric.get_metric(reset=True))
    metric(predictions, gold)
    assert metric.get_metric() != masked


def test_reset_forgets_everything(metric: Metric) -> None:
    metric(*batch(metric.takes, 0))
    metric.get_metric(reset=True)
    metric(*batch(metric.takes, 1))
    fresh = Metric.from_params({"type": name_of(metric)})
    fresh(*batch(metric.takes, 1))
    assert metric.get_metric() == fresh.get_metric()


def test_an_epoch_without_batches_has_a_value(metric: Metric) -> None:
    value = metric.get_metric(reset=True)
    values = value.values() if isinstance(value, dict) else [value]
    assert all(each in (0.0, []) for each in values)
    metric(*batch(metric.takes, 0))
    metric.reset()
    value = metric.get_metric()
    values = value.values() if isinstance(value, dict) else [value]
    assert all(each == 0.0 or isinstance(each, list) for each in values)


def test_the_value_is_strict_json(metric: Metric) -> None:
    metric(*batch(metric.takes, 0, size=3, classes=4))  # some classes are absent
    json.dumps(metric.get_metric(), allow_nan=False)


def test_state_goes_through_a_checkpoint(metric: Metric) -> None:
    metric(*batch(metric.takes, 0))
    other = Metric.from_params({"type": name_of(metric)})
    other.load_state(metric.state())
    for each in (metric, other):
        each(*batch(metric.takes, 1))
    assert other.get_metric() == metric.get_metric()


def test_sums_made_in_inference_mode_can_be_changed_outside(metric: Metric) -> None:
    with torch.inference_mode():
        metric(*batch(metric.takes, 0))
    metric.reset()
    metric(*batch(metric.takes, 1))


@pytest.mark.parametrize("name", [name for name in NAMES if takes(name) != "value"])
def test_gold_values_of_another_length_are_an_error(name: str) -> None:
    metric = Metric.from_params(name)
    predictions, gold = batch(metric.takes, 0)
    with pytest.raises(ValueError, match=rf"{type(metric).__name__}: expected .*gold .*, found "):
        metric(predictions, gold[:-1])


def test_sums_keep_no_graph(metric: Metric) -> None:
    predictions, gold = batch(metric.takes, 0)
    if isinstance(predictions, torch.Tensor):
        predictions.requires_grad_()
    else:
        predictions[0]["scores"].requires_grad_()
    metric(predictions, gold)
    state = metric.state()
    assert state is not None
    assert not state.requires_grad


def name_of(metric: Metric) -> str:
    names = Metric.list_available()
    return next(name for name in names if Metric.by_name(name) is type(metric))

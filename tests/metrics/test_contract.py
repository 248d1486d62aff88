"""What every registered metric promises."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from allencv_al.metrics import Metric


def batch(seed: int, size: int = 32, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, classes, generator=generator)
    return logits, torch.randint(classes, (size,), generator=generator)


@pytest.fixture(params=Metric.list_available())
def metric(request: pytest.FixtureRequest) -> Metric:
    return Metric.from_params(request.param)


def test_batches_add_up_to_the_whole(metric: Metric) -> None:
    logits, gold = batch(0)
    metric(logits, gold)
    whole = metric.get_metric(reset=True)
    for begin in (0, 5, 11):
        end = {0: 5, 5: 11, 11: 32}[begin]
        metric(logits[begin:end], gold[begin:end])
    parts = metric.get_metric()
    np.testing.assert_allclose(np.array(parts, float), np.array(whole, float))  # None: nan


def test_reset_forgets_everything(metric: Metric) -> None:
    metric(*batch(0))
    metric.get_metric(reset=True)
    metric(*batch(1))
    fresh = Metric.from_params({"type": name_of(metric)})
    fresh(*batch(1))
    assert metric.get_metric() == fresh.get_metric()


def test_an_epoch_without_batches_has_a_value(metric: Metric) -> None:
    assert metric.get_metric(reset=True) in (0.0, [])
    metric(*batch(0))
    metric.reset()
    value = metric.get_metric()
    assert value == 0.0 or isinstance(value, list)


def test_the_value_is_strict_json(metric: Metric) -> None:
    metric(torch.randn(3, 4), torch.tensor([0, 0, 1]))  # classes 2 and 3 are absent
    json.dumps(metric.get_metric(), allow_nan=False)


def test_state_goes_through_a_checkpoint(metric: Metric) -> None:
    metric(*batch(0))
    other = Metric.from_params({"type": name_of(metric)})
    other.load_state(metric.state())
    for each in (metric, other):
        each(*batch(1))
    assert other.get_metric() == metric.get_metric()


def test_sums_made_in_inference_mode_can_be_changed_outside(metric: Metric) -> None:
    with torch.inference_mode():
        metric(*batch(0))
    metric.reset()
    metric(*batch(1))


def test_labels_of_another_length_are_an_error(metric: Metric) -> None:
    with pytest.raises(ValueError, match=r"expected predictions \[B, C\] and gold \[B\]"):
        metric(torch.randn(3, 4), torch.tensor([0, 1]))


def test_sums_keep_no_graph(metric: Metric) -> None:
    logits, gold = batch(0)
    metric(logits.requires_grad_(), gold)
    state = metric.state()
    assert state is not None
    assert not state.requires_grad


def name_of(metric: Metric) -> str:
    names = Metric.list_available()
    return next(name for name in names if Metric.by_name(name) is type(metric))

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from allencv_al.common import ConfigurationError
from allencv_al.metrics import ExpectedCalibrationError


@given(st.integers(0, 10**6), st.integers(1, 200), st.integers(2, 12), st.floats(0.1, 10))
def test_equals_torchmetrics(seed: int, size: int, classes: int, scale: float) -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error

    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(size, classes, generator=generator)
    gold = torch.randint(classes, (size,), generator=generator)
    # torchmetrics 1.9 puts a confidence of exactly 1 into a bin of its own, the paper into the last
    assume(bool((logits.softmax(-1) < 1).all()))
    metric = ExpectedCalibrationError()
    metric(logits, gold)
    expected = multiclass_calibration_error(logits.softmax(-1), gold, classes, n_bins=15)
    assert metric.get_metric() == pytest.approx(expected.item(), abs=1e-5)


def test_hand_made_value() -> None:
    # Bin (0.5, 0.6] holds .6 right and .55 wrong: |1/2 - .575|; (0.9, 1] holds .95 right: .05.
    probs = torch.tensor([[0.6, 0.4], [0.55, 0.45], [0.05, 0.95]])
    metric = ExpectedCalibrationError(num_bins=10, inputs="probs")
    metric(probs, torch.tensor([0, 1, 1]))
    assert metric.get_metric() == pytest.approx((2 * 0.075 + 0.05) / 3, abs=1e-6)


def test_certain_and_right_is_perfect() -> None:
    metric = ExpectedCalibrationError()
    metric(torch.eye(3) * 1000, torch.arange(3))
    assert metric.get_metric() == 0


def test_num_bins_must_be_positive() -> None:
    with pytest.raises(ConfigurationError, match="num_bins: expected int >= 1, found 0"):
        ExpectedCalibrationError(num_bins=0)


def test_full_confidence_is_in_the_last_bin() -> None:
    # (14/15, 1] holds 1.0 right and 0.96 wrong: |1/2 - 0.98|.
    probs = torch.tensor([[1.0, 0.0], [0.96, 0.04]])
    metric = ExpectedCalibrationError(inputs="probs")
    metric(probs, torch.tensor([0, 1]))
    assert metric.get_metric() == pytest.approx(0.48, abs=1e-6)

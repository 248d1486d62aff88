"""The curve of losses over learning rates, and what is suggested from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.training.learning_rate_finder import LearningRateCurve


def curve(losses: np.ndarray) -> LearningRateCurve:  # type: ignore[type-arg]
    rates = np.geomspace(1e-5, 10, len(losses))
    return LearningRateCurve(rates.tolist(), losses.tolist())


def test_the_suggestion_is_where_the_loss_falls_fastest() -> None:
    rates = np.geomspace(1e-5, 10, 100)
    falls_at_a_thousandth = 2 / (1 + (rates / 1e-3) ** 2)
    diverges = (rates / 1.0) ** 2
    noise = np.random.default_rng(0).normal(0, 0.05, 100)
    suggestion = curve(falls_at_a_thousandth + diverges + noise).suggestion()
    assert suggestion is not None
    assert 4e-4 < suggestion < 2.5e-3


def test_a_steeper_fall_behind_the_divergence_is_not_suggested() -> None:
    losses = np.concatenate([np.linspace(2, 1, 50), np.linspace(1, 50, 30), np.linspace(50, 2, 20)])
    suggestion = curve(losses).suggestion()
    assert suggestion is not None
    assert suggestion < 1e-2


@pytest.mark.parametrize("losses", [np.linspace(1, 5, 50), np.full(50, 2.0)])
def test_a_loss_that_does_not_fall_gives_no_suggestion(losses: np.ndarray) -> None:  # type: ignore[type-arg]
    assert curve(losses).suggestion() is None


def test_the_smoothed_losses_have_no_bias_to_the_start() -> None:
    assert curve(np.full(30, 2.0)).smoothed() == pytest.approx([2.0] * 30)
    first, second = LearningRateCurve([1.0, 2.0], [4.0, 2.0]).smoothed()
    assert first == pytest.approx(4)
    assert second == pytest.approx((0.98 * 0.02 * 4 + 0.02 * 2) / (1 - 0.98**2))


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    curve(np.linspace(2, 1, 20)).write_picture(tmp_path / "deep" / "x.png")
    with Image.open(tmp_path / "deep" / "x.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300

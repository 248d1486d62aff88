"""The curve of losses over learning rates, and what is suggested from it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.training.learning_rate_finder import LearningRateCurve

pytestmark = pytest.mark.draws


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


def test_noise_alone_rarely_gives_a_suggestion() -> None:
    noise = [np.random.default_rng(seed).normal(0, 0.1, 100) for seed in range(50)]
    assert sum(curve(2 + values).suggestion() is not None for values in noise) <= 10


def test_a_low_first_batch_is_no_divergence() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 100)
    noise[0] = -0.1
    suggestion = curve(2 / (1 + (np.geomspace(1e-5, 10, 100) / 1e-3) ** 2) + noise).suggestion()
    assert suggestion is not None
    assert 2e-4 < suggestion < 5e-3


@pytest.mark.parametrize("linear", [False, True])
def test_the_suggestion_is_the_steepest_place_of_the_drawn_curve(linear: bool) -> None:
    rates = np.linspace(0.01, 1, 60) if linear else np.geomspace(0.01, 1, 60)
    losses = 2 - 1 / (1 + np.exp(-(np.arange(60) - 20) / 3))
    found = LearningRateCurve(rates.tolist(), losses.tolist(), linear)
    slopes = np.gradient(found.smoothed(), rates if linear else np.log(rates))
    assert found.suggestion() == rates[slopes.argmin()]


def test_nothing_is_suggested_at_or_above_a_loss_higher_than_at_the_start() -> None:
    dips, rises, recovers = np.linspace(2, 1.8, 20), np.linspace(1.8, 9, 20), np.linspace(9, 0, 60)
    found = curve(np.concatenate([dips, rises, recovers]))
    suggestion = found.suggestion()
    assert suggestion is not None
    assert found.learning_rates.index(suggestion) < 20
    assert curve(np.concatenate([rises, recovers])).suggestion() is None


def test_the_smoothed_losses_are_averages_over_neighbors() -> None:
    assert curve(np.full(30, 2.0)).smoothed() == pytest.approx([2.0] * 30)
    assert curve(np.array([4.0, 2.0, 0.0, 4.0])).smoothed() == pytest.approx([3, 2, 2, 2])


@pytest.mark.parametrize(("linear", "scale"), [(False, "log"), (True, "linear")])
def test_the_axis_is_as_the_rates_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linear: bool, scale: str
) -> None:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    path = tmp_path / "x.png"
    with contextlib.suppress(FileNotFoundError):  # nothing was saved
        LearningRateCurve([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], linear).write_picture(path)
    assert drawn[0].axes[0].get_xscale() == scale


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    curve(np.linspace(2, 1, 20)).write_picture(tmp_path / "deep" / "x.png")
    with Image.open(tmp_path / "deep" / "x.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300

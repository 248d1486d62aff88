"""The bootstrap over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from allencv_al.comparison.bootstrap import Bootstrap, mean_band


def test_the_band_of_many_seeds_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(0).normal(0.8, 0.02, size=(100, 3))
    band = mean_band(values, Bootstrap(resamples=20_000))
    assert band is not None
    half = 1.96 * values.std(axis=0) / np.sqrt(100)
    assert band[0] == pytest.approx(values.mean(axis=0) - half, abs=2e-4)
    assert band[1] == pytest.approx(values.mean(axis=0) + half, abs=2e-4)


def test_two_seeds_have_the_band_between_them_and_one_has_none() -> None:
    low, high = mean_band(np.array([[0.2, 0.5], [0.4, 0.5]]), Bootstrap()) or (None, None)
    assert low == pytest.approx([0.2, 0.5])
    assert high == pytest.approx([0.4, 0.5])
    assert mean_band(np.array([[0.2, 0.5]]), Bootstrap()) is None


def test_resamples_are_as_large_as_the_sample_and_the_same_for_one_seed() -> None:
    weights = Bootstrap(resamples=500, seed=1).weights(4)
    assert weights.sum(axis=1) == pytest.approx(np.ones(500))
    assert (weights * 4 == np.rint(weights * 4)).all()
    assert (weights == Bootstrap(resamples=500, seed=1).weights(4)).all()
    assert (weights != Bootstrap(resamples=500, seed=2).weights(4)).any()
    # Of four draws with replacement one misses a given seed with probability (3/4)^4
    assert (weights == 0).mean() == pytest.approx((3 / 4) ** 4, abs=0.04)

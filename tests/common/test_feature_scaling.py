"""The scalings of feature vectors, against scikit-learn's."""

from typing import get_args

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from allencv_al.common.feature_scaling import (
    FeatureScaling,
    FeatureScalingKind,
    mean_squared_norm,
)

KINDS = get_args(FeatureScalingKind)
ORACLES = {
    "none": FunctionTransformer(),
    "standardize": StandardScaler(),
    "l2": Normalizer(),
    "power_l2": make_pipeline(
        FunctionTransformer(lambda x: np.sign(x) * np.sqrt(np.abs(x))), Normalizer()
    ),
    "center_l2": make_pipeline(StandardScaler(with_std=False), Normalizer()),
    "standardize_l2": make_pipeline(StandardScaler(), Normalizer()),
}


def draw_features(rows=300, seed=0):
    features = np.random.default_rng(seed).normal(3.0, 5.0, (rows, 7)).astype(np.float32)
    features[:, 2] = 0.3  # a value that never varies, and that float32 cannot write exactly
    features[rows // 2] = 0.0
    return features


@pytest.mark.parametrize("kind", KINDS)
def test_new_features_are_scaled_as_scikit_learn_scales_them(kind):
    pool, new = draw_features(), draw_features(50, seed=1)
    oracle = ORACLES[kind].fit(pool.astype(np.float64))
    expected = oracle.transform(new.astype(np.float64))
    np.testing.assert_allclose(FeatureScaling.fit(kind, pool).apply(new), expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_change_nothing(kind, monkeypatch):
    pool = draw_features()
    whole = FeatureScaling.fit(kind, pool).apply(pool)
    monkeypatch.setattr("allencv_al.common.feature_scaling._BLOCK_ROWS", 7)
    np.testing.assert_allclose(FeatureScaling.fit(kind, pool).apply(pool), whole, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_features_given_stay_as_they_are(kind):
    pool = draw_features()
    FeatureScaling.fit(kind, pool).apply(pool)
    np.testing.assert_array_equal(pool, draw_features())


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_come_back_from_arrays(kind):
    scaling = FeatureScaling.fit(kind, draw_features())
    again = FeatureScaling.from_arrays(kind, scaling.arrays())
    new = draw_features(50, seed=1)
    np.testing.assert_array_equal(again.apply(new), scaling.apply(new))


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_row_and_none_give_finite_features(kind):
    for rows in (draw_features(1), np.empty((0, 7), np.float32)):
        scaled = FeatureScaling.fit(kind, rows).apply(draw_features(5, seed=1))
        assert np.isfinite(scaled).all()


def test_a_small_deviation_around_a_large_mean_is_found():
    values = 1000.0 + np.random.default_rng(0).normal(size=(20_000, 3)).astype(np.float32)
    scaled = FeatureScaling.fit("standardize", values).apply(values)
    np.testing.assert_allclose(scaled.std(axis=0), 1.0, atol=1e-4)


def test_float16_features_do_not_overflow():
    values = np.full((10_000, 2), 200.0, np.float16)
    assert mean_squared_norm(values) == pytest.approx(2 * 200.0**2)
    assert FeatureScaling.fit("center_l2", values).mean == pytest.approx([200.0, 200.0])


def test_the_squared_norm_of_nothing_is_one():
    assert mean_squared_norm(np.zeros((3, 2), np.float32)) == 1.0
    assert mean_squared_norm(np.empty((0, 2), np.float32)) == 1.0

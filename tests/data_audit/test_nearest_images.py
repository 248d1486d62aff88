"""Short vectors and nearest images, against all distances."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from allencv_al.common.feature_scaling import FeatureScaling
from allencv_al.data_audit import nearest_images as module
from allencv_al.data_audit.nearest_images import nearest_images, short_vectors


@pytest.fixture
def vectors() -> np.ndarray:
    generator = np.random.default_rng(0)
    return (generator.normal(size=(90, 30)) * np.linspace(1, 5, 30) + 2).astype(np.float32)


def test_short_vectors_are_principal_components(vectors: np.ndarray) -> None:
    scaled = FeatureScaling.fit("power_l2", vectors).apply(vectors)
    expected = PCA(6).fit_transform(scaled.astype(np.float64))
    found = short_vectors(vectors, 6)
    assert np.abs(found) == pytest.approx(np.abs(expected), abs=1e-5)


def test_narrow_vectors_keep_their_width(vectors: np.ndarray) -> None:
    assert short_vectors(vectors).shape == (90, 30)
    assert short_vectors(vectors[:1]).shape == (1, 30)


def test_the_nearest_are_those_of_all_cosines(
    vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_COSINES", 7 * 90)  # several blocks, the last one odd
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    expected = np.argsort(-cosines, axis=1)[:, :4]
    places, found = nearest_images(vectors, 4)
    assert places.tolist() == expected.tolist()
    assert found == pytest.approx(np.take_along_axis(cosines, expected, axis=1), abs=1e-5)


def test_fewer_images_than_neighbors(vectors: np.ndarray) -> None:
    places, _ = nearest_images(vectors[:3], 10)
    assert places.shape == (3, 2)
    assert nearest_images(vectors[:1], 10)[0].shape == (1, 0)

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


@pytest.fixture
def in_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search in cells from 50 images on."""
    for name, value in {"_MOST_EXACT": 50, "_CELLS": 8, "_PROBES": 4}.items():
        monkeypatch.setattr(module, name, value)


def test_cells_find_nearly_all_of_the_nearest(in_cells: None) -> None:
    generator = np.random.default_rng(0)
    centers = generator.normal(size=(20, 16)) * 2
    vectors = (centers.repeat(30, axis=0) + generator.normal(size=(600, 16))).astype(np.float32)
    twins = vectors[:100] + generator.normal(size=(100, 16)).astype(np.float32) * 0.02
    rows = np.concatenate([vectors, twins])
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    exact = units @ units.T
    np.fill_diagonal(exact, -np.inf)
    places, cosines = nearest_images(rows, 5)
    assert (places[:, 0] == exact.argmax(axis=1)).mean() > 0.95
    assert (places[600:, 0] == np.arange(100)).all(), "copies are in one cell or in cells nearby"
    found = np.take_along_axis(exact, places, axis=1)
    assert cosines == pytest.approx(found, abs=1e-5)
    assert (np.diff(cosines, axis=1) <= 1e-6).all()


def test_cells_of_equal_images(in_cells: None) -> None:
    rows = np.ones((120, 4), np.float32)
    rows[100:] = -1
    places, cosines = nearest_images(rows, 10)
    assert not (places == np.arange(120)[:, None]).any(), "no image is its own neighbor"
    assert cosines == pytest.approx(1, abs=1e-5)


def test_a_few_far_images_have_neighbors_in_further_cells(in_cells: None) -> None:
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(60, 3)).astype(np.float32)
    places, cosines = nearest_images(rows, 40)
    assert places.shape == (60, 40)
    assert np.isfinite(cosines).all()

"""The sets that mislead strategies are those of the paper's code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from allencv_al.data.dataset_readers import DatasetReader
from allencv_al.data.sample_data.toy_sets import (
    TOY_SETS,
    diverging_sine,
    honeypot,
    write_toy_set,
)


def test_a_honeypot_is_a_third_cloud_without_classes() -> None:
    points, classes = honeypot(np.random.default_rng(0))
    assert points.shape == (600, 2) and np.bincount(classes).tolist() == [300, 300]
    shared = points[300:]
    assert shared.mean(axis=0) == pytest.approx([4, 3], abs=0.2)
    assert shared.std(axis=0) == pytest.approx([1, 1], abs=0.1)
    # The best classifier knows the two pure clouds and guesses in the third: 3/4
    bayes = np.where(points[:, 0] > 2, 1, points[:, 1] < 3)
    assert (bayes == classes).mean() == pytest.approx(0.75, abs=0.03)


def test_the_waves_diverge() -> None:
    points, classes = diverging_sine(np.random.default_rng(0))
    assert points.shape == (200, 2) and points[:, 0].max() == 10
    up, down = points[classes == 1], points[classes == 0]
    residual = up[:, 1] - np.sin(2 * up[:, 0]) - up[:, 0] / 2
    assert residual.std() == pytest.approx(0.3, abs=0.05)
    gap = up[:, 1] - down[:, 1]
    assert np.polyfit(up[:, 0], gap, 1) == pytest.approx([1, 0], abs=0.15)


@pytest.mark.parametrize("name", TOY_SETS)
def test_a_set_is_read_as_vectors_between_0_and_1(name: str, tmp_path: Path) -> None:
    path = write_toy_set(name, tmp_path / "new" / "set.npz")
    reader = DatasetReader.from_params({"type": "vectors", "dimension": 2})
    dataset = reader.read(path)
    vectors = np.stack([np.asarray(item.image) for item in dataset])
    assert vectors.min(axis=0).tolist() == [0, 0] and vectors.max(axis=0).tolist() == [1, 1]
    assert set(dataset.labels()) == {"zero", "one"}
    before = path.read_bytes()
    assert write_toy_set(name, path).read_bytes() == before
    assert write_toy_set(name, path, seed=1).read_bytes() != before

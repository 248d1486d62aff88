"""Places of images on a map, against NumPy and scikit-learn."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from allencv_al.common.errors import ConfigurationError
from allencv_al.selection import projections
from allencv_al.selection.projections import (
    LAYOUTS,
    Layout,
    check_layout,
    principal_plane,
    projected,
)

Rows = np.ndarray[tuple[int, int], np.dtype[np.float32]]


def heaps(count: int, width: int = 16, groups: int = 4) -> Rows:
    """Return unit vectors around some directions, one after the other."""
    generator = np.random.default_rng(0)
    centers = generator.normal(size=(groups, width))
    rows = np.repeat(centers, count // groups, axis=0)
    rows = rows + generator.normal(0, 0.3, rows.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_the_principal_plane_is_that_of_a_singular_value_decomposition() -> None:
    rows = heaps(120)
    centered = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    found = principal_plane(rows)
    assert found.dtype == np.float32 and found.shape == (120, 2)
    np.testing.assert_allclose(np.abs(found), np.abs(centered @ axes[:2].T), atol=1e-5)
    oracle = PCA(2, svd_solver="full").fit_transform(rows)
    np.testing.assert_allclose(np.abs(found), np.abs(oracle), atol=1e-5)


def test_blocks_change_nothing_and_no_axis_is_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = heaps(120)
    whole = principal_plane(rows)
    monkeypatch.setattr(projections, "_ROWS", 7)
    np.testing.assert_allclose(principal_plane(rows), whole, atol=1e-6)
    np.testing.assert_allclose(principal_plane(rows[::-1]), whole[::-1], atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "rows",
    [
        np.empty((0, 4), np.float32),
        np.ones((1, 4), np.float32),
        np.ones((3, 1), np.float32),
        np.zeros((12, 6), np.float32),
        np.ones((20, 1), np.float32),
    ],
    ids=["none", "one", "one axis", "equal", "many of one axis"],
)
def test_odd_vectors_have_places(layout: Layout, rows: Rows) -> None:
    found = projected(rows, layout)
    assert found.shape == (len(rows), 2) and np.isfinite(found).all()


def test_neighbors_stay_together_and_places_are_the_same_each_time() -> None:
    rows = heaps(60)
    found = projected(rows, "tsne")
    # At least as good as the plane in the figure that van der Maaten's survey measures maps by
    of_plane = trustworthiness(rows, principal_plane(rows), n_neighbors=8)
    assert trustworthiness(rows, found, n_neighbors=8) > max(0.9, of_plane)
    np.testing.assert_array_equal(projected(rows, "tsne"), found)


@pytest.mark.slow  # its library compiles itself at the first use
def test_umap_keeps_neighbors_together() -> None:
    pytest.importorskip("umap", reason="umap-learn is not installed")
    rows = heaps(200)
    found = projected(rows, "umap")
    assert trustworthiness(rows, found, n_neighbors=8) > 0.9


def test_a_missing_library_is_named_with_what_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without_umap(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "umap":
            raise ImportError(name)
        return load(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_umap)
    with pytest.raises(ConfigurationError, match=r"allencv-al\[map\].*tsne needs none"):
        check_layout("umap")
    for layout in LAYOUTS[:2]:
        check_layout(layout)

"""Images that belong on one page."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from allencv_al.selection.image_groups import (
    class_probabilities,
    most_alike,
    nearest,
    surest,
)

Vectors = NDArray[np.float32]


def heaps(sizes: list[int], width: int = 0.0, seed: int = 0) -> tuple[Vectors, NDArray[np.int64]]:
    """Return unit vectors around one axis each, and the axis of each."""
    generator = np.random.default_rng(seed)
    of = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.eye(8)[of] + generator.normal(0, width, (len(of), 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), of


def test_probabilities_name_the_classes_of_the_labels() -> None:
    vectors, of = heaps([30, 30, 30], 0.2)
    rows = np.array([0, 1, 2, 60, 61, 62])
    found = class_probabilities(vectors, rows, of[rows], 4)
    assert found.shape == (90, 4)
    assert (found[:, [1, 3]] == 0).all(), "classes without a label"
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found[of == 0].argmax(axis=1) == 0).all() and (found[of == 2].argmax(axis=1) == 2).all()


def test_probabilities_order_as_the_discriminant_of_a_library() -> None:
    vectors, of = heaps([40, 40], 0.4)
    rows = np.arange(0, 80, 4)
    ours = class_probabilities(vectors, rows, of[rows], 2)[:, 1]
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.4).fit(vectors[rows], of[rows])
    theirs = oracle.predict_proba(vectors)[:, 1]
    ranks = [np.argsort(np.argsort(values)) for values in (ours, theirs)]
    assert np.corrcoef(ranks)[0, 1] > 0.99


def test_the_surest_page_is_of_one_class() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.05, 0.95], [0.3, 0.7], [0, 0]])
    rows = np.arange(6)
    page, best = surest(probabilities, rows, 3)
    assert (page.tolist(), best) == ([3, 2, 4], 1)
    page, best = surest(probabilities, rows, 3, class_index=0)
    assert (page.tolist(), best) == ([0, 1], 0)
    page, best = surest(probabilities, np.array([5]), 3)
    assert len(page) == 0
    page, best = surest(probabilities, rows[:0], 3)
    assert (len(page), best) == (0, -1)


def test_a_page_of_likeness_is_the_tightest_heap() -> None:
    loose, _ = heaps([40], 0.4)
    tight, _ = heaps([0, 40], 0.02)
    vectors = np.concatenate([loose, tight])
    page = most_alike(vectors, np.arange(80), 24, seed=0)
    assert len(page) == 24 and (page >= 40).all()
    assert most_alike(vectors, np.arange(3), 24, seed=0).tolist() == [0, 1, 2]


def test_new_kinds_come_up_beside_known_ones() -> None:
    vectors, of = heaps([50, 50, 50], 0.02)
    known = np.array([0, 1, 2, 50, 51])
    rows = np.setdiff1d(np.arange(150), known)
    assert (of[most_alike(vectors, rows, 24, seed=0, known=known)] == 2).all()


def test_the_nearest_are_those_of_brute_force() -> None:
    vectors, _ = heaps([20, 20], 0.5)
    rows = np.arange(5, 40)
    found = nearest(vectors, 3, rows, 7)
    distances = {int(row): float(((vectors[row] - vectors[3]) ** 2).sum()) for row in rows}
    assert found.tolist() == sorted(distances, key=distances.__getitem__)[:7]

"""Limits of what is odd."""

from __future__ import annotations

import numpy as np
import pytest

from allencv_al.data_audit.image_checks import odd_images, outliers, rare_classes
from allencv_al.data_audit.image_facts import ImageFacts


def facts(sizes: list[tuple[int, int]], **values: list[float]) -> ImageFacts:
    count = len(sizes)
    usual = {"brightest": 0.9, "darkest": 0.1, "sharpness": 0.7}
    columns = {
        name: np.array(values.get(name, [value] * count), np.float32)
        for name, value in usual.items()
    }
    copies = np.zeros((count, 32, 32), np.uint8)
    return ImageFacts(np.array(sizes), **columns, copies=copies)


def test_usual_images_are_not_odd() -> None:
    generator = np.random.default_rng(0)
    sizes = [(int(w), int(w * 0.75)) for w in generator.integers(300, 500, 200)]
    assert list(odd_images(facts(sizes))) == []
    assert list(odd_images(facts([(32, 32)] * 50))) == []


def test_a_pixel_more_is_not_odd_where_all_are_equal() -> None:
    assert list(odd_images(facts([(500, 375)] * 50 + [(500, 374)]))) == []


@pytest.mark.parametrize("size", [(2000, 20), (20, 2000), (30, 30), (9000, 9000)])
def test_another_size_or_shape_is_odd(size: tuple[int, int]) -> None:
    found = list(odd_images(facts([(500, 375)] * 50 + [size])))
    assert [(one.kind, one.place) for one in found] == [("odd_size", 50)]
    assert 0.3 < found[0].score < 1


def test_the_further_beyond_the_limit_the_more_certain() -> None:
    found = odd_images(
        facts(
            [(50, 50)] * 4,
            brightest=[0.02, 0.3, 0.5, 0.9],
            darkest=[0, 0, 0.96, 1.0],
            sharpness=[0.7, float("nan"), 0.01, 0.14],
        )
    )
    kinds: dict[str, list[tuple[int, float]]] = {}
    for one in found:
        kinds.setdefault(one.kind, []).append((one.place, one.score))
    assert [place for place, _ in kinds["dark"]] == [0, 1]
    assert kinds["dark"][0][1] > kinds["dark"][1][1]
    assert [place for place, _ in kinds["bright"]] == [2, 3]
    assert kinds["bright"][1][1] == pytest.approx(1, abs=0.01)
    assert [place for place, _ in kinds["blurred"]] == [2, 3]


def test_outliers_are_far_from_their_neighbors() -> None:
    cosines = np.full((100, 5), 0.7, np.float32)
    cosines += np.random.default_rng(0).normal(size=cosines.shape).astype(np.float32) * 0.002
    cosines[7] = 0.05
    cosines[8] = 0.95  # dense places are no fault
    found = sorted(outliers(cosines), key=lambda one: -one.score)
    assert found[0].place == 7
    assert found[0].score > 0.5
    assert 8 not in [one.place for one in found]
    assert all(one.score < 0.05 for one in found[1:])


def test_rare_classes() -> None:
    labels = ["a"] * 100 + ["b"] * 90 + ["c"] * 2
    found = list(rare_classes(labels))
    assert [(name, count) for name, count, _ in found] == [("c", 2)]
    assert list(rare_classes([])) == []
    assert list(rare_classes(["a"] * 3)) == []

"""Pairs that are one picture, and pairs that are not."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.audited_sets import cropped, scene
from PIL import Image, ImageEnhance, ImageOps

from allencv_al.data.instance import Instance
from allencv_al.data_audit.image_facts import facts_of_images
from allencv_al.data_audit.near_duplicates import (
    _boxes,
    _finer,
    cropped_correlation,
    near_duplicates,
)
from allencv_al.data_audit.nearest_images import nearest_images, short_vectors

COUNT = 40
CHANGES = {
    "resized": lambda image: image.resize((48, 43)),
    "cropped": cropped,
    "mirrored": ImageOps.mirror,
    "mirrored crop": lambda image: ImageOps.mirror(cropped(image)),
    "brightened": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
}


def copies_of(images: list[Image.Image]) -> np.ndarray:
    instances = [Instance(str(place), np.asarray(one)) for place, one in enumerate(images)]
    return facts_of_images(instances, description=None).facts.copies


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(change: str) -> None:
    images = [scene(seed) for seed in range(COUNT)]
    twins = [CHANGES[change](image) for image in images[:10]]
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(COUNT, 24))
    near = vectors[:10] + generator.normal(size=(10, 24)) * 0.2
    embeddings = np.concatenate([vectors, near]).astype(np.float32)
    neighbors, _ = nearest_images(short_vectors(embeddings), 10)
    pairs = near_duplicates(embeddings, neighbors, copies_of([*images, *twins]))
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert found == {(place, COUNT + place) for place in range(10)}
    assert (pairs.correlation > 0.93).all()
    assert (pairs.correlation <= 1).all()


def test_like_embeddings_of_other_pictures_are_no_copies() -> None:
    embeddings = np.ones((COUNT, 8), np.float32)
    embeddings += np.random.default_rng(0).normal(size=embeddings.shape).astype(np.float32) * 0.01
    neighbors, _ = nearest_images(short_vectors(embeddings), 10)
    copies = copies_of([scene(seed) for seed in range(COUNT)])
    assert len(near_duplicates(embeddings, neighbors, copies).first) == 0


def test_like_pixels_with_other_embeddings_are_no_copies() -> None:
    sky = np.tile(np.linspace(0, 255, 32).astype(np.uint8)[:, None], (1, 32))
    embeddings = np.eye(4, dtype=np.float32)
    neighbors, _ = nearest_images(short_vectors(embeddings), 3)
    assert len(near_duplicates(embeddings, neighbors, np.stack([sky] * 4)).first) == 0


@pytest.mark.parametrize("count", [0, 1])
def test_no_pair_without_two_images(count: int) -> None:
    rows = np.ones((count, 4), np.float32)
    copies = np.zeros((count, 32, 32), np.uint8)
    assert len(near_duplicates(rows, np.zeros((count, 0), np.int64), copies).first) == 0


def test_images_of_one_color_are_no_copies_of_anything() -> None:
    copies = np.zeros((3, 32, 32), np.uint8)
    copies[1] = 200
    neighbors = np.array([[1, 2], [0, 2], [0, 1]])
    assert len(near_duplicates(np.ones((3, 4), np.float32), neighbors, copies).first) == 0


def test_the_search_knows_who_is_the_crop_and_leaves_unlike_pairs() -> None:
    whole = np.asarray(scene(1, 64, 64).convert("L"), np.uint8)
    part = np.asarray(Image.fromarray(whole[4:60, 2:58]).resize((32, 32)))
    small = np.asarray(Image.fromarray(whole).resize((32, 32)))
    other = np.asarray(scene(2, 32, 32).convert("L"))
    one, two = np.stack([small, part, small]), np.stack([part, small, other])
    found = cropped_correlation(one, two)
    assert found[:2] == pytest.approx([found[0]] * 2, abs=0.02)
    assert found[0] > 0.97
    assert found[2] < 0.9


def test_boxes_are_inside_the_square_and_hold_four_fifths_of_it() -> None:
    for side in (8, 16, 32):
        for box in _boxes(side):
            assert box.top + box.height <= side
            assert box.left + box.width <= side
    assert all(min(box.height, box.width) >= 12 for box in _boxes(16))
    for box in _finer(_boxes(16)[0], 32):
        assert box.top >= 0
        assert box.top + box.height <= 32

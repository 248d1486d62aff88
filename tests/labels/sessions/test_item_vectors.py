"""Vectors of images: short, and those of one model."""

from __future__ import annotations

import numpy as np
from fixtures.session_answers import MakeStore

from allencv_al.labels.sessions.labeling_store import LabelingStore

FloatRows = np.ndarray[tuple[int, int], np.dtype[np.float32]]


def embeddings(count: int, width: int = 200) -> FloatRows:
    generator = np.random.default_rng(0)
    flat = generator.normal(size=(count, 5)) @ generator.normal(size=(5, width))
    return (flat + 3).astype(np.float32)


def test_products_are_cosines_around_the_mean(make_store: MakeStore) -> None:
    store, rows = make_store(30), embeddings(30)
    ids = [f"{number}.png" for number in range(30)]
    store.vectors.add("a model", ids, rows)
    found = store.vectors.load()
    assert found.values.dtype == np.float32 and found.values.shape == (30, 30)
    centered = rows - rows.mean(axis=0)
    centered /= np.linalg.norm(centered, axis=1, keepdims=True)
    np.testing.assert_allclose(found.values @ found.values.T, centered @ centered.T, atol=5e-3)
    assert found.items.tolist() == list(range(1, 31))


def test_later_images_are_put_on_the_same_axes(make_store: MakeStore) -> None:
    rows = embeddings(30)
    ids = [f"{number}.png" for number in range(30)]
    whole, parts = make_store(30, name="whole"), make_store(30, name="parts")
    whole.vectors.add("a model", ids, rows)
    parts.vectors.add("a model", ids, rows)
    parts.vectors.add("a model", ids[20:], rows[20:])
    np.testing.assert_array_equal(parts.vectors.load().values, whole.vectors.load().values)


def test_another_model_replaces_all(store: LabelingStore) -> None:
    assert store.vectors.missing("a model") == [f"{number}.png" for number in range(5)]
    assert len(store.vectors.load()) == 0
    store.vectors.add("a model", ["1.png", "3.png", "no image here"], embeddings(3))
    assert store.vectors.missing("a model") == ["0.png", "2.png", "4.png"]
    assert store.vectors.load().items.tolist() == [2, 4]
    assert len(store.vectors.missing("another")) == 5
    store.vectors.add("another", ["0.png", "1.png"], embeddings(2, 7))
    assert store.vectors.load().items.tolist() == [1, 2]
    assert store.vectors.load().values.shape == (2, 2)


def test_equal_images_have_no_direction(store: LabelingStore) -> None:
    store.vectors.add("a model", ["0.png", "1.png"], np.ones((2, 4), np.float32))
    assert not store.vectors.load().values.any()


def test_layouts_are_kept_for_the_vectors_that_they_were_computed_from(
    store: LabelingStore,
) -> None:
    ids, rows = [f"{number}.png" for number in range(5)], embeddings(5)
    assert store.vectors.layouts() == {}
    store.vectors.add("a model", ids[:3], rows[:3])
    places = np.arange(6, dtype=np.float32).reshape(3, 2)
    store.vectors.keep_layout("tsne", store.vectors.load().digest, places)
    store.vectors.keep_layout("tsne", store.vectors.load().digest, places + 1)
    with LabelingStore(store.database.path) as again:
        np.testing.assert_array_equal(again.vectors.layouts()["tsne"], places + 1)
    store.vectors.add("a model", ids, rows)  # images that came since have no place on it
    assert store.vectors.layouts() == {}

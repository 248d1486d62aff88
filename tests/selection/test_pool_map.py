"""The map of a labeling: its points and what colors them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fixtures.session_answers import CAT, DOG, label

from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.selection import pool_map
from allencv_al.selection.page_groups import PageGroups
from allencv_al.selection.pool_map import PointState, PoolMap
from allencv_al.selection.projections import principal_plane

COUNT = 40


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelingStore]:
    """A labeling of images with and without a vector; the model is less sure of later ones."""
    with LabelingStore(tmp_path / "labeling.sqlite") as opened:
        opened.classes.add(["cat", "dog"], "owner")
        items = [
            NewItem(f"{number}.png", tmp_path / f"{number}.png", guess=[("dog", 1 - number / 100)])
            for number in range(1, COUNT + 2)
        ]
        opened.items.open_batch(items)
        rows = np.random.default_rng(0).normal(size=(COUNT, 6)).astype(np.float32)
        opened.vectors.add("made", [item.id for item in items[:COUNT]], rows)
        yield opened


def map_of(store: LabelingStore) -> PoolMap:
    return PoolMap(store, PageGroups(store))


def test_the_points_are_the_images_with_vectors_in_one_scale(store: LabelingStore) -> None:
    found = map_of(store).points("pca")
    assert found is not None and found.items.tolist() == list(range(1, COUNT + 1))
    plane = principal_plane(store.vectors.load().values)
    wide = plane.max(axis=0) - plane.min(axis=0)
    assert found.places.dtype == np.uint16
    assert found.places[:, 0].min() == 0 and found.places[:, 0].max() == 65_535
    moved = found.places - found.places.mean(axis=0)
    expected = (plane - plane.mean(axis=0)) / wide.max() * 65_535
    np.testing.assert_allclose(moved, expected, atol=1.5)


def test_a_large_labeling_is_sampled_alike_in_places_and_values(
    store: LabelingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(store, "ben", 7, DOG)
    whole_items = map_of(store).items()
    _, whole = map_of(store).values()
    monkeypatch.setattr(pool_map, "MOST_POINTS", 25)
    sampled = map_of(store)
    found = sampled.points("pca")
    assert found is not None and len(found.items) == 25
    np.testing.assert_array_equal(found.items, map_of(store).items())
    rows = np.searchsorted(whole_items, found.items)
    np.testing.assert_array_equal(sampled.values()[1].states, whole.states[rows])


def test_values_are_labels_predictions_and_states(store: LabelingStore) -> None:
    label(store, "ben", 1, CAT)
    label(store, "ben", 2, DOG)
    store.answers.add(NewAnswer("Anna", "unsure-key", 3, LabelKind.UNSURE))
    _, values = map_of(store).values()
    assert list(values.classes) == ["cat", "dog"]
    assert values.labels[:4].tolist() == [1, 2, 0, 0]
    assert values.states[:4].tolist() == [
        *(PointState.LABELED, PointState.LABELED, PointState.UNSURE, PointState.WAITING)
    ]
    assert set(values.predicted.tolist()) == {2} and set(values.batches.tolist()) == {1}
    np.testing.assert_allclose(values.probabilities[:3], [0.99, 0.98, 0.97])
    assert map_of(store).prediction(3) == ("dog", pytest.approx(0.97))
    assert map_of(store).prediction(COUNT + 1) is None, "it has no point"


def test_images_that_are_labeled_unseen_have_no_prediction(store: LabelingStore) -> None:
    groups = PageGroups(store)
    shown = PoolMap(store, groups)
    tag, before = shown.values()
    assert before.predicted[4] == 2
    store.audit.add(["5.png"])
    other, after = shown.values()
    assert other != tag and after.predicted[4] == 0 and after.probabilities[4] == 0
    assert shown.prediction(5) is None and shown.prediction(6) is not None


def test_values_are_read_anew_only_after_a_change(store: LabelingStore) -> None:
    shown = map_of(store)
    tag, values = shown.values()
    assert shown.values()[1] is values
    label(store, "ben", 1)
    assert shown.values()[0] != tag
    tag = shown.values()[0]
    store.classes.rename(1, "kitten", "owner")
    assert shown.values()[0] != tag and shown.values()[1].classes[0] == "kitten"


def test_slow_layouts_are_computed_once_and_kept(
    store: LabelingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(
        pool_map, "projected", lambda rows, name: (calls.append(name), rows[:, :2])[1]
    )
    shown = map_of(store)
    assert shown.layouts() == ["pca"] and shown.points("tsne") is None
    assert not shown.compute("pca")
    assert shown.compute("tsne") and shown.layouts() == ["tsne", "pca"]
    first = shown.points("tsne")
    assert map_of(store).compute("tsne") and calls == ["tsne"]
    second = map_of(store).points("tsne")
    assert first is not None and second is not None
    np.testing.assert_array_equal(first.places, second.places)


def test_a_labeling_without_vectors_has_no_map(tmp_path: Path) -> None:
    with LabelingStore(tmp_path / "labeling.sqlite") as empty:
        shown = map_of(empty)
        assert shown.version == "" and len(shown.items()) == 0
        assert not shown.compute("tsne")
        assert len(shown.values()[1].states) == 0
        points = shown.points("pca")
        assert points is not None and points.places.shape == (0, 2)

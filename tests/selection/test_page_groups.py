"""Pages of a labeling: by a model, by the labels so far, by likeness, or in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fixtures.session_answers import CAT, DOG, label

from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.selection.page_groups import Arrangement, GroupRequest, PageGroups

MakeStore = Callable[..., LabelingStore]


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[MakeStore]:
    """Return a function that makes a labeling of 80 images: the even ones are cats."""
    made: list[LabelingStore] = []

    def make(has_guesses: bool = False, has_vectors: bool = False) -> LabelingStore:
        store = LabelingStore(tmp_path / str(len(made)) / "labeling.sqlite")
        made.append(store)
        store.classes.add(["cat", "dog"], "owner")
        items = []
        for number in range(1, 81):
            guess = [("dog" if number % 2 else "cat", 0.5 + number / 200)] if has_guesses else []
            items.append(NewItem(f"{number}.png", tmp_path / f"{number}.png", guess=guess))
        store.items.open_batch(items)
        if has_vectors:
            generator = np.random.default_rng(0)
            rows = generator.normal(0, 0.1, (80, 6)).astype(np.float32)
            rows[:, 0] += [-1 if number % 2 else 1 for number in range(1, 81)]
            store.vectors.add("made", [item.id for item in items], rows)
        return store

    yield make
    for store in made:
        store.close()


def page(
    store: LabelingStore, who: str = "anna", **request: object
) -> tuple[str, str | None, list[int]]:
    found = PageGroups(store).group(who, GroupRequest(**{"count": 12, **request}))  # type: ignore[arg-type]
    return found.by, found.class_name, [item.item for item, _ in found.items]


def test_without_a_model_images_come_in_order(make_store: MakeStore) -> None:
    store = make_store()
    assert page(store) == ("order", None, list(range(1, 13)))
    assert page(store, "ben") == ("order", None, list(range(13, 25)))
    assert page(store, but=[1, 2]) == ("order", None, [*range(3, 13), 25, 26])
    assert PageGroups(store).kinds() == ["order"]
    assert page(store, by="class") == ("class", None, [])


def test_the_surest_of_a_model_come_first(make_store: MakeStore) -> None:
    store = make_store(has_guesses=True)
    assert page(store) == ("class", "cat", list(range(80, 56, -2)))
    assert page(store, class_name="dog") == ("class", "dog", list(range(79, 55, -2)))
    assert page(store, class_name="bird") == ("order", None, [*range(1, 13)])
    assert page(store, by="class", class_name="bird") == ("class", "bird", [])
    assert PageGroups(store).kinds() == ["class", "order"]


def test_an_image_that_was_taken_out_comes_for_another_class(make_store: MakeStore) -> None:
    store = make_store(has_guesses=True)
    by, name, found = page(store, class_name="cat", denied={80: ["cat"], 78: ["cat", "dog"]})
    assert (by, name, found[0]) == ("class", "cat", 76)
    assert not {80, 78} & set(
        page(store, by="order", count=60, denied={80: ["cat"], 78: ["dog"]})[2]
    )


def test_alike_images_come_before_there_are_labels_and_sure_ones_after(
    make_store: MakeStore,
) -> None:
    store = make_store(has_vectors=True)
    by, name, found = page(store)
    assert (by, name) == ("alike", None) and len({item % 2 for item in found}) == 1
    for item in (2, 4, 6):
        label(store, "anna", item, CAT)
    for item in (1, 3, 5):
        label(store, "anna", item, DOG)
    by, name, found = page(store)
    assert by == "class" and {item % 2 for item in found} == {0 if name == "cat" else 1}
    assert not set(found) & set(range(1, 7))
    assert PageGroups(store).kinds() == ["class", "alike", "order"]


def test_more_like_one_image(make_store: MakeStore) -> None:
    store = make_store(has_vectors=True)
    by, _, found = page(store, like=17)
    assert by == "alike" and found[0] == 17 and {item % 2 for item in found} == {1}
    assert page(make_store(), like=17) == ("alike", None, [])


def test_the_audit_sample_is_labeled_unseen_and_alone(make_store: MakeStore) -> None:
    store = make_store(has_guesses=True)
    store.audit.add(["80.png", "76.png"])
    assert page(store, class_name="cat")[2][:2] == [78, 74]
    assert not {80, 76} & set(page(store, by="order", count=60)[2])


def test_images_that_came_later_without_a_prediction_are_not_lost(make_store: MakeStore) -> None:
    store = make_store(has_guesses=True)
    store.items.open_batch([NewItem("late.png", Path("late.png"))])
    for item in range(1, 81):
        label(store, "anna", item, CAT if item % 2 == 0 else DOG)
    assert page(store) == ("order", None, [81])


def test_labels_are_arranged_by_what_the_model_says(make_store: MakeStore) -> None:
    store = make_store(has_guesses=True, has_vectors=True)
    for item in range(1, 11):
        label(store, "anna", item, CAT if item % 2 == 0 or item == 7 else DOG)
    groups, items = PageGroups(store), list(range(1, 11))

    def arranged(**wish: object) -> list[int]:
        return groups.arranged(items, Arrangement(**wish))[0]  # type: ignore[arg-type]

    assert arranged(disagrees=True) == [7]
    assert arranged(predicted="dog") == [1, 3, 5, 7, 9]
    assert arranged(sort="surest") == items[::-1]
    assert arranged(predicted="cat", sort="least") == [2, 4, 6, 8, 10]
    alike = arranged(like=4)
    assert alike[0] == 4 and sorted(alike) == items
    assert {item % 2 for item in alike[:5]} == {0}
    assert groups.arranged(items, Arrangement(sort="least"))[1][7] == ("dog", 0.535)


def test_labels_that_are_no_class_have_no_predictions(make_store: MakeStore) -> None:
    store = make_store(has_guesses=True)
    store.values.set_task("detection")
    assert PageGroups(store).predictions() is None

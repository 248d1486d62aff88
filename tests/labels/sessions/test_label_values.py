"""Labels that are more than one class are numbers to all else, and follow a renaming."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.labels.label_store import LabelConflict, LabelKind
from allencv_al.labels.sessions import label_values
from allencv_al.labels.sessions.answers import Answer, NewAnswer
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.labels.sessions.reviews import ReviewFilter

MakeStore = Callable[..., LabelingStore]
BOX = {"x": 1, "y": 2, "width": 3, "height": 4}


@pytest.fixture
def store(store: LabelingStore) -> LabelingStore:
    """A labeling of five images, for boxes of cats and dogs."""
    store.values.set_task("detection")
    return store


def boxes(*classes: str) -> str:
    return json.dumps([{"label": name, **BOX} for name in classes])


def answer(store: LabelingStore, item: int, text: str, annotator: str = "Anna") -> Answer:
    key = f"{annotator}-{item}-{len(store.answers.events())}"
    return store.answers.add(NewAnswer(annotator, key, item, LabelKind.LABEL, text=text))


def test_equal_boxes_are_one_number_and_their_text_has_names(store: LabelingStore) -> None:
    first, second = answer(store, 1, boxes("c1")), answer(store, 2, boxes("c1"))
    other = answer(store, 3, boxes("c2", "c1"))
    assert first.class_id == second.class_id != other.class_id
    assert store.values.texts([first.class_id]) == {first.class_id: boxes("cat")}
    assert store.values.numbered_texts([other.class_id]) == {other.class_id: boxes("c2", "c1")}
    shown = store.values.shown(store.values.texts([other.class_id]))
    assert list(shown.values()) == ["1 cat, 1 dog"]


def test_no_box_at_all_is_a_label(store: LabelingStore) -> None:
    answer(store, 1, "[]")
    assert store.agreed_labels(1)[0].label == "[]"


def test_boxes_are_undone_and_given_anew(store: LabelingStore) -> None:
    first = answer(store, 1, boxes("c1"))
    second = answer(store, 1, boxes("c2"))
    assert store.agreed_labels(1)[0].label == boxes("dog")
    store.answers.undo("Anna", second.event_id)
    assert store.agreed_labels(1)[0].event_id == first.event_id
    assert store.agreed_labels(1)[0].label == boxes("cat")


def test_a_renaming_reaches_the_boxes(store: LabelingStore) -> None:
    answer(store, 1, boxes("c1"))
    store.classes.rename(1, "tiger", "Anna")
    assert store.agreed_labels(1)[0].label == boxes("tiger")


def test_classes_are_listed_without_labels_and_count_images(store: LabelingStore) -> None:
    answer(store, 1, boxes("c1", "c1"))
    answer(store, 2, boxes("c1", "c2"))
    assert [(one.name, one.count) for one in store.classes.all()] == [("cat", 2), ("dog", 1)]
    assert store.classes.names() == {1: "cat", 2: "dog"}
    with pytest.raises(LabelConflict, match='"cat" has been chosen'):
        store.classes.remove(1, "Anna")


def test_a_class_in_boxes_of_a_finished_round_keeps_its_name(tmp_path: Path) -> None:
    with LabelingStore(tmp_path / "labeling.sqlite") as store:
        store.values.set_task("detection")
        store.classes.add(["cat", "dog"], "owner")
        store.items.open_batch([NewItem("a.png", tmp_path / "a.png")], 1)
        answer(store, 1, boxes("c1"))
        store.finish(1)
        with pytest.raises(LabelConflict, match='"cat" has labels of rounds'):
            store.classes.rename(1, "tiger", "Anna")
        store.classes.rename(2, "wolf", "Anna")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (boxes("c3"), "there is no class 'c3'"),
        (boxes("cat"), "there is no class 'cat'"),
        ('[{"label": "c1"}]', r"boxes\[0\]: expected a number of pixels as x"),
        ("cat", "expected a JSON array of boxes"),
    ],
)
def test_what_are_no_boxes_is_refused_and_leaves_nothing(
    store: LabelingStore, text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        answer(store, 1, text)
    assert store.answers.events() == []


def test_a_class_alone_is_no_label_of_boxes_nor_boxes_one_of_classes(store: LabelingStore) -> None:
    with pytest.raises(LabelConflict, match="more than a class"):
        store.answers.add(NewAnswer("Anna", "a-key-of-it", 1, LabelKind.LABEL, 1))
    store.values.set_task("single_label")
    with pytest.raises(LabelConflict, match="the number of a class"):
        answer(store, 1, boxes("c1"))


def test_the_kind_of_labels_stays_once_there_are_labels(
    store: LabelingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(store, 1, "[]")
    store.values.set_task("detection")
    with pytest.raises(LabelConflict, match="has labels of the kind detection, expected single"):
        store.values.set_task("single_label")
    monkeypatch.setattr(label_values, "WIDGETS", ("choices",))
    with pytest.raises(DataError, match="cannot edit labels of the kind segmentation"):
        store.values.set_task("segmentation")


def test_two_annotators_with_other_boxes_are_in_conflict(make_store: MakeStore) -> None:
    store = make_store(1, labels_per_image=2, name="b")
    store.values.set_task("detection")
    answer(store, 1, boxes("c1"))
    other = answer(store, 1, boxes("c2"), "Ben")
    assert store.counts.progress(1, "").conflicts == 1
    store.reviews.decide("Eve", "key-of-review", [1], LabelKind.LABEL, other.class_id)
    assert store.agreed_labels(1)[0].label == boxes("dog")


def test_the_table_has_the_boxes(store: LabelingStore, tmp_path: Path) -> None:
    answer(store, 1, boxes("c1"))
    assert store.write_table(tmp_path / "labels.csv") == 1


def tags_of(make_store: MakeStore, **options: int) -> LabelingStore:
    store = make_store(3, name="tags", **options)
    store.values.set_task("multi_label")
    store.classes.add([f"bird {number}" for number in range(9)], "owner")  # up to c11
    return store


def test_classes_of_an_image_are_one_label_in_any_order(make_store: MakeStore) -> None:
    store = tags_of(make_store)
    first = answer(store, 1, '["c11", "c2", "c2"]')
    assert answer(store, 2, '["c2","c11"]').class_id == first.class_id
    none = answer(store, 3, "[]")
    texts = store.values.texts([first.class_id, none.class_id])
    assert texts == {first.class_id: '["bird 8", "dog"]', none.class_id: "[]"}
    assert [*store.values.shown(texts).values()] == ["bird 8, dog", "(none)"]
    assert store.values.widget == "tags"


def test_a_renaming_reaches_the_classes_of_an_image(make_store: MakeStore, tmp_path: Path) -> None:
    store = tags_of(make_store)
    answer(store, 1, '["c1", "c11"]')
    store.classes.rename(1, "Tiger", "Anna")
    with pytest.raises(LabelConflict, match='"Tiger" has been chosen'):
        store.classes.remove(1, "Anna")
    assert store.agreed_labels(1)[0].label == '["Tiger", "bird 8"]'
    (tmp_path / "0.png").touch()
    store.write_table(tmp_path / "labels.csv")
    [read] = DatasetReader.by_name("manifest")().read(tmp_path / "labels.csv")
    assert read.labels == ("Tiger", "bird 8")
    counts = {one.name: one.count for one in store.classes.all() if one.count}
    assert counts == {"Tiger": 1, "bird 8": 1}


@pytest.mark.parametrize(
    "text", ['["c12"]', '"c1"', '[["c1"]]', '{"c1": 1}', "[NaN]", "[1]", '[""]']
)
def test_what_are_no_classes_of_an_image_is_refused(make_store: MakeStore, text: str) -> None:
    store = tags_of(make_store)
    with pytest.raises(DataError):
        answer(store, 1, text)
    assert store.answers.events() == []


def test_classes_of_masks_keep_their_places(make_store: MakeStore) -> None:
    store = make_store(2, name="masks")
    store.values.set_task("segmentation")
    text = '{"size": [1, 2], "counts": {"2": "11"}}'
    answer(store, 1, text)
    store.classes.rename(2, "wolf", "Anna")
    assert store.agreed_labels(1)[0].label == text
    with pytest.raises(LabelConflict, match='masks name their classes by place, so that "cat"'):
        store.classes.remove(1, "Anna")
    for wrong in ("[]", '{"size": [1, 2], "counts": {"1": "zz"}}', "{" * 40_000, '["c1"]'):
        with pytest.raises(DataError):
            answer(store, 2, wrong)


def test_a_review_finds_the_labels_that_have_a_class(make_store: MakeStore) -> None:
    store = tags_of(make_store)
    for item, text in enumerate(('["c1", "c2"]', '["c11"]', "[]"), start=1):
        answer(store, item, text)
    for class_id, items in ((1, [1]), (2, [1]), (11, [2]), (3, [])):
        found = store.reviews.items(ReviewFilter(class_id=class_id), None, 10)
        assert [one.item.item for one in found] == items
        assert store.reviews.numbers(ReviewFilter(class_id=class_id)) == items

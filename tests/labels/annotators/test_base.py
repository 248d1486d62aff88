"""The request of a round, and the check of what an annotator returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from allencv_al.common.errors import DataError
from allencv_al.common.user_mistakes import UserCodeError
from allencv_al.data.instance import Instance
from allencv_al.labels import Annotator, LabelRequest, NewLabel, Query
from allencv_al.labels.annotators.base import checked_answers
from allencv_al.labels.label_table import PickedImage

ITEMS = [Instance(id, Path(id)) for id in ("a.png", "b.png")]


class NoAnnotator(Annotator):
    """Returns nothing."""

    def annotate(self, request: LabelRequest) -> list[NewLabel]:
        return []


def label(id: str) -> NewLabel:
    return NewLabel(id, "cat", "me", 0, "test")


def request(is_partial: bool = False, dropped: Sequence[str] = ()) -> LabelRequest:
    queries = [Query(rank, item.id, -rank / 2, {"rank": rank}) for rank, item in enumerate(ITEMS)]
    return LabelRequest(
        round=0,
        items=ITEMS,
        queries=queries,
        classes=None,
        folder=Path(),
        predicted={"a.png": "cat"},
        probabilities={"a.png": 0.9},
        is_partial=is_partial,
        dropped=dropped,
    )


def test_picks_join_items_queries_and_predictions() -> None:
    assert request().picks() == [
        PickedImage(1, ITEMS[0], 0.0, "cat", 0.9),
        PickedImage(2, ITEMS[1], -0.5),
    ]


@pytest.mark.parametrize(
    ("ids", "fault"),
    [
        (["a.png"], "has no answer: b.png"),
        (["a.png", "b.png", "c.png"], "was not asked for: c.png"),
        (["a.png", "b.png", "a.png"], "came twice: a.png"),
    ],
)
def test_each_image_needs_one_label(ids: list[str], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        checked_answers(NoAnnotator(), request(), [label(id) for id in ids])


def test_a_partial_request_needs_one_label_in_all() -> None:
    found = checked_answers(NoAnnotator(), request(is_partial=True), [label("b.png")])
    assert [one.id for one in found] == ["b.png"]
    with pytest.raises(DataError, match="has no answer"):
        checked_answers(NoAnnotator(), request(is_partial=True), [])


def test_labels_of_dropped_images_are_ignored() -> None:
    labels = [label(id) for id in ("a.png", "b.png", "gone.png")]
    found = checked_answers(NoAnnotator(), request(dropped=["gone.png"]), labels)
    assert [one.id for one in found] == ["a.png", "b.png"]


@pytest.mark.parametrize("labels", ["a.png", ["a.png"], [NewLabel("a.png", None, "me", 0, "test")]])
def test_what_is_no_label_is_a_mistake_of_the_annotator(labels: object) -> None:
    with pytest.raises(UserCodeError, match=r"NoAnnotator\.annotate"):
        checked_answers(NoAnnotator(), request(), labels)  # type: ignore[arg-type]

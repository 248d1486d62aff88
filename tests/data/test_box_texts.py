"""The text of a label of boxes."""

from __future__ import annotations

import json
import re

import pytest

from allencv_al.data.box_texts import boxes_problem, boxes_text, text_of_boxes, with_boxes
from allencv_al.data.instance import IgnoredBox, Instance

BOX = {"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4.5}
ITEM = Instance(
    "a",
    b"",
    boxes=((1, 2, 4, 6.5),),
    box_labels=("cat",),
    ignored=(IgnoredBox((0, 0, 9, 9), "dog", is_crowd=True), IgnoredBox((1, 1, 2, 2), "emu")),
)


def test_boxes_come_back_from_their_text() -> None:
    text = text_of_boxes(ITEM)
    assert boxes_problem(text) is None
    assert with_boxes(Instance("a", b""), text) == ITEM


def test_one_label_has_one_text() -> None:
    written = [BOX | {"x": 1.0, "label": " cat ", "difficult": False, "color": "red"}]
    assert boxes_text(written) == json.dumps([BOX])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"label": "cat"}', "expected a JSON array of boxes"),
        ("[" * 100_000, "expected a JSON array of boxes"),
        ('["cat"]', r"boxes\[0\]: expected an object with a label"),
        (json.dumps([BOX, BOX | {"height": 0}]), r"boxes\[1\]: expected a box with an area"),
        (json.dumps([BOX | {"crowd": 1}]), r"boxes\[0\]: expected true or false as crowd"),
        (json.dumps([BOX | {"label": "catt"}]), r'"catt" is no class; did you mean "cat"'),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, expected: str) -> None:
    problem = boxes_problem(text, ("cat",))
    assert problem is not None and re.search(expected, problem)

import json

import pytest

from allencv_al.data.instance import Instance
from allencv_al.tasks import label_task

TASK = label_task("detection")
BOX = {"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4}


def test_whole_numbers_are_one_text():
    items = [
        Instance("a", b"", boxes=((1, 2, 4, 6.5),), box_labels=("cat",)),
        Instance("a", b"", boxes=((1.0, 2.0, 4.0, 6.5),), box_labels=("cat",)),
    ]
    texts = {TASK.text_of(item) for item in items}
    assert texts == {'[{"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4.5}]'}


def test_no_object_is_a_label():
    item = TASK.labeled(Instance("a", b""), "[]")
    assert (item.boxes, item.box_labels, item.is_labeled) == ((), (), True)
    assert TASK.text_of(item) == "[]"
    assert TASK.shown("[]") == "(none)"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"width": 0}, "area"),
        ({"x": True}, "number of pixels as x"),
        ({"y": float("nan")}, "number of pixels as y"),
        ({"label": 3}, "with a label"),
    ],
)
def test_a_wrong_box_is_named_by_its_place(change, expected):
    problem = TASK.problem(json.dumps([BOX, BOX | change]))
    assert problem is not None
    assert problem.startswith("boxes[1]: ")
    assert expected in problem


def test_a_person_reads_counts_by_class():
    text = json.dumps([BOX, BOX | {"label": "dog"}, BOX])
    assert TASK.shown(text) == "2 cat, 1 dog"
    assert TASK.stratum(text) == "cat, dog"

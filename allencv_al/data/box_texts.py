"""The text of a label of boxes: a JSON array with an object per box."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import class_name, did_you_mean
from allencv_al.data.instance import IgnoredBox, Instance

_SIDES = ("x", "y", "width", "height")
_MARKS = ("difficult", "crowd")
_EXAMPLE = '[{"label": "cat", "x": 4, "y": 6, "width": 20, "height": 10}]'
_MOST_PIXELS = 1e9  # also a limit for whole numbers that no float holds


def boxes_text(boxes: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of a label with these boxes, in the order given.

    Args:
        boxes: Mappings with `label`, `x`, `y`, `width` and `height`, and perhaps `difficult` or
            `crowd`.
    """
    rows = [
        {
            "label": class_name(box["label"]),
            **{side: _number(box[side]) for side in _SIDES},
            **{mark: True for mark in _MARKS if box.get(mark)},
        }
        for box in boxes
    ]
    return json.dumps(rows, ensure_ascii=False)


def text_of_boxes(instance: Instance) -> str:
    """Return the text of the boxes of an image that has a list of them, also of ignored ones."""
    boxes = instance.boxes or ()
    names = instance.box_labels or ("",) * len(boxes)
    rows = [
        *((name, box, {}) for name, box in zip(names, boxes, strict=True)),
        *((one.name, one.box, {_MARKS[one.is_crowd]: True}) for one in instance.ignored),
    ]
    return boxes_text(
        {"label": name, "x": left, "y": top, "width": right - left, "height": bottom - top} | mark
        for name, (left, top, right, bottom), mark in rows
    )


def with_boxes(instance: Instance, text: str) -> Instance:
    """Return an image with the boxes of a text in which `boxes_problem` finds nothing wrong."""
    boxes, names, ignored = [], [], []
    for one in json.loads(text):
        box = (one["x"], one["y"], one["x"] + one["width"], one["y"] + one["height"])
        if any(one.get(mark) for mark in _MARKS):
            ignored.append(IgnoredBox(box, one["label"], one.get("crowd", False)))
        else:
            boxes.append(box)
            names.append(one["label"])
    return replace(instance, boxes=tuple(boxes), box_labels=tuple(names), ignored=tuple(ignored))


def boxes_problem(text: str, classes: Collection[str] | None = None) -> str | None:
    """Return what is wrong with a text as a label of boxes; None if nothing is.

    Args:
        text: The text.
        classes: The allowed class names; None allows any.
    """
    try:
        boxes = json.loads(text)
    except (ValueError, RecursionError):  # a request may nest lists without end
        boxes = None
    if not isinstance(boxes, list):
        return f"expected a JSON array of boxes such as {_EXAMPLE}, found {text[:80]}"
    for place, box in enumerate(boxes):
        fault = _box_problem(box, classes)
        if fault is not None:
            return f"boxes[{place}]: {fault}"
    return None


def _number(value: float) -> float | int:
    # 3.0 and 3 are one number, so they must be one text
    return int(value) if float(value).is_integer() else float(value)


def _box_problem(box: Any, classes: Collection[str] | None) -> str | None:
    if not isinstance(box, dict) or not isinstance(box.get("label"), str):
        return f"expected an object with a label, found {repr_json(box)}"
    for side in _SIDES:
        value: Any = box.get(side)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and abs(value) <= _MOST_PIXELS):
            return f"expected a number of pixels as {side}, found {repr_json(value)}"
    for mark in _MARKS:
        if not isinstance(box.get(mark, False), bool):
            return f"expected true or false as {mark}, found {repr_json(box[mark])}"
    if box["width"] <= 0 or box["height"] <= 0:
        return f"expected a box with an area, found {repr_json(box)}"
    if classes is not None and class_name(box["label"]) not in classes:
        return f"{repr_json(box['label'])} is no class{did_you_mean(box['label'], classes)}"
    return None

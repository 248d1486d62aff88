"""Labels of every kind as the objects of an image, by which other programs write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from allencv_al.common.errors import DataError, ImageDecodeError
from allencv_al.common.files.json_values import repr_json
from allencv_al.data.dataset_readers.objects.image_objects import (
    VOID,
    AnnotatedObject,
    Annotation,
    Coordinates,
    ObjectInstances,
    Size,
    Target,
)
from allencv_al.data.drawn_masks import Region, layers_of
from allencv_al.data.image_io import image_frame, load_mask
from allencv_al.labels.exchange import CARRIED, OF_ANNOTATORS
from allencv_al.labels.exchange.annotation_entries import always
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.tasks.base import label_task

_TARGETS: Mapping[str, Target] = {
    "multi_label": "labels",
    "detection": "boxes",
    "segmentation": "masks",
}
"""The kind of label that the objects of an image become, for each task."""


CLASSES_ALONE = ("single_label", "multi_label")
"""The tasks whose labels are classes of the whole image, so that its size does not matter."""


def check_carries(name: str, task: str) -> None:
    """Raise a DataError unless a format can hold labels of a task.

    Args:
        name: The format.
        task: The registered name of the task.
    """
    if task not in CARRIED.get(name, (task,)):
        fitting = sorted(other for other in CARRIED if task in CARRIED[other])
        raise DataError(
            f"the format {name} holds no labels of the kind {task}; these do: "
            f"{', '.join(['csv', 'jsonl', *fitting])}"
        )


def holds_objects(name: str, task: str) -> bool:
    """Return whether a format holds labels of a task as objects, and not as a text.

    Args:
        name: The format.
        task: The registered name of the task.
    """
    # Label Studio's choice of one class is older here than its regions, and reads the same
    is_text = name in OF_ANNOTATORS and name != "label-studio"
    return not is_text and (name, task) != ("label-studio", "single_label")


def label_of_objects(
    task: str,
    entry: LabelEntry,
    image: Path | bytes | None,
    classes: Sequence[str] = (),
    coordinates: Coordinates = "auto",
) -> str | None:
    """Return the text of the label that the objects of an entry are; None if they are none.

    Args:
        task: The registered name of the task of the label.
        entry: The entry; it has objects.
        image: The file of its image, or the content; None where the label is of classes alone.
        classes: For masks: the names of the class indices, from 1; without them the indices are
            the names, as `with_objects` writes them.
        coordinates: Pixels that the objects refer to where the image has an EXIF orientation.

    Raises:
        DataError: The objects do not fit the image.
        ImageDecodeError: It cannot be read.
    """
    assert entry.objects is not None
    if task not in _TARGETS:
        raise DataError(f"objects are no labels of the kind {task}")
    frame = None if image is None else image_frame(image)
    names = classes or [str(index) for index in range(1, VOID + 1)]
    made = ObjectInstances(coordinates, target=_TARGETS[task], classes=names)
    annotation = entry.objects(frame, made.problems)
    if annotation is not None:
        instance = made.make(entry.id, Path(entry.id), annotation, frame)
        if instance.boxes is not None and frame is not None:
            size = frame.upright_size
            # A label is a text that outlives its image file, so that nothing can cut it later
            instance = replace(instance, boxes=tuple(_cut(box, size) for box in instance.boxes))
    made.finish(entry.id)
    return None if annotation is None else label_task(task).text_of(instance)


def tag_of(entry: LabelEntry) -> str | None:
    """Return the class of the whole image, if the objects of an entry hold exactly one."""
    annotation = None if entry.objects is None else entry.objects(None, [])
    tags = set() if annotation is None else set(annotation.tags)
    # Of two classes neither is the one class of the image
    return tags.pop() if len(tags) == 1 else None


def with_objects(
    entries: Sequence[LabelEntry], task: str, classes: Sequence[str] = ()
) -> list[LabelEntry]:
    """Return entries with their labels as objects, for formats that write these.

    Boxes and masks need the image files, of which headers are read, classes do not.

    Args:
        entries: Entries of a labeling or a run; their images are files.
        task: The registered name of the task of their labels.
        classes: For masks: the names of the class indices, from 1; without them the indices are
            the names.

    Raises:
        DataError: The file of an image is missing.
    """
    convert = _FROM_TEXT[task]
    found, missing = [], []
    for entry in entries:
        if entry.label is None:
            found.append(entry)
            continue
        file = Path(entry.image or "")
        try:
            size = image_frame(file).upright_size if file.is_file() else None
        except ImageDecodeError:
            if task not in CLASSES_ALONE:
                raise
            size = None
        if size is None and task not in CLASSES_ALONE:
            missing.append(entry.id)
            continue
        annotation = convert(entry.label, size, classes, file.parent)
        found.append(replace(entry, objects=always(annotation)))
    if missing:
        raise DataError(
            f"the files of {len(missing)} labeled images are not there, so that their sizes are "
            f"unknown; the first is {repr_json(missing[0])}"
        )
    return found


def objects_of(entry: LabelEntry, has_ignored: bool = False) -> Annotation | None:
    """Return the objects of an entry that `with_objects` made; None without a label.

    Args:
        entry: The entry.
        has_ignored: Whether crowds and difficult objects, which most formats cannot mark, are
            among them.
    """
    found = None if entry.objects is None else entry.objects(None, [])
    if found is None or has_ignored:
        return found
    return replace(found, objects=[one for one in found.objects if not one.ignored])


def _cut(box: tuple[float, ...], size: Size) -> tuple[float, float, float, float]:
    width, height = size
    x_min, y_min, x_max, y_max = box
    return max(x_min, 0), max(y_min, 0), min(x_max, width), min(y_max, height)


def _of_class(text: str, size: Size | None, classes: Sequence[str], folder: Path) -> Annotation:
    return Annotation("", size=size, tags=(text,))


def _of_classes(text: str, size: Size | None, classes: Sequence[str], folder: Path) -> Annotation:
    return Annotation("", size=size, tags=tuple(json.loads(text)))


def _of_boxes(text: str, size: Size | None, classes: Sequence[str], folder: Path) -> Annotation:
    return Annotation("", [_object(box) for box in json.loads(text)], size)


def _object(box: Mapping[str, Any]) -> AnnotatedObject:
    x, y = box["x"], box["y"]
    is_crowd = box.get("crowd", False)
    return AnnotatedObject(
        place="",
        box=(x, y, x + box["width"], y + box["height"]),
        name=box["label"],
        ignored=is_crowd or box.get("difficult", False),
        is_crowd=is_crowd,
    )


def _of_mask(text: str, size: Size | None, classes: Sequence[str], folder: Path) -> Annotation:
    assert size is not None
    value = json.loads(text)
    if "png" in value:
        layers = layers_of(load_mask(folder / value["png"]))
    else:
        counts = value["counts"].items()
        layers = tuple((int(index), Region(counts=runs)) for index, runs in counts)
    objects = []
    for index, region in layers:
        name = classes[index - 1] if index <= len(classes) else str(index)
        objects.append(AnnotatedObject("", region.bounds(size), name, region=region))
    return Annotation("", objects, size)


# One table for all tasks of this package; others are written to tables only
_FROM_TEXT: Mapping[str, Callable[[str, Size | None, Sequence[str], Path], Annotation]] = {
    "single_label": _of_class,
    "multi_label": _of_classes,
    "detection": _of_boxes,
    "segmentation": _of_mask,
}

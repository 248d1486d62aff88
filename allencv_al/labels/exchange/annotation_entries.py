"""Files of objects as label entries: COCO and CVAT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.json_values import parse_json
from allencv_al.common.names import class_name
from allencv_al.data.dataset_readers.objects.annotation_file import AnnotationFile
from allencv_al.data.dataset_readers.objects.coco import coco_annotations
from allencv_al.data.dataset_readers.objects.cvat_xml import cvat_annotations
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Box,
    short,
)
from allencv_al.data.image_io import ImageFrame
from allencv_al.labels.exchange.label_entry import LabelEntry, Objects


def from_coco(text: str, where: str) -> list[LabelEntry]:
    """Return an entry for each image of a COCO file of instances.

    Raises:
        DataError: The file is not such JSON, or entries are invalid; the message lists them.
    """
    try:
        content = parse_json(text)
    except ValueError as error:
        raise DataError(f"{where}: expected JSON: {error}") from None
    problems: list[str] = []
    found = coco_annotations(content, where, ignores_crowds=True, problems=problems)
    raise_problems(where, problems)
    return _entries(found)


def from_cvat(text: str, where: str) -> list[LabelEntry]:
    """Return an entry for each image of a file "CVAT for images 1.1".

    Raises:
        DataError: The file is no such XML, or entries are invalid; the message lists them.
    """
    problems: list[str] = []
    found = cvat_annotations(text.encode(), where, problems)
    raise_problems(where, problems)
    return _entries(found)


def always(annotation: Annotation) -> Objects:
    """Return the objects of an entry whose file names them in pixels."""
    return lambda frame, problems: annotation


def tagged(*tags: str) -> Objects:
    """Return the objects of an entry whose file names classes of the whole image."""
    return always(Annotation("", tags=tags))


def in_shares(boxes: Sequence[tuple[str, Box]]) -> Objects:
    """Return the objects of an entry whose file measures boxes by the sides of the upright image.

    Args:
        boxes: Class name and `x_min, y_min, x_max, y_max` in shares of width and height.
    """

    def objects(frame: ImageFrame | None, problems: list[str]) -> Annotation:
        width, height = (1, 1) if frame is None else frame.upright_size
        found = []
        for number, (name, (x_min, y_min, x_max, y_max)) in enumerate(boxes):
            box = (x_min * width, y_min * height, x_max * width, y_max * height)
            found.append(AnnotatedObject(f"boxes[{number}] ({name})", box, name))
        return Annotation("", found)

    return objects


def name_in(values: Mapping[str, Any], key: str) -> str:
    """Return the class name under a key.

    Raises:
        ValueError: There is none.
    """
    name = values.get(key)
    if not isinstance(name, str) or not class_name(name):
        raise ValueError(f"{key}: expected a class name, found {short(name)}")
    return class_name(name)


def _entries(found: AnnotationFile) -> list[LabelEntry]:
    return [
        LabelEntry(
            id=one.name,
            image=one.name,
            place=f"image {number}",
            objects=None if one.annotation is None else always(one.annotation),
        )
        for number, one in enumerate(found.images, start=1)
    ]

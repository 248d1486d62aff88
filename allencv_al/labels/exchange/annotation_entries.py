"""Files of objects as label entries: COCO and CVAT."""

from __future__ import annotations

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.json_values import parse_json
from allencv_al.data.dataset_readers.objects.annotation_file import AnnotationFile
from allencv_al.data.dataset_readers.objects.coco import coco_annotations
from allencv_al.data.dataset_readers.objects.cvat_xml import cvat_annotations
from allencv_al.data.dataset_readers.objects.image_objects import Annotation
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

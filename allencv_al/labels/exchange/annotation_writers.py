"""Label entries as the COCO file and as the CVAT file of their objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.data.dataset_readers.objects.image_objects import AnnotatedObject, Annotation, Size
from allencv_al.data.run_lengths import runs_of
from allencv_al.labels.exchange.entry_objects import objects_of
from allencv_al.labels.exchange.label_entry import LabelEntry

Form = Literal["class", "classes", "boxes"]
"""The form of labels in formats that keep each under a key of its own."""

LabeledImage = tuple[str, Annotation]
"""The id of an image, and its objects."""

Files = Iterator[tuple[str, bytes]]
"""The path below a folder and the content of each file."""


def to_coco(entries: Sequence[LabelEntry]) -> str:
    """Return a COCO file of instances: boxes, or masks as run lengths.

    Format: https://cocodataset.org/#format-data. An image without a label is left out, as one
    without annotations would be one without objects. A difficult object is written as a crowd:
    COCO ignores nothing else.

    Args:
        entries: Entries with objects.
    """
    images = list(labeled_images(entries, has_ignored=True))
    names = class_names(images)
    numbers = {name: number for number, name in enumerate(names, start=1)}
    annotations: list[dict[str, Any]] = []
    for image_id, (_, annotation) in enumerate(images, start=1):
        for one in annotation.objects:
            values = {"id": len(annotations) + 1, "image_id": image_id, "iscrowd": int(one.ignored)}
            number = numbers[one.name or ""]
            annotations.append({**values, "category_id": number, **_geometry(one, annotation.size)})
    content = {
        "images": [
            {"id": number, "file_name": id, "width": size[0], "height": size[1]}
            for number, (id, annotation) in enumerate(images, start=1)
            if (size := annotation.size) is not None
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
    }
    return json.dumps(content, ensure_ascii=False) + "\n"


def to_cvat(entries: Sequence[LabelEntry]) -> str:
    """Return a file "CVAT for images 1.1": boxes, masks, or tags.

    Format: https://docs.cvat.ai/docs/manual/advanced/xml_format. An image without a label is left
    out.

    Args:
        entries: Entries with objects.

    Raises:
        DataError: The size of an image is unknown, as that of a class without its image file.
    """
    images = list(labeled_images(entries))
    unknown = [id for id, annotation in images if annotation.size is None]
    if unknown:
        raise DataError(
            f"cvat: it names the size of each image, and the files of {len(unknown)} labeled "
            f"images are not there; the first is {repr_json(unknown[0])}"
        )
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    labels = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    for name in class_names(images):
        SubElement(SubElement(labels, "label"), "name").text = name
    for number, (id, annotation) in enumerate(images):
        width, height = annotation.size or (0, 0)
        sides = {"width": str(width), "height": str(height)}
        image = SubElement(root, "image", {"id": str(number), "name": id, **sides})
        for tag in annotation.tags:
            SubElement(image, "tag", {"label": tag, "source": "manual"})
        for one in annotation.objects:
            kind, values = _cvat_shape(one, annotation.size)
            common = {"label": one.name or "", "source": "manual", "occluded": "0"}
            SubElement(image, kind, {**common, **values, "z_order": "0"})
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def labeled_images(
    entries: Sequence[LabelEntry], has_ignored: bool = False
) -> Iterator[LabeledImage]:
    """Yield the id and the objects of each labeled image that is not kept for measuring."""
    return ((entry.id, annotation) for entry, annotation in labeled_entries(entries, has_ignored))


def labeled_entries(
    entries: Sequence[LabelEntry], has_ignored: bool = False
) -> Iterator[tuple[LabelEntry, Annotation]]:
    """Yield each labeled entry that is not kept for measuring, and its objects."""
    for entry in entries:
        # Who trains on the file must not learn what measures
        annotation = objects_of(entry, has_ignored) if entry.use is None else None
        if annotation is not None:
            yield entry, annotation


def class_names(images: Sequence[LabeledImage]) -> list[str]:
    """Return the names of all classes, sorted."""
    found = {one.name or "" for _, annotation in images for one in annotation.objects}
    return sorted(found.union(*(annotation.tags for _, annotation in images)))


def form_of(labeled: Sequence[tuple[LabelEntry, Annotation]]) -> Form:
    """Return the form that the labels of all images have."""
    if any(annotation.objects for _, annotation in labeled):
        return "boxes"
    return "class" if all(len(one.tags) == 1 for _, one in labeled) else "classes"


def shares_of(one: AnnotatedObject, size: Size | None) -> tuple[float, float, float, float]:
    """Return `x_min, y_min, x_max, y_max` of an object in shares of the sides of its image."""
    width, height = size or (1, 1)
    x_min, y_min, x_max, y_max = one.box or (0, 0, 0, 0)
    return x_min / width, y_min / height, x_max / width, y_max / height


def _geometry(one: AnnotatedObject, size: Size | None) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = one.box or (0, 0, 0, 0)
    box = [x_min, y_min, x_max - x_min, y_max - y_min]
    if one.region is None or size is None:
        outline = [x_min, y_min, x_max, y_min, x_max, y_max, x_min, y_max]
        return {"bbox": box, "area": box[2] * box[3], "segmentation": [outline]}
    mask = one.region.pixels(size)
    counts = {"size": [size[1], size[0]], "counts": one.region.counts}
    return {"bbox": box, "area": int(mask.sum()), "segmentation": counts}


def _cvat_shape(one: AnnotatedObject, size: Size | None) -> tuple[str, dict[str, str]]:
    x_min, y_min, x_max, y_max = one.box or (0, 0, 0, 0)
    if one.region is None or size is None:
        corners = {"xtl": x_min, "ytl": y_min, "xbr": x_max, "ybr": y_max}
        return "box", {key: repr(float(value)) for key, value in corners.items()}
    left, top, right, bottom = (int(side) for side in (x_min, y_min, x_max, y_max))
    crop = np.ascontiguousarray(one.region.pixels(size)[top:bottom, left:right])
    place = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    values = {key: str(value) for key, value in place.items()}
    return "mask", {"rle": ", ".join(map(str, runs_of(crop.ravel()))), **values}

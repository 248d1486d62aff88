"""Label entries as folders with a file of objects for each image: Pascal VOC, YOLO, LabelMe."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import yaml
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import atomic_directory
from allencv_al.data.dataset_readers.objects.annotated_images import Parser
from allencv_al.data.dataset_readers.objects.image_objects import AnnotatedObject, Size
from allencv_al.data.dataset_readers.objects.labelme import LabelMeReader
from allencv_al.data.dataset_readers.objects.pascal_voc import PascalVocReader
from allencv_al.data.dataset_readers.objects.yolo import YoloReader
from allencv_al.labels.exchange.annotation_writers import (
    LabeledImage,
    class_names,
    labeled_images,
)
from allencv_al.labels.exchange.label_entry import LabelEntry

_LISTS = ("classes.txt", "obj.names", "train.txt", "test.txt", "valid.txt")
_FOLDERS = ("labels", "Annotations", "annotations")  # beside the folder of the images

Files = Iterator[tuple[str, bytes]]
"""The path below the folder and the content of each file."""


def write_object_folder(name: str, folder: Path, entries: Sequence[LabelEntry]) -> int:
    """Write the objects of each labeled image as a file of its own.

    Args:
        name: The format.
        folder: The folder to create; it must not exist.
        entries: Entries with objects.

    Returns:
        The number of images.

    Raises:
        DataError: The folder exists, or two images would have one file.
    """
    if folder.exists():
        raise DataError(f"{folder}: is there already; name another folder")
    images = list(labeled_images(entries))
    written: dict[str, str] = {}
    with atomic_directory(folder) as target:
        for file, content in _WRITERS[name](images):
            if file in written:
                raise DataError(f"{folder}: two images would have the file {file}; rename one")
            written[file] = file
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            (target / file).write_bytes(content)
    return len(images)


def read_object_folder(name: str, folder: Path) -> list[LabelEntry]:
    """Return an entry for each file of objects in a folder, whether or not its image is there.

    The id of an entry is the path of its image without the extension, which the file cannot tell.

    Args:
        name: The format.
        folder: The folder; for YOLO also its YAML file.

    Raises:
        DataError: There is no such file.
    """
    suffix, parser = _readers(name, folder)
    root = folder if folder.is_dir() else folder.parent
    is_one = folder.is_file() and folder.suffix.lower() == suffix
    found = []
    for file in [folder] if is_one else sorted(root.rglob(f"*{suffix}")):
        if file.name in _LISTS or file.name.startswith("."):
            continue
        path = file.relative_to(root)
        inside = PurePosixPath(*path.parts[1:]) if path.parts[0] in _FOLDERS else path
        image = inside.with_suffix("").as_posix()
        found.append(LabelEntry(image, place=str(path), objects=partial(parser, file)))
    if not found:
        raise DataError(f"{folder}: expected {suffix} files of objects, found none")
    return found


def _readers(name: str, folder: Path) -> tuple[str, Parser]:
    if name == "yolo":
        return ".txt", YoloReader().parser(folder)
    reader = PascalVocReader() if name == "pascal-voc" else LabelMeReader()
    return reader.annotation_ext, reader.parser(folder)


# -- Writing -------------------------------------------------------------------------------------


def _voc_files(images: Sequence[LabeledImage]) -> Files:
    for id, annotation in images:
        path = PurePosixPath(id)
        root = Element("annotation")
        SubElement(root, "folder").text = path.parent.as_posix()
        SubElement(root, "filename").text = path.name
        width, height = annotation.size or (0, 0)
        size = SubElement(root, "size")
        for key, value in (("width", width), ("height", height), ("depth", 3)):
            SubElement(size, key).text = str(value)
        for one in annotation.objects:
            found = SubElement(root, "object")
            for key, text in (("name", one.name), ("truncated", "0"), ("difficult", "0")):
                SubElement(found, key).text = text
            box = SubElement(found, "bndbox")
            x_min, y_min, x_max, y_max = one.box or (0, 0, 0, 0)
            # Counted from 1, the last pixel inside
            corners = (("xmin", x_min + 1), ("ymin", y_min + 1), ("xmax", x_max), ("ymax", y_max))
            for key, corner in corners:
                SubElement(box, key).text = _plain(corner)
        indent(root)
        yield f"Annotations/{path.with_suffix('.xml')}", tostring(root, encoding="utf-8")


def _yolo_files(images: Sequence[LabeledImage]) -> Files:
    names = class_names(images)
    numbers = {name: number for number, name in enumerate(names)}
    for id, annotation in images:
        lines = [
            " ".join([str(numbers[one.name or ""]), *map(repr, _shares(one, annotation.size))])
            for one in annotation.objects
        ]
        text = "".join(f"{line}\n" for line in lines)
        yield f"labels/{PurePosixPath(id).with_suffix('.txt')}", text.encode()
    content = {"path": ".", "train": "images", "val": "images", "names": dict(enumerate(names))}
    yield "data.yaml", yaml.safe_dump(content, allow_unicode=True, sort_keys=False).encode()


def _shares(one: AnnotatedObject, size: Size | None) -> tuple[float, float, float, float]:
    width, height = size or (1, 1)
    x_min, y_min, x_max, y_max = one.box or (0, 0, 0, 0)
    return (
        (x_min + x_max) / 2 / width,
        (y_min + y_max) / 2 / height,
        (x_max - x_min) / width,
        (y_max - y_min) / height,
    )


def _labelme_files(images: Sequence[LabeledImage]) -> Files:
    for id, annotation in images:
        path = PurePosixPath(id)
        width, height = annotation.size or (0, 0)
        content = {
            "version": "5.5.0",
            "flags": dict.fromkeys(annotation.tags, True),
            "shapes": [_labelme_shape(one, annotation.size) for one in annotation.objects],
            "imagePath": path.name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        text = json.dumps(content, indent=2, ensure_ascii=False)
        yield path.with_suffix(".json").as_posix(), text.encode()


def _labelme_shape(one: AnnotatedObject, size: Size | None) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = one.box or (0, 0, 0, 0)
    shape: dict[str, Any] = {
        "label": one.name,
        "group_id": None,
        "description": "",
        "flags": {},
        "mask": None,
    }
    if one.region is None or size is None:
        points = [[x_min, y_min], [x_max, y_max]]
        return {**shape, "points": points, "shape_type": "rectangle"}
    left, top, right, bottom = (int(side) for side in (x_min, y_min, x_max, y_max))
    stream = io.BytesIO()
    crop = one.region.pixels(size)[top:bottom, left:right]
    Image.fromarray(crop).save(stream, "PNG")
    mask = base64.b64encode(stream.getvalue()).decode()
    # The last pixel belongs to it
    points = [[left, top], [right - 1, bottom - 1]]
    return {**shape, "points": points, "shape_type": "mask", "mask": mask}


def _plain(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


_WRITERS: Mapping[str, Callable[[Sequence[LabeledImage]], Files]] = {
    "pascal-voc": _voc_files,
    "yolo": _yolo_files,
    "labelme": _labelme_files,
}

OBJECT_FOLDERS = tuple(_WRITERS)
"""The formats of folders with a file of objects for each image."""

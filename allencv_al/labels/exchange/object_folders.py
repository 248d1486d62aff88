"""Label entries as folders with files of labels: Pascal VOC, YOLO, LabelMe and the like."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import yaml
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import atomic_directory
from allencv_al.common.files.text_files import decode_text
from allencv_al.data.dataset_readers.objects.annotated_images import Parser
from allencv_al.data.dataset_readers.objects.image_objects import AnnotatedObject, Size
from allencv_al.data.dataset_readers.objects.labelme import LabelMeReader
from allencv_al.data.dataset_readers.objects.pascal_voc import PascalVocReader
from allencv_al.data.dataset_readers.objects.yolo import YoloReader
from allencv_al.labels.exchange.annotation_writers import (
    Files,
    class_names,
    labeled_entries,
    labeled_images,
)
from allencv_al.labels.exchange.class_folders import Placement, place_image, taken
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.programs.fiftyone import (
    LABELS_FILE,
    SAMPLES_FILE,
    from_fiftyone,
    to_fiftyone,
)
from allencv_al.labels.exchange.programs.image_folder import image_folder_files, read_image_folder
from allencv_al.labels.exchange.programs.mask_folder import IMAGES as MASK_IMAGES
from allencv_al.labels.exchange.programs.mask_folder import mask_files, read_mask_folder
from allencv_al.labels.exchange.programs.supervisely import (
    IMAGES,
    place_in_project,
    read_supervisely,
    supervisely_files,
)

_LISTS = ("classes.txt", "obj.names", "train.txt", "test.txt", "valid.txt")
_FOLDERS = ("labels", "Annotations", "annotations")  # beside the folder of the images


class FolderFormat(NamedTuple):
    """A format of a folder with files of labels.

    Args:
        write: Yields the files of entries.
        read: Returns the entries of a folder, or of the file in it that names the others.
        image: Returns the path that an image has in such a folder.
    """

    write: Callable[[Sequence[LabelEntry]], Files]
    read: Callable[[Path], list[LabelEntry]]
    image: Callable[[str], str]


def write_object_folder(
    name: str, folder: Path, entries: Sequence[LabelEntry], placement: Placement = "list"
) -> int:
    """Write the labels of images as files in a folder.

    Args:
        name: The format.
        folder: The folder to create; it must not exist.
        entries: Entries with objects.
        placement: Whether the images get into the folder.

    Returns:
        The number of images.

    Raises:
        DataError: The folder exists, or two images would have one file.
    """
    if folder.exists():
        raise taken(folder)
    of = FOLDER_FORMATS[name]
    written: set[str] = set()
    labeled = [entry for entry, _ in labeled_entries(entries)]
    try:
        with atomic_directory(folder, replaces=False) as target:
            for file, content in of.write(entries):
                _claim(file, written, folder)
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                (target / file).write_bytes(content)
            for entry in labeled if placement != "list" else ():
                file = of.image(entry.id)
                _claim(file, written, folder)
                place_image(Path(str(entry.image)), target / file, placement)
    except FileExistsError:  # another process has made it since
        raise taken(folder) from None
    return len(labeled)


def _claim(file: str, written: set[str], folder: Path) -> None:
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{folder}: the path {file} of an image leads out of the folder")
    if file in written:
        raise DataError(f"{folder}: two images would have the file {file}; rename one")
    written.add(file)


# -- Reading -------------------------------------------------------------------------------------


def _read_files(suffix: str, parser: Parser, folder: Path) -> list[LabelEntry]:
    """Return an entry for each file of objects in a folder, whether or not its image is there.

    The id of an entry is the path of its image without the extension, which the file cannot tell.
    """
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


def _read_yolo(folder: Path) -> list[LabelEntry]:
    return _read_files(".txt", YoloReader().parser(folder), folder)


def _read_voc(folder: Path) -> list[LabelEntry]:
    return _read_files(".xml", PascalVocReader().parser(folder), folder)


def _read_labelme(folder: Path) -> list[LabelEntry]:
    return _read_files(".json", LabelMeReader().parser(folder), folder)


def _read_fiftyone(folder: Path) -> list[LabelEntry]:
    files = [folder] if folder.is_file() else [folder / LABELS_FILE, folder / SAMPLES_FILE]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise DataError(f"{folder}: expected {LABELS_FILE} or {SAMPLES_FILE}, found none")
    return from_fiftyone(decode_text(file.read_bytes(), str(file)), str(file))


# -- Writing -------------------------------------------------------------------------------------


def _voc_files(entries: Sequence[LabelEntry]) -> Files:
    for id, annotation in labeled_images(entries, has_ignored=True):
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
            difficult = str(int(one.ignored))
            for key, text in (("name", one.name), ("truncated", "0"), ("difficult", difficult)):
                SubElement(found, key).text = text
            box = SubElement(found, "bndbox")
            x_min, y_min, x_max, y_max = one.box or (0, 0, 0, 0)
            # Counted from 1, the last pixel inside
            corners = (("xmin", x_min + 1), ("ymin", y_min + 1), ("xmax", x_max), ("ymax", y_max))
            for key, corner in corners:
                SubElement(box, key).text = _plain(corner)
        indent(root)
        yield f"Annotations/{path.with_suffix('.xml')}", tostring(root, encoding="utf-8")


def _yolo_files(entries: Sequence[LabelEntry]) -> Files:
    images = list(labeled_images(entries))
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


def _labelme_files(entries: Sequence[LabelEntry]) -> Files:
    for id, annotation in labeled_images(entries):
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


def _fiftyone_files(entries: Sequence[LabelEntry]) -> Files:
    yield LABELS_FILE, to_fiftyone(entries).encode()


FOLDER_FORMATS = {
    "pascal-voc": FolderFormat(_voc_files, _read_voc, "JPEGImages/{}".format),
    "yolo": FolderFormat(_yolo_files, _read_yolo, "images/{}".format),
    "labelme": FolderFormat(_labelme_files, _read_labelme, str),
    "fiftyone": FolderFormat(_fiftyone_files, _read_fiftyone, "data/{}".format),
    "huggingface": FolderFormat(image_folder_files, read_image_folder, str),
    "supervisely": FolderFormat(
        supervisely_files, read_supervisely, partial(place_in_project, folder=IMAGES)
    ),
    "masks": FolderFormat(mask_files, read_mask_folder, f"{MASK_IMAGES}/{{}}".format),
}
"""The formats of folders, besides that of a folder for each class."""

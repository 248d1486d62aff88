"""Images with objects in the XML file of CVAT."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar
from xml.etree.ElementTree import Element

import numpy as np
from overrides import overrides

from allencv_al.common.errors import DataError
from allencv_al.common.names import class_name
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.objects.annotation_file import (
    AnnotatedImage,
    AnnotationFile,
    AnnotationFileReader,
)
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Box,
    Size,
    ellipse,
    region_of,
    rotated,
)
from allencv_al.data.dataset_readers.objects.pascal_voc import parse_xml
from allencv_al.data.drawn_masks import Polygon, Region
from allencv_al.data.run_lengths import pixels_of

_LEFT_OUT = ("polyline", "points", "cuboid", "skeleton")


@DatasetReader.register("cvat")
class CvatReader(AnnotationFileReader):
    """Read the images that a file "CVAT for images 1.1" lists, with their boxes, masks or tags.

        PATH/annotations.xml
        PATH/images/0001.jpg

    The path is the XML file, or a folder with one such file in it or in its `annotations`. Images
    lie where `image_dir` says. Boxes, polygons, ellipses, masks and tags are read; lines, points,
    cuboids and skeletons are left out and counted. The box of a rotated one is the upright box
    around it. In masks, objects lie over each other as their `z_order` says. An image without
    objects is one where nothing is to be seen. Faults are errors that name the image and the
    object, all at once. A box over the border is cut there; one without area is left out. Files
    that declare a document type are refused. An image's id is its `name`.

    Args:
        augmentation: Transforms, applied to each image with its objects in the order given.
            Default: none.
        image_dir: Folder of the images, seen from the file's folder. Default: the first that has
            the first image, of the file's folder, `images` in it, the folder above it and `images`
            there. An image that is not under its name there is found by the end of its path, if
            only one has it.
        target: Labels of the images: "boxes", "masks" (a class index for each pixel, 0 where no
            object is) or "labels" (the classes of all objects, and the tags of the image).
        classes: For masks: the class names in the order of their indices, from 1. Default: the
            labels of the project, in its order.
        coordinates: Pixels that objects refer to where an image has an EXIF orientation: "upright",
            "stored" (the orientation ignored), or "auto" for those whose size the file names; if
            both have it, an error.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = "a file of CVAT for images 1.1 (.xml), and the images that it lists"
    suffix: ClassVar[str] = ".xml"
    program: ClassVar[str] = "CVAT"

    @overrides
    def _parsed(self, file: Path, problems: list[str]) -> AnnotationFile:
        return cvat_annotations(file.read_bytes(), str(file), problems)


def cvat_annotations(content: bytes, where: str, problems: list[str]) -> AnnotationFile:
    """Return the images and objects of a file "CVAT for images 1.1".

    Args:
        content: The bytes of the XML file.
        where: Its name.
        problems: A list, to which what is wrong is added.

    Raises:
        DataError: It is no such file.
    """
    try:
        root = parse_xml(content)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None
    if root.tag != "annotations":
        raise DataError(f"{where}: expected <annotations> of CVAT, found <{root.tag[:40]}>")
    if root.find("track") is not None:
        raise DataError(
            f'{where}: it holds the tracks of a video; export the task as "CVAT for images 1.1"'
        )
    images = []
    for number, image in enumerate(root.findall("image"), start=1):
        name = image.get("name", "")
        place = f"image {number} ({name})"
        if not name:
            problems.append(f"image {number}: expected a name, found none")
            continue
        try:
            size = _size(image)
        except ValueError as error:
            problems.append(f"{place}: {error}")
            continue
        objects = _objects(image, size, place, problems)
        left_out = Counter(one.tag for one in image if one.tag in _LEFT_OUT)
        tags = [class_name(tag.get("label", "")) for tag in image.findall("tag")]
        named = [tag for tag in tags if tag]
        annotation = Annotation(where, objects, size, {}, named, left_out)
        images.append(AnnotatedImage(name, annotation))
    # Of a task, a project or a job, always below <labels>
    classes = [class_name(name.text or "") for name in root.iterfind("meta//labels/label/name")]
    return AnnotationFile(images, list(dict.fromkeys(filter(None, classes))))


def _size(image: Element) -> Size:
    texts = [image.get(side, "") for side in ("width", "height")]
    if not all(text.isdecimal() and int(text) for text in texts):
        raise ValueError(f"expected width and height, found {' and '.join(texts) or 'nothing'}")
    return int(texts[0]), int(texts[1])


def _objects(image: Element, size: Size, place: str, problems: list[str]) -> list[AnnotatedObject]:
    found: list[tuple[float, AnnotatedObject]] = []
    for number, element in enumerate(image, start=1):
        if element.tag not in _SHAPES:
            continue
        where = f"{place}, {element.tag} {number}"
        try:
            name = class_name(element.get("label", ""))
            if not name:
                raise ValueError("expected a label, found none")
            box, region = _SHAPES[element.tag](element, size)
            found.append(
                (
                    _number(element, "z_order", 0),
                    AnnotatedObject(f"{where} ({name})", box, name, region=region),
                )
            )
        except ValueError as error:
            problems.append(f"{where}: {error}")
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


Shape = tuple[Box, Region | None]


def _box(element: Element, size: Size) -> Shape:
    x_min, y_min, x_max, y_max = (_number(element, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    degrees = _number(element, "rotation", 0)
    box = (x_min, y_min, x_max, y_max)
    if not degrees:
        return box, region_of(box)
    middle = ((x_min + x_max) / 2, (y_min + y_max) / 2)
    return _outlined(rotated(box, degrees, middle), size)


def _polygon(element: Element, size: Size) -> Shape:
    text = element.get("points", "")
    try:
        points = [[float(number) for number in pair.split(",")] for pair in text.split(";")]
    except ValueError:
        points = []
    if len(points) < 3 or not all(len(point) == 2 for point in points):
        raise ValueError(f'expected points "x,y;x,y;x,y", found {text[:60]!r}')
    return _outlined(tuple(number for point in points for number in point), size)


def _ellipse(element: Element, size: Size) -> Shape:
    x, y, width, height = (_number(element, key) for key in ("cx", "cy", "rx", "ry"))
    return _outlined(ellipse((x, y), (width, height), _number(element, "rotation", 0)), size)


def _mask(element: Element, size: Size) -> Shape:
    left, top, width, height = (
        int(_number(element, key)) for key in ("left", "top", "width", "height")
    )
    if not (0 <= left <= left + width <= size[0] and 0 <= top <= top + height <= size[1]):
        raise ValueError("expected a mask inside its image")
    try:
        runs = [int(number) for number in element.get("rle", "").split(",")]
    except ValueError:
        raise ValueError("rle: expected numbers with commas between them") from None
    whole = np.zeros((size[1], size[0]), dtype=bool)
    # Along the rows of the box around it, the first run outside
    whole[top : top + height, left : left + width] = pixels_of(runs, width * height).reshape(
        height, width
    )
    region = Region.of_mask(whole)
    return region.bounds(size) or (left, top, left, top), region


_SHAPES: Mapping[str, Callable[[Element, Size], Shape]] = {
    "box": _box,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "mask": _mask,
}


def _outlined(polygon: Polygon, size: Size) -> Shape:
    region = Region((polygon,))
    return region.bounds(size) or (0, 0, 0, 0), region


def _number(element: Element, key: str, default: float | None = None) -> float:
    text = element.get(key)
    if text is None and default is not None:
        return default
    try:
        number = float(text or "")
    except ValueError:
        number = float("nan")
    if not np.isfinite(number):
        raise ValueError(f"{key}: expected a number, found {text!r:.40}")
    return number

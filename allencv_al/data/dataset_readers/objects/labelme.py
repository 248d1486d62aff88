"""Images with objects in the JSON files of LabelMe."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from overrides import overrides

from allencv_al.common.errors import DataError, ImageDecodeError
from allencv_al.common.names import class_name
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.objects.annotated_images import (
    AnnotatedImageReader,
    Parser,
    Unannotated,
)
from allencv_al.data.dataset_readers.objects.annotation_file import classes_of_masks, json_content
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Box,
    Coordinates,
    ObjectInstances,
    Size,
    Target,
    ellipse,
    numbers_of,
    region_of,
    short,
)
from allencv_al.data.drawn_masks import Region
from allencv_al.data.image_io import ImageFrame, load_mask
from allencv_al.data.transforms import ImageTransform

Shape = tuple[Box, Region]


@DatasetReader.register("labelme")
class LabelMeReader(AnnotatedImageReader):
    """Read images with the boxes, masks or flags of their LabelMe files.

        PATH/0001.jpg
        PATH/0001.json

    The JSON file of an image lies beside it, or under its name in `annotation_dir`. Rectangles,
    polygons, circles and masks are read; lines and points are left out and counted. The box of a
    region that is no rectangle is the one around it. In masks, later shapes cover earlier ones. A
    copy of the image in the file (`imageData`) is not used. Faults are errors that name the file
    and the shape, all at once. An image's id is its path below PATH.

    Args:
        augmentation: Transforms, applied to each image with its objects in the order given.
            Default: none.
        image_dir: Name of the folder in PATH with the images, at any depth. If there is no such
            folder, PATH itself.
        annotation_dir: Name of the folder in PATH with the JSON files, under the images' names.
        target: Labels of the images: "boxes", "masks" (a class index for each pixel, 0 where no
            shape is) or "labels" (the flags that are set, and the classes of all shapes).
        classes: For masks, which need it: the class names in the order of their indices, from 1.
        coordinates: Pixels that shapes refer to where an image has an EXIF orientation: "upright"
            as LabelMe shows it, or "stored" (the orientation ignored).
        unannotated: Treatment of images without a JSON file: "empty" takes them as images without
            objects, "unlabeled" as images without a label, which share no batch with others;
            "error" ends the run.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = "a folder of images with a JSON file of LabelMe beside each"
    joint_rules = (classes_of_masks,)

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        image_dir: str = "images",
        annotation_dir: str = "annotations",
        target: Target = "boxes",
        classes: list[str] | None = None,
        coordinates: Coordinates = "upright",
        unannotated: Unannotated = "unlabeled",
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, image_dir, annotation_dir, ".json", unannotated, **kwargs)
        self.target: Target = target
        self.classes = [class_name(name) for name in classes or ()]
        self.coordinates: Coordinates = coordinates

    @overrides
    def _objects(self) -> ObjectInstances:
        return ObjectInstances(self.coordinates, target=self.target, classes=self.classes)

    @overrides
    def parser(self, path: Path) -> Parser:
        return self._annotation

    def _annotation(
        self, file: Path, frame: ImageFrame | None, problems: list[str]
    ) -> Annotation | None:
        try:
            return labelme_annotation(json_content(file), str(file), problems)
        except DataError as error:
            problems.append(str(error))
            return None


def labelme_annotation(content: Any, where: str, problems: list[str]) -> Annotation:
    """Return the objects of a LabelMe file.

    Args:
        content: Its JSON.
        where: Its name.
        problems: A list, to which what is wrong is added.

    Raises:
        DataError: It is no such file.
    """
    shapes = content.get("shapes") if isinstance(content, Mapping) else None
    if not isinstance(shapes, list):
        raise DataError(f"{where}: expected an object with shapes, as LabelMe writes it")
    sides = [content.get(key) for key in ("imageWidth", "imageHeight")]
    size = (int(sides[0]), int(sides[1])) if numbers_of(sides, 2) and all(sides) else None
    objects = []
    left_out: Counter[str] = Counter()
    for index, shape in enumerate(shapes):
        place = f"shapes[{index}]"
        try:
            kind = shape.get("shape_type", "polygon") if isinstance(shape, Mapping) else None
            if not isinstance(kind, str):
                raise ValueError(f"expected an object with a shape_type, found {short(shape)}")
            if kind not in _SHAPES:
                left_out[kind] += 1
                continue
            name = shape.get("label")
            if not isinstance(name, str) or not class_name(name):
                raise ValueError(f"label: expected a name, found {short(name)}")
            box, region = _SHAPES[kind](shape, size)
        except ValueError as error:
            problems.append(f"{where}: {place}: {error}")
            continue
        label = class_name(name)
        objects.append(AnnotatedObject(f"{place} ({label})", box, label, region=region))
    flags = content.get("flags")
    named = flags.items() if isinstance(flags, Mapping) else ()
    tags = [class_name(str(name)) for name, is_set in named if is_set is True]
    return Annotation(where, objects, size, {}, tags, left_out)


def _points(shape: Mapping[str, Any], least: int) -> list[list[float]]:
    points = shape.get("points")
    pairs: list[list[float]] = points if isinstance(points, list) else []
    if len(pairs) < least or not all(numbers_of(pair, 2) for pair in pairs):
        raise ValueError(f"points: expected {least} points or more, found {short(points)}")
    return pairs


def _rectangle(shape: Mapping[str, Any], size: Size | None) -> Shape:
    points = _points(shape, 2)  # opposite corners in any order; LabelMe 6 writes all four
    columns, rows = [x for x, _ in points], [y for _, y in points]
    box = (min(columns), min(rows), max(columns), max(rows))
    return box, region_of(box)


def _polygon(shape: Mapping[str, Any], size: Size | None) -> Shape:
    return _outlined(Region((tuple(n for pair in _points(shape, 3) for n in pair),)))


def _circle(shape: Mapping[str, Any], size: Size | None) -> Shape:
    (x, y), (edge_x, edge_y) = _points(shape, 2)[:2]  # the middle, and a point of the circle
    radius = float(np.hypot(edge_x - x, edge_y - y))
    return _outlined(Region((ellipse((x, y), (radius, radius), 0),)))


def _outlined(region: Region) -> Shape:
    return region.bounds((0, 0)) or (0, 0, 0, 0), region


def _mask(shape: Mapping[str, Any], size: Size | None) -> Shape:
    (left, top), *_ = _points(shape, 2)
    if size is None:
        raise ValueError("expected imageWidth and imageHeight, found none")
    try:
        crop = load_mask(base64.b64decode(str(shape.get("mask")), validate=True)) > 0
    except (binascii.Error, ImageDecodeError) as error:
        raise ValueError(f"mask: expected a PNG in base64: {error}") from None
    whole = np.zeros((size[1], size[0]), dtype=bool)
    x, y = round(left), round(top)
    if x < 0 or y < 0 or y + crop.shape[0] > size[1] or x + crop.shape[1] > size[0]:
        raise ValueError("mask: expected one inside its image")
    whole[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    region = Region.of_mask(whole)
    return region.bounds(size) or (x, y, x, y), region


_SHAPES: Mapping[str, Callable[[Mapping[str, Any], Size | None], Shape]] = {
    "rectangle": _rectangle,
    "polygon": _polygon,
    "circle": _circle,
    "mask": _mask,
}

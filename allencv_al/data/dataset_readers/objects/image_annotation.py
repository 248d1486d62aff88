"""Images with boxes and keypoints, in a JSON file for each image."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

from annotated_types import Ge
from overrides import overrides

from allencv_al.common.errors import DataError
from allencv_al.common.files.tables import cell_text
from allencv_al.common.files.text_files import decode_text
from allencv_al.common.names import class_name
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.image_files import Skipped
from allencv_al.data.dataset_readers.objects.annotated_images import (
    AnnotatedImageReader,
    Parser,
    Unannotated,
)
from allencv_al.data.dataset_readers.objects.image_objects import (
    BORDER_SLACK,
    AnnotatedObject,
    Annotation,
    Box,
    ObjectInstances,
    numbers_of,
    short,
    shown_box,
)
from allencv_al.data.image_io import ImageFrame
from allencv_al.data.instance import Instance, Point, Points
from allencv_al.data.transforms import ImageTransform

logger = logging.getLogger(__name__)

BoxFormat = Literal["coco", "pascal_voc"]
_NUMBERS: Mapping[BoxFormat, str] = {
    "coco": "x_min, y_min, width, height",
    "pascal_voc": "x_min, y_min, x_max, y_max",
}


@dataclass(frozen=True, slots=True)
class AnnotationFields:
    """The fields to read of each object, and their names; see `ImageAnnotationReader`."""

    bbox_format: BoxFormat
    bbox_name: str
    bbox_class_name: str
    keypoint_name: str
    objects_name: str
    bbox: bool
    bbox_class: bool
    keypoints: bool
    num_keypoints: int | None


@DatasetReader.register("image_annotation")
class ImageAnnotationReader(AnnotatedImageReader):
    """Read images with a JSON file of objects for each: boxes, their classes, keypoints.

        PATH/images/0001.jpg
        PATH/annotations/0001.json
            {"objects": [{"bbox": [10, 20, 100, 200], "class": "cat",
                          "keypoints": [[35, 48], [60, 47]]}]}

    A box is `x_min, y_min, width, height`, as AllenCV and COCO write it, or with `bbox_format:
    "pascal_voc"` `x_min, y_min, x_max, y_max`; a keypoint is `x, y`; all in pixels of the upright
    image. A box that fits into its image in the other format only is an error. A keypoint may have
    a third number, its visibility as in COCO (0 absent, 1 hidden, 2 visible), which is kept: in
    such a data set the points without one count as visible. Keypoints may also be written as COCO
    does, one list `x, y, v, x, y, v, ...`. An instance has one group of keypoints for each object.

    The JSON file may lie beside the image, too, and PATH may hold the images itself. Faults in the
    JSON files are errors that name the file and the field, all at once, and so is a box outside its
    image. A box that reaches over the border is cut there; one without area is left out. An image's
    id is its path below PATH (`images/0001.jpg`).

    Args:
        augmentation: Transforms, applied to each image with its boxes and keypoints in the order
            given. Default: none.
        image_dir: Name of the folder in PATH with the images, at any depth. If there is no such
            folder, PATH itself.
        annotation_dir: Name of the folder in PATH with the JSON files, under the images' names.
        annotation_ext: Extension of the JSON files.
        bbox_name: Key of an object's box.
        bbox_class_name: Key of an object's class name.
        keypoint_name: Key of an object's keypoints.
        bbox: Whether to read boxes; then every object must have one.
        bbox_class: Whether to read the classes of boxes; then every object must have one.
        keypoints: Whether to read keypoints; then every object must have them.
        num_keypoints: Number of keypoints of each object. Default: as many as the objects have,
            which must be one number for all; of a list of numbers a third, `x, y, v` each.
        objects_name: Key of the list of objects. A file may also be that list itself.
        bbox_format: The four numbers of a box: "coco" for x_min, y_min, width, height,
            "pascal_voc" for x_min, y_min, x_max, y_max. Default: "coco", with a warning where all
            boxes of the data set would fit as "pascal_voc", too.
        unannotated: Treatment of images without a JSON file: "empty" takes them as images without
            objects, "unlabeled" as images without a label, which share no batch with others;
            "error" ends the run.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = "a folder of images and a folder of JSON files under the same names"

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        image_dir: str = "images",
        annotation_dir: str = "annotations",
        annotation_ext: str = ".json",
        bbox_name: str = "bbox",
        bbox_class_name: str = "class",
        keypoint_name: str = "keypoints",
        bbox: bool = True,
        bbox_class: bool = True,
        keypoints: bool = False,
        num_keypoints: Annotated[int, Ge(1)] | None = None,
        objects_name: str = "objects",
        bbox_format: BoxFormat | None = None,
        unannotated: Unannotated = "empty",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            augmentation, image_dir, annotation_dir, annotation_ext, unannotated, **kwargs
        )
        self.bbox_format = bbox_format
        self.fields = AnnotationFields(
            bbox_format=bbox_format or "coco",
            bbox_name=bbox_name,
            bbox_class_name=bbox_class_name,
            keypoint_name=keypoint_name,
            objects_name=objects_name,
            bbox=bbox,
            bbox_class=bbox and bbox_class,
            keypoints=keypoints,
            num_keypoints=num_keypoints,
        )

    @overrides
    def _read(self, path: Path) -> Iterable[Instance | Skipped]:
        items = list(super()._read(path))
        _check_counts(path, items)
        items = _with_visibility(items)
        boxes = [box for item in items if isinstance(item, Instance) for box in item.boxes or ()]
        # (x_min, y_min, x_min + width, y_min + height): is (x_min, y_min, width, height) a box, too
        if (
            self.bbox_format is None
            and boxes
            and all(right > 2 * left and bottom > 2 * top for left, top, right, bottom in boxes)
        ):
            logger.warning(
                "%s: its %d boxes were read as x_min, y_min, width, height and would fit as x_min, "
                'y_min, x_max, y_max, too; set bbox_format to "coco" or "pascal_voc"',
                *(path, len(boxes)),
            )
        return items

    @overrides
    def _objects(self) -> ObjectInstances:
        fields = self.fields
        return ObjectInstances("upright", fields.bbox, fields.bbox_class, fields.keypoints)

    @overrides
    def parser(self, path: Path) -> Parser:
        return self._annotation

    def _annotation(
        self, file: Path, frame: ImageFrame | None, problems: list[str]
    ) -> Annotation | None:
        fields = self.fields
        try:
            content = json.loads(decode_text(file.read_bytes(), str(file), "save it as UTF-8"))
            objects = _list_of_objects(content, fields.objects_name)
        except DataError as error:
            problems.append(str(error))
            return None
        except (ValueError, RecursionError) as error:  # json's errors are ValueErrors, too
            problems.append(f"{file}: {error}")
            return None
        found = []
        for index, value in enumerate(objects):
            place = f"{fields.objects_name}[{index}]"
            try:
                found.append(_object(place, value, fields, frame))
            except ValueError as error:
                problems.append(f"{file}: {place}{error}")
        return Annotation(str(file), found)


def _list_of_objects(content: Any, name: str) -> list[Any]:
    objects = content.get(name) if isinstance(content, Mapping) else content
    if not isinstance(objects, list):
        keys = ", ".join(content) if isinstance(content, Mapping) else short(content)
        raise ValueError(f'expected a list under "{name}", found {keys or "nothing"}')
    return objects


def _object(
    place: str, value: Any, fields: AnnotationFields, frame: ImageFrame | None
) -> AnnotatedObject:
    if not isinstance(value, Mapping):
        raise ValueError(f": expected an object, found {short(value)}")
    return AnnotatedObject(
        place=f"{place}.{fields.bbox_name}" if fields.bbox else place,
        box=_box(value, fields, frame) if fields.bbox else None,
        name=_class_name(value, fields.bbox_class_name) if fields.bbox_class else None,
        points=_points(value, fields.keypoint_name, fields.num_keypoints)
        if fields.keypoints
        else (),
    )


def _box(value: Mapping[str, Any], fields: AnnotationFields, frame: ImageFrame | None) -> Box:
    key, chosen = fields.bbox_name, fields.bbox_format
    numbers = value.get(key)
    if not numbers_of(numbers, 4):
        raise ValueError(
            f".{key}: expected four numbers {_NUMBERS[chosen]}, found {short(numbers)}"
        )
    box = _corners(numbers, chosen)
    other: BoxFormat = "pascal_voc" if chosen == "coco" else "coco"
    if frame is not None and not _fits(box, frame) and _fits(_corners(numbers, other), frame):
        width, height = frame.upright_size
        raise ValueError(
            f".{key}: {shown_box(numbers)} fits into the {width}x{height} pixels of the image as "
            f"{_NUMBERS[other]}, but not as {_NUMBERS[chosen]}; set bbox_format of the dataset "
            f'reader to "{other}"'
        )
    # After the other format was tried: of a wrong format this would tell half
    if box[2] < box[0] or box[3] < box[1]:
        expected = "width and height from 0 on"
        if chosen == "pascal_voc":
            expected = "x_min <= x_max and y_min <= y_max"
        raise ValueError(f".{key}: expected {expected}, found {short(numbers)}")
    return box


def _corners(numbers: list[float], box_format: BoxFormat) -> Box:
    x, y, third, fourth = (float(number) for number in numbers)
    return (x, y, third, fourth) if box_format == "pascal_voc" else (x, y, x + third, y + fourth)


def _fits(box: Box, frame: ImageFrame) -> bool:
    width, height = frame.upright_size
    x_min, y_min, x_max, y_max = box
    slack = BORDER_SLACK
    return -slack <= x_min < x_max <= width + slack and -slack <= y_min < y_max <= height + slack


def _class_name(value: Mapping[str, Any], key: str) -> str:
    name = value.get(key)
    is_blank = isinstance(name, str) and not class_name(name)
    # bool is an int in Python, and true is no name of a class
    if isinstance(name, bool) or not isinstance(name, str | int) or is_blank:
        raise ValueError(f".{key}: expected a class name, found {short(name)}")
    try:
        return cell_text(value, key)
    except ValueError as error:  # a lone surrogate
        raise ValueError(f".{error}") from None


def _points(value: Mapping[str, Any], key: str, given: int | None) -> tuple[Point, ...]:
    points: Any = value.get(key)
    count = _count(points) if given is None else given
    # With 3 * count numbers first: 6 numbers are 2 points with visibility, or 3 without
    for size in (3, 2):  # COCO writes one list of 3 * count numbers
        if numbers_of(points, size * count):
            points = [points[i : i + size] for i in range(0, size * count, size)]
    if (
        not isinstance(points, list)
        or len(points) != count
        or not all(numbers_of(p, 2) or numbers_of(p, 3) for p in points)
    ):
        raise ValueError(
            f".{key}: expected {count} keypoints [x, y] or [x, y, visibility], "
            f"found {short(points)}"
        )
    wrong = [point[2] for point in points if len(point) == 3 and point[2] not in (0, 1, 2)]
    if wrong:
        raise ValueError(f".{key}: expected a visibility of 0, 1 or 2, found {wrong[0]}")
    return tuple(_point(*point) for point in points)


def _count(points: Any) -> int:
    """Return the number of keypoints in a list of points or of numbers."""
    if not isinstance(points, list) or not points:
        return 1
    if not numbers_of(points, len(points)):
        return len(points)
    return len(points) // (2 if len(points) % 3 else 3)


def _check_counts(path: Path, items: Iterable[Instance | Skipped]) -> None:
    """Raise where objects have different numbers of keypoints, which no array could hold."""
    first: dict[int, str] = {}
    for item in items:
        groups = item.keypoints if isinstance(item, Instance) else None
        for points in cast("tuple[Points, ...]", groups or ()):
            first.setdefault(len(points), item.id if isinstance(item, Instance) else "")
    if len(first) > 1:
        found = " and ".join(f"{count} in {id}" for count, id in sorted(first.items()))
        raise DataError(
            f"{path}: expected as many keypoints of each object, found {found}; num_keypoints of "
            "the dataset reader says which number is right"
        )


def _point(x: float, y: float, visibility: float | None = None) -> Point:
    place = (float(x), float(y))
    return place if visibility is None else (*place, float(visibility))


def _with_visibility(items: list[Instance | Skipped]) -> list[Instance | Skipped]:
    """Return the items, all keypoints with a visibility if one has it: batches need one width."""
    instances = [item for item in items if isinstance(item, Instance)]
    groups = {item.id: cast("tuple[Points, ...]", item.keypoints or ()) for item in instances}
    if len({len(point) for group in groups.values() for points in group for point in points}) < 2:
        return items
    return [
        replace(item, keypoints=tuple(map(_visible, groups[item.id])))
        if isinstance(item, Instance)
        else item
        for item in items
    ]


def _visible(points: Points) -> Points:
    # 2 is COCO's "visible"; where there is a visibility already, the slice drops the 2
    return tuple(_point(*(*point, 2.0)[:3]) for point in points)

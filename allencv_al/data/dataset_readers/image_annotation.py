"""Images with boxes and keypoints, in a JSON file for each image."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge
from overrides import overrides

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.paths import existing_path
from allencv_al.common.files.tables import cell_text
from allencv_al.common.files.text_files import decode_text
from allencv_al.common.names import class_name
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.image_files import Skipped, check_names_below, scan_images
from allencv_al.data.instance import Instance
from allencv_al.data.transforms import ImageTransform

logger = logging.getLogger(__name__)

Box = tuple[float, float, float, float]
Point = tuple[float, float] | tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class AnnotationFields:
    """The fields to read of each object, and their names; see `ImageAnnotationReader`."""

    bbox_name: str
    bbox_class_name: str
    keypoint_name: str
    objects_name: str
    bbox: bool
    bbox_class: bool
    keypoints: bool
    num_keypoints: int


@DatasetReader.register("image_annotation")
class ImageAnnotationReader(DatasetReader):
    """Read images with a JSON file of objects for each: boxes, their classes, keypoints.

        PATH/images/0001.jpg
        PATH/annotations/0001.json
            {"objects": [{"bbox": [10, 20, 110, 220], "class": "cat",
                          "keypoints": [[35, 48], [60, 47]]}]}

    A box is `x_min, y_min, x_max, y_max` (Pascal VOC), a keypoint `x, y`, in pixels of the upright
    image. A keypoint may have a third number, its visibility as in COCO (0 absent, 1 hidden, 2
    visible), which is kept: in such a data set the points without one count as visible. Keypoints
    may also be written as COCO does, one list `x, y, v, x, y, v, ...`. The JSON file may lie beside
    the image, too, and PATH may hold the images itself. An image without a JSON file comes without
    boxes. Faults in the JSON files are errors that name the file and the field, all at once. A box
    that reaches over the border of its image is cut there; one that lies outside is an error when
    the image is decoded. An image's id is its path below PATH (`images/0001.jpg`).

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
        num_keypoints: Number of keypoints of each object.
        objects_name: Key of the list of objects. A file may also be that list itself.
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
        num_keypoints: Annotated[int, Ge(1)] = 1,
        objects_name: str = "objects",
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, **kwargs)
        check_names_below(
            image_dir=image_dir, annotation_dir=annotation_dir, annotation_ext=annotation_ext
        )
        self.image_dir = image_dir
        self.annotation_dir = annotation_dir
        self.annotation_ext = f".{annotation_ext.removeprefix('.')}"
        self.fields = AnnotationFields(
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
        if not path.is_dir():
            raise DataError(f"{path}: expected {self.layout}, found no folder")
        prefix = f"{self.image_dir}/" if (path / self.image_dir).is_dir() else ""
        items: list[Instance | Skipped] = []
        problems: list[str] = []
        missing = []
        for name in scan_images(path / prefix):
            if isinstance(name, Skipped):
                if not name.name.lower().endswith(self.annotation_ext.lower()):
                    items.append(name)
                continue
            id = prefix + name
            annotation = self._annotation_file(path, id, name)
            if annotation is None:
                missing.append(id)
                items.append(Instance(id, path / id))
                continue
            objects = _read_objects(annotation, self.fields, problems)
            items.append(self._instance(id, path / id, objects))
        raise_problems(path, problems)
        items = _with_visibility(items)
        if missing:
            logger.warning(
                "%s: %d images have no %s file, the first of them %s",
                *(path, len(missing), self.annotation_ext, missing[0]),
            )
        return items

    def _annotation_file(self, path: Path, id: str, name: str) -> Path | None:
        extensions = (self.annotation_ext, self.annotation_ext.upper())  # of a Windows program
        files = (
            existing_path(file.with_suffix(extension))
            for file in (path / self.annotation_dir / name, path / id)
            for extension in extensions
        )
        return next((file for file in files if file.is_file()), None)

    def _instance(self, id: str, image: Path, objects: list[AnnotatedObject]) -> Instance:
        fields = self.fields
        return Instance(
            id=id,
            image=image,
            boxes=tuple(o.box for o in objects if o.box) if fields.bbox else None,
            box_labels=tuple(o.name for o in objects if o.name) if fields.bbox_class else None,
            keypoints=tuple(p for o in objects for p in o.points) if fields.keypoints else None,
        )


@dataclass(frozen=True, slots=True)
class AnnotatedObject:
    """One object of an annotation file, as far as it was asked for."""

    box: Box | None
    name: str | None
    points: tuple[Point, ...]


def _read_objects(
    file: Path, fields: AnnotationFields, problems: list[str]
) -> list[AnnotatedObject]:
    """Return the objects in `file`; what is wrong with it goes to `problems`."""
    try:
        content = json.loads(decode_text(file.read_bytes(), str(file), "save it as UTF-8"))
        objects = _objects(content, fields.objects_name)
    except DataError as error:
        problems.append(str(error))
        return []
    except (ValueError, RecursionError) as error:  # json's errors are ValueErrors, too
        problems.append(f"{file}: {error}")
        return []
    found = []
    for index, value in enumerate(objects):
        try:
            found.append(_object(value, fields))
        except ValueError as error:
            problems.append(f"{file}: {fields.objects_name}[{index}]{error}")
    return found


def _objects(content: Any, name: str) -> list[Any]:
    objects = content.get(name) if isinstance(content, Mapping) else content
    if not isinstance(objects, list):
        keys = ", ".join(content) if isinstance(content, Mapping) else _short(content)
        raise ValueError(f'expected a list under "{name}", found {keys or "nothing"}')
    return objects


def _object(value: Any, fields: AnnotationFields) -> AnnotatedObject:
    if not isinstance(value, Mapping):
        raise ValueError(f": expected an object, found {_short(value)}")
    return AnnotatedObject(
        box=_box(value, fields.bbox_name) if fields.bbox else None,
        name=_class_name(value, fields.bbox_class_name) if fields.bbox_class else None,
        points=_points(value, fields.keypoint_name, fields.num_keypoints)
        if fields.keypoints
        else (),
    )


def _box(value: Mapping[str, Any], key: str) -> Box:
    numbers = value.get(key)
    if not isinstance(numbers, list) or not _are_numbers(numbers, 4):
        raise ValueError(
            f".{key}: expected four numbers x_min, y_min, x_max, y_max, found {_short(numbers)}"
        )
    x_min, y_min, x_max, y_max = (float(number) for number in numbers)
    if x_max <= x_min or y_max <= y_min:
        raise ValueError(f".{key}: expected x_min < x_max and y_min < y_max, found {numbers}")
    return x_min, y_min, x_max, y_max


def _class_name(value: Mapping[str, Any], key: str) -> str:
    name = value.get(key)
    is_blank = isinstance(name, str) and not class_name(name)
    if isinstance(name, bool) or not isinstance(name, str | int) or is_blank:
        raise ValueError(f".{key}: expected a class name, found {_short(name)}")
    try:
        return cell_text(value, key)
    except ValueError as error:  # a lone surrogate
        raise ValueError(f".{error}") from None


def _points(value: Mapping[str, Any], key: str, count: int) -> tuple[Point, ...]:
    points = value.get(key)
    # With 3 * count numbers first: 6 numbers are 2 points with visibility, or 3 without
    for size in (3, 2):  # COCO writes one list of 3 * count numbers
        if isinstance(points, list) and _are_numbers(points, size * count):
            points = [points[i : i + size] for i in range(0, size * count, size)]
    if (
        not isinstance(points, list)
        or len(points) != count
        or not all(_are_numbers(p, 2) or _are_numbers(p, 3) for p in points)
    ):
        raise ValueError(
            f".{key}: expected {count} keypoints [x, y] or [x, y, visibility], "
            f"found {_short(points)}"
        )
    wrong = [point[2] for point in points if len(point) == 3 and point[2] not in (0, 1, 2)]
    if wrong:
        raise ValueError(f".{key}: expected a visibility of 0, 1 or 2, found {wrong[0]}")
    return tuple(_point(*point) for point in points)


def _point(x: float, y: float, visibility: float | None = None) -> Point:
    place = (float(x), float(y))
    return place if visibility is None else (*place, float(visibility))


def _with_visibility(items: list[Instance | Skipped]) -> list[Instance | Skipped]:
    """Return the items, all keypoints with a visibility if one has it: batches need one width."""
    points = [p for item in items if isinstance(item, Instance) for p in item.keypoints or ()]
    if len({len(point) for point in points}) < 2:
        return items
    return [
        replace(item, keypoints=tuple(_point(*(*p, 2.0)[:3]) for p in item.keypoints))
        if isinstance(item, Instance) and item.keypoints
        else item
        for item in items
    ]


def _are_numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(
            isinstance(number, int | float)
            and not isinstance(number, bool)
            and math.isfinite(number)
            for number in value
        )
    )


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."

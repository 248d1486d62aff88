"""Images with objects in the JSON export of Label Studio."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from overrides import overrides

from allencv_al.common.errors import DataError
from allencv_al.common.names import class_name
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.objects.annotation_file import (
    AnnotatedImage,
    AnnotationFile,
    AnnotationFileReader,
    classes_of_masks,
    json_content,
)
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Box,
    Size,
    ellipse,
    numbers_of,
    region_of,
    rotated,
    short,
)
from allencv_al.data.drawn_masks import Region
from allencv_al.data.instance import path_id
from allencv_al.data.run_lengths import brush_runs, mask_of_brush

IMAGE_KEYS = ("image", "img", "url")
"""Keys of a task's data that name the image, the first of them first."""

Shape = tuple[Box, Region]


@DatasetReader.register("label_studio")
class LabelStudioReader(AnnotationFileReader):
    """Read the images of a JSON export of Label Studio, with their boxes, masks or choices.

        PATH/project-1-at-2026-11-27.json
        PATH/images/0001.jpg

    The path is the JSON file, or a folder with one such file in it or in its `annotations`. Images
    lie where `image_dir` says; the prefix of uploads (`1234abcd-`) may be there or not. Rectangles,
    polygons, ellipses, brushes and choices are read, whatever the names of the controls; other
    regions are left out and counted. The box of a region that is no upright rectangle is the one
    around it. In masks, later regions cover earlier ones. Of several annotations of a task, the
    ground truth counts, or else the last one; skipped tasks and those without annotations are
    unlabeled, and an empty annotation says that nothing is to be seen. Faults are errors that name
    the task, all at once. An image's id is its path below the folder of the images.

    Args:
        augmentation: Transforms, applied to each image with its objects in the order given.
            Default: none.
        image_dir: Folder of the images, seen from the file's folder. Default: `images` beside the
            file if there is such a folder, else that of the file.
        target: Labels of the images: "boxes", "masks" (a class index for each pixel, 0 where no
            region is) or "labels" (the choices, and the classes of all regions).
        classes: For masks, which need it: the class names in the order of their indices, from 1.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = "a JSON export of Label Studio, and the images that it lists"
    program: ClassVar[str] = "Label Studio"
    joint_rules = (classes_of_masks,)

    @overrides
    def _id(self, one: AnnotatedImage, image: Path) -> str:
        # The name in the file is an address
        return path_id(image)

    @overrides
    def _parsed(self, file: Path, problems: list[str]) -> AnnotationFile:
        tasks = json_content(file)
        if not isinstance(tasks, list):
            raise DataError(f"{file}: expected a JSON list of tasks, as Label Studio exports it")
        images = []
        for number, task in enumerate(tasks, start=1):
            try:
                images.append(_image(task, str(file), f"task {number}"))
            except ValueError as error:
                problems.append(f"task {number}: {error}")
        return AnnotationFile(images)


@dataclass(frozen=True, slots=True)
class RegionsOfResult:
    """The contents of the `result` of an annotation.

    Args:
        objects: Its regions.
        tags: Its choices about the whole image.
        size: Width and height of the image that it was made on; None without a region.
        left_out: Number of results of other types.
    """

    objects: Sequence[AnnotatedObject] = ()
    tags: Sequence[str] = ()
    size: Size | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)


def regions_of_result(result: Any, place: str) -> RegionsOfResult:
    """Return the regions and choices of the `result` of an annotation or a prediction.

    Args:
        result: The list.
        place: Its place in the file, for messages.

    Raises:
        ValueError: It is not as Label Studio writes it.
    """
    if not isinstance(result, list) or not all(isinstance(one, Mapping) for one in result):
        raise ValueError(f"result: expected a list of objects, found {short(result)}")
    shapes = [one for one in result if _shape_of(one) is not None]
    ids = {one["id"] for one in shapes if isinstance(one.get("id"), str)}
    # <Labels> and <Rectangle> of a config give two results with one id
    by_id = {one.get("id"): _names(one, "labels") for one in result if one.get("type") == "labels"}
    tags = [
        name
        for one in result
        if one.get("type") == "choices" and one.get("id") not in ids
        for name in _names(one, "choices")
    ]
    read = ("choices", "labels")
    left_out = Counter(str(one.get("type")) for one in result if _shape_of(one) is None)
    objects: list[AnnotatedObject] = []
    size: Size | None = None
    for number, one in enumerate(shapes, start=1):
        where = f"{place}, region {number}"
        try:
            size = _size(one)
            box, region = _SHAPES[str(_shape_of(one))](one["value"], size)
        except ValueError as error:
            raise ValueError(f"region {number}: {error}") from None
        names = _names(one, str(one["type"])) or by_id.get(one.get("id"), [])
        if not names:
            raise ValueError(f"region {number}: expected a label, found none")
        objects += [
            AnnotatedObject(f"{where} ({name})", box, name, region=region) for name in names
        ]
    return RegionsOfResult(
        objects, tags, size, {kind: n for kind, n in left_out.items() if kind not in read}
    )


def label_studio_result(annotation: Annotation) -> list[dict[str, Any]]:
    """Return objects and tags as the `result` of an annotation, the inverse of reading it.

    Args:
        annotation: Objects in pixels of the upright image, whose size it has.
    """
    found: list[dict[str, Any]] = []
    if annotation.tags:
        value: dict[str, Any] = {"choices": list(annotation.tags)}
        names = {"from_name": "choice", "to_name": IMAGE_KEYS[0]}
        found.append({**names, "type": "choices", "value": value})
    width, height = annotation.size or (1, 1)
    for number, one in enumerate(annotation.objects, start=1):
        if one.region is None:
            kind = "rectanglelabels"
            x_min, y_min, x_max, y_max = one.box or (0, 0, 0, 0)
            value = {
                "x": 100 * x_min / width,
                "y": 100 * y_min / height,
                "width": 100 * (x_max - x_min) / width,
                "height": 100 * (y_max - y_min) / height,
                "rotation": 0,
            }
        else:
            kind = "brushlabels"
            code = brush_runs(one.region.pixels((width, height)))
            value = {"format": "rle", "rle": code}
        found.append(
            {
                "id": f"region-{number}",
                "from_name": "label",
                "to_name": IMAGE_KEYS[0],
                "type": kind,
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {**value, kind: [one.name]},
            }
        )
    return found


def image_of_task(data: Mapping[str, Any]) -> str | None:
    """Return the path or address of the image in the data of a task, if there is one."""
    texts = [data.get(key) for key in IMAGE_KEYS] + list(data.values())
    return next((text for text in texts if isinstance(text, str) and text), None)


def _image(task: Any, file: str, place: str) -> AnnotatedImage:
    if not isinstance(task, Mapping) or not isinstance(task.get("data"), Mapping):
        raise ValueError('expected an object with "data"; export the project as JSON')
    name = image_of_task(task["data"])
    if name is None:
        raise ValueError("data: expected an image, found none")
    annotations = task.get("annotations") or []
    if not isinstance(annotations, list) or not all(isinstance(a, Mapping) for a in annotations):
        raise ValueError("annotations: expected a list of objects")
    valid = [one for one in annotations if not one.get("was_cancelled")]
    if not valid:
        return AnnotatedImage(name, None)
    chosen = next((one for one in valid if one.get("ground_truth")), valid[-1])
    found = regions_of_result(chosen.get("result") or [], place)
    annotation = Annotation(file, found.objects, found.size, {}, found.tags, found.left_out)
    return AnnotatedImage(name, annotation)


def _shape_of(result: Mapping[str, Any]) -> str | None:
    kind = str(result.get("type")).removesuffix("labels")
    return kind if kind in _SHAPES and isinstance(result.get("value"), Mapping) else None


def _names(result: Mapping[str, Any], key: str) -> list[str]:
    value = result.get("value")
    names = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(names, list):
        return []
    return [found for name in names if isinstance(name, str) and (found := class_name(name))]


def _size(result: Mapping[str, Any]) -> Size:
    sides = [result.get(key) for key in ("original_width", "original_height")]
    if not numbers_of(sides, 2) or min(sides) <= 0:
        raise ValueError(f"expected original_width and original_height, found {short(sides)}")
    if result.get("image_rotation"):
        raise ValueError(
            f"the image was turned by {result['image_rotation']} degrees in Label Studio, which no "
            "other program does; label it unturned"
        )
    return int(sides[0]), int(sides[1])


def _rectangle(value: Mapping[str, Any], size: Size) -> Shape:
    x, y, width, height = _pixels(value, size, "x", "y", "width", "height")
    box = (x, y, x + width, y + height)
    degrees = value.get("rotation") or 0
    region = Region((rotated(box, degrees, (x, y)),)) if degrees else region_of(box)
    return (region.bounds(size) or box) if degrees else box, region


def _ellipse(value: Mapping[str, Any], size: Size) -> Shape:
    x, y, width, height = _pixels(value, size, "x", "y", "radiusX", "radiusY")
    region = Region((ellipse((x, y), (width, height), value.get("rotation") or 0),))
    return region.bounds(size) or (x, y, x, y), region


def _polygon(value: Mapping[str, Any], size: Size) -> Shape:
    points = value.get("points")
    pairs = points if isinstance(points, list) else []
    if len(pairs) < 3 or not all(numbers_of(pair, 2) for pair in pairs):
        raise ValueError(f"points: expected three points or more, found {short(points)}")
    region = Region(
        (tuple(n * side / 100 for pair in pairs for n, side in zip(pair, size, strict=True)),)
    )
    return region.bounds(size) or (0, 0, 0, 0), region


def _brush(value: Mapping[str, Any], size: Size) -> Shape:
    code = value.get("rle")
    if value.get("format") != "rle" or not isinstance(code, list):
        raise ValueError("expected the rle of a brush, found none")
    try:
        region = Region.of_mask(mask_of_brush(code, size))
    except TypeError:
        raise ValueError("rle: expected a list of bytes") from None
    return region.bounds(size) or (0, 0, 0, 0), region


def _pixels(value: Mapping[str, Any], size: Size, *keys: str) -> list[float]:
    numbers = [value.get(key) for key in keys]
    if not numbers_of(numbers, len(keys)) or min(numbers[2:]) < 0:
        raise ValueError(f"expected {', '.join(keys)} in percent, found {short(numbers)}")
    # In percent of width, height, width, height
    return [number * size[n % 2] / 100 for n, number in enumerate(numbers)]


_SHAPES: Mapping[str, Callable[[Mapping[str, Any], Size], Shape]] = {
    "rectangle": _rectangle,
    "ellipse": _ellipse,
    "polygon": _polygon,
    "brush": _brush,
}

"""Images with objects in the one JSON file of COCO."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeGuard

from overrides import overrides

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.paths import path_problem
from allencv_al.common.names import class_name
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.objects.annotation_file import (
    AnnotatedImage,
    AnnotationFile,
    AnnotationFileReader,
    json_content,
)
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Box,
    ObjectInstances,
    Size,
    numbers_of,
    short,
)
from allencv_al.data.drawn_masks import Region
from allencv_al.data.instance import Points
from allencv_al.data.run_lengths import coco_counts, mask_of_counts
from allencv_al.data.transforms import ImageTransform


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An entry of `images`.

    Args:
        id: Its `id`, by which annotations name it.
        name: Its `file_name`.
        size: Its width and height, if the file has them.
    """

    id: int | str
    name: str
    size: Size | None


@DatasetReader.register("coco")
class CocoReader(AnnotationFileReader):
    """Read the images that a COCO file of instances lists, with their boxes, masks or keypoints.

        PATH/annotations/instances_train2017.json
        PATH/train2017/000000000009.jpg

    The path is the JSON file, or a folder with one such file in it or in its `annotations`. Without
    `image_dir`, the name behind `instances_` (`train2017`) may be a folder of images, too. Without
    `classes`, categories count in the order of their ids. Polygons are filled as COCO does, so that
    a mask has the pixels that pycocotools gives; of objects that overlap, the later one covers the
    earlier. An image that the file lists without an annotation has no objects; in a file without
    `annotations` all images are unlabeled. An annotation without a box or a region is the class of
    its image. A crowd (`iscrowd`) is neither learned nor judged: it comes into `ignored` of the
    instance, and is void (255) in masks. `image_id` comes into the metadata. Faults are errors that
    name the entry, all at once. A box over the border is cut there; one without area is left out.
    An image's id is its `file_name`.

    Args:
        augmentation: Transforms, applied to each image with its objects in the order given.
            Default: none.
        crowd: Treatment of annotations with `iscrowd`: "ignore" or "keep".
        keypoints: Whether to read keypoints beside boxes; an object without them has absent ones.
        kwargs: The parameters that all readers of such a file have.
    """

    layout: ClassVar[str] = "a COCO file of instances (.json), and the images that it lists"

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        crowd: Literal["ignore", "keep"] = "ignore",
        keypoints: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, **kwargs)
        self.crowd = crowd
        self.keypoints = keypoints

    @overrides
    def _parsed(self, file: Path, problems: list[str]) -> AnnotationFile:
        content = json_content(file)
        found = coco_annotations(content, str(file), self.crowd == "ignore", problems)
        return _with_all_keypoints(found) if self.keypoints else found

    @overrides
    def _objects(self, found: AnnotationFile) -> ObjectInstances:
        classes = found.classes if self.classes is None else self.classes
        return ObjectInstances(
            self.coordinates, keypoints=self.keypoints, target=self.target, classes=classes
        )


def coco_annotations(
    content: Any, where: str, ignores_crowds: bool, problems: list[str]
) -> AnnotationFile:
    """Return the images and objects of a COCO file.

    Args:
        content: Its JSON.
        where: Its name.
        ignores_crowds: Whether objects with `iscrowd` are marked as ignored.
        problems: A list, to which what is wrong is added.

    Raises:
        DataError: It has no lists of images and categories.
    """
    _check_lists(content, where)
    images = _images(content, problems)
    sizes = {image.id: image.size for image in images}
    categories = _categories(content, problems)
    objects = _objects(content, sizes, categories, ignores_crowds, problems)
    found = [
        AnnotatedImage(one.name, None if objects is None else _annotation(where, one, objects))
        for one in images
    ]
    numbers = sorted(categories, key=lambda id: (isinstance(id, str), id))
    return AnnotationFile(found, [categories[id] for id in numbers])


def _annotation(
    where: str, image: CocoImage, objects: Mapping[int | str, Sequence[AnnotatedObject]]
) -> Annotation:
    # Without a box an entry gives the class of its image
    placed = [one for one in objects[image.id] if one.box is not None]
    tags = [one.name for one in objects[image.id] if one.box is None and one.name is not None]
    return Annotation(where, placed, image.size, {"image_id": image.id}, tags)


def _check_lists(content: Any, where: str) -> None:
    if not isinstance(content, dict):
        raise DataError(f"{where}: expected an object with images, found {short(content)}")
    wrong = [
        f"{key}: expected a list, found {short(content.get(key))}"
        for key in ("images", "categories", "annotations")
        if not isinstance(content.get(key, [] if key == "annotations" else None), list)
    ]
    raise_problems(where, wrong)


def _images(content: Mapping[str, Any], problems: list[str]) -> list[CocoImage]:
    found: dict[int | str, CocoImage] = {}
    for index, entry in enumerate(content["images"]):
        place = f"images[{index}]"
        id, name = _values(entry, "id", "file_name")
        if not _is_id(id) or not isinstance(name, str) or not name.strip():
            problems.append(f"{place}: expected an id and a file_name, found {short(entry)}")
        elif (problem := path_problem(name)) is not None:
            problems.append(f"{place}.file_name: {problem}")
        elif id in found:
            problems.append(f"{place}: the id {short(id)} is that of {found[id].name}, too")
        else:
            sides = _values(entry, "width", "height")
            # Some programs write 0 where they do not know it
            size = (int(sides[0]), int(sides[1])) if numbers_of(sides, 2) and all(sides) else None
            found[id] = CocoImage(id, name.replace("\\", "/"), size)
    return list(found.values())


def _objects(
    content: Mapping[str, Any],
    sizes: Mapping[int | str, Size | None],
    categories: Mapping[int | str, str],
    ignores_crowds: bool,
    problems: list[str],
) -> Mapping[int | str, list[AnnotatedObject]] | None:
    """Return the objects of each image by its id; None if the file has no annotations."""
    if "annotations" not in content:
        return None
    found: dict[int | str, list[AnnotatedObject]] = defaultdict(list)
    for index, entry in enumerate(content["annotations"]):
        place = f"annotations[{index}]"
        try:
            if not isinstance(entry, Mapping):
                raise ValueError(f": expected an object, found {short(entry)}")
            for key, ids in (("image_id", sizes), ("category_id", categories)):
                if not _is_id(entry.get(key)) or entry[key] not in ids:
                    raise ValueError(f".{key}: expected a known id, found {short(entry.get(key))}")
            size = sizes[entry["image_id"]]
            region = _region(entry.get("segmentation"), size)
            has_place = "bbox" in entry or region is not None
            box = _box(entry.get("bbox"), region, size) if has_place else None
            points = _points(entry.get("keypoints"))
        except ValueError as error:
            problems.append(f"{place}{error}")
            continue
        found[entry["image_id"]].append(
            AnnotatedObject(
                place=f"{place}.bbox",
                box=box,
                name=categories[entry["category_id"]],
                points=points,
                ignored=ignores_crowds and bool(entry.get("iscrowd")),
                is_crowd=bool(entry.get("iscrowd")),
                region=region,
            )
        )
    return found


def _box(value: Any, region: Region | None, size: Size | None) -> Box:
    # Some programs write polygons alone
    if value is None and region is not None and (size is not None or region.counts is None):
        return region.bounds(size or (0, 0)) or (0, 0, 0, 0)
    if not numbers_of(value, 4) or min(value[2:]) < 0:
        raise ValueError(f".bbox: expected x, y, width, height, found {short(value)}")
    x, y, width, height = value
    return x, y, x + width, y + height


def _region(value: Any, size: Size | None) -> Region | None:
    if not value:
        return None
    if isinstance(value, Mapping):
        return _region_of_runs(value, size)
    polygons = value if isinstance(value, list) else [value]
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(
                f".segmentation: expected lists of x, y of three corners or more, found "
                f"{short(polygon)}"
            )
        if not numbers_of(polygon, len(polygon)):
            raise ValueError(f".segmentation: expected numbers, found {short(polygon)}")
    return Region(tuple(map(tuple, polygons)))


def _region_of_runs(value: Mapping[str, Any], size: Size | None) -> Region:
    counts, sides = value.get("counts"), value.get("size")
    try:
        if not numbers_of(sides, 2) or not isinstance(counts, str | list):
            raise ValueError("expected size and counts")
        own = (int(sides[1]), int(sides[0]))  # COCO has the height first
        if size is not None and size != own:
            raise ValueError(f"it is {own[0]}x{own[1]} pixels, its image {size[0]}x{size[1]}")
        return Region(counts=coco_counts(mask_of_counts(counts, own)))
    except ValueError as error:
        raise ValueError(f".segmentation: {error}") from None


def _points(value: Any) -> Points:
    if not value:
        return ()
    if not isinstance(value, list) or len(value) % 3 or not numbers_of(value, len(value)):
        raise ValueError(f".keypoints: expected x, y, v of each, found {short(value)}")
    rows = zip(value[::3], value[1::3], value[2::3], strict=True)
    return tuple((x, y, v) if v else (0, 0, 0) for x, y, v in rows)


def _with_all_keypoints(found: AnnotationFile) -> AnnotationFile:
    """Return the file with as many keypoints for each object, since one batch holds them all."""
    annotations = [one.annotation for one in found.images if one.annotation is not None]
    count = max((len(o.points) for one in annotations for o in one.objects), default=0)

    def completed(annotation: Annotation | None) -> Annotation | None:
        if annotation is None:
            return None
        objects = [
            replace(one, points=(*one.points, *((0, 0, 0),) * (count - len(one.points))))
            for one in annotation.objects
        ]
        return replace(annotation, objects=objects)

    images = [replace(one, annotation=completed(one.annotation)) for one in found.images]
    return AnnotationFile(images, found.classes)


def _categories(content: Mapping[str, Any], problems: list[str]) -> Mapping[int | str, str]:
    found: dict[int | str, str] = {}
    for index, entry in enumerate(content["categories"]):
        id, name = _values(entry, "id", "name")
        if not _is_id(id) or not isinstance(name, str) or not class_name(name):
            problems.append(f"categories[{index}]: expected id and name, found {short(entry)}")
        elif id in found:
            problems.append(
                f'categories[{index}]: the id {short(id)} is that of "{found[id]}", too'
            )
        else:
            found[id] = class_name(name)
    return found


def _values(entry: Any, *keys: str) -> list[Any]:
    return [entry.get(key) if isinstance(entry, Mapping) else None for key in keys]


def _is_id(value: Any) -> TypeGuard[int | str]:
    return isinstance(value, int | str) and not isinstance(value, bool)

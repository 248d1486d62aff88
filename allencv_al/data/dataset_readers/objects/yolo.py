"""Images with boxes in the text files of YOLO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import yaml
from overrides import overrides

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.files.paths import existing_path, split_path, written_path
from allencv_al.common.files.text_files import decode_text
from allencv_al.common.names import class_name, listed
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.image_files import Skipped, scan_images
from allencv_al.data.dataset_readers.image_tables import path_lines
from allencv_al.data.dataset_readers.objects.annotated_images import (
    AnnotatedImageReader,
    ListedImage,
    Parser,
    Unannotated,
)
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Box,
    ObjectInstances,
    numbers_of,
)
from allencv_al.data.image_io import ImageFrame
from allencv_al.data.instance import path_id
from allencv_al.data.transforms import ImageTransform

_SPLITS = ("train", "val", "test")
# Of LabelImg and Label Studio; of CVAT and Darknet
_LISTS_OF_CLASSES = ("classes.txt", "labels/classes.txt", "../classes.txt", "obj.names")
# Programs round, and let a polygon reach over the border by a pixel; pixels are far beyond
_OVER = 0.05


@DatasetReader.register("yolo")
class YoloReader(AnnotatedImageReader):
    """Read images with the boxes of their YOLO files.

        PATH/data.yaml             {train: images/train, val: images/val, names: [cat, dog]}
        PATH/images/train/1.jpg
        PATH/labels/train/1.txt    0 0.5 0.5 0.2 0.3

    `PATH/data.yaml::train` reads the images that the YAML file names under `train`: a folder, a
    list of folders, or a text file that lists images; without a split, all of them. PATH may also
    be a folder of images at any depth with the names of the classes, one a line, in `classes.txt`
    (as LabelImg and Label Studio write it) or `obj.names`. The text file of an image lies beside
    it, or where its path leads with `labels` instead of the last folder `images`.

    A line is a class, counted from 0, and a box: its middle, width and height as shares of the
    image's. A line of six or more coordinates is a polygon, whose bounds are the box; a rotated box
    is such a polygon. Faults are errors that name the file and the line, all at once. A box over
    the border is cut there; one without area is left out. An image's id is its path below the
    folder that `path` of the YAML file names.

    Args:
        augmentation: Transforms, applied to each image with its boxes in the order given. Default:
            none.
        coordinates: Pixels that boxes refer to where an image has an EXIF orientation: "upright"
            as Ultralytics and labeling pages show it, or "stored" (the orientation ignored).
        unannotated: Treatment of images without a text file: "empty" takes them as images without
            objects, as YOLO does, "unlabeled" as images without a label, which share no batch with
            others; "error" ends the run.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = "a YAML file with names and splits, or a folder with a classes.txt"

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        coordinates: Literal["upright", "stored"] = "upright",
        unannotated: Unannotated = "empty",
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, "images", "labels", ".txt", unannotated, **kwargs)
        self.coordinates: Literal["upright", "stored"] = coordinates

    @overrides
    def _objects(self) -> ObjectInstances:
        return ObjectInstances(self.coordinates)

    @overrides
    def _listed(self, path: Path) -> Iterator[ListedImage | Skipped]:
        found = yolo_set(path)
        for source in found.sources:
            for image in _images(source, found.root):
                if isinstance(image, Skipped):
                    if not self._is_annotation(image.name):
                        yield image
                    continue
                # A list may name images of another disk; these keep their whole path as id
                is_below = image.is_relative_to(found.root)
                id = image.relative_to(found.root).as_posix() if is_below else path_id(image)
                yield ListedImage(id, image, self._annotation_file(_in_labels(image), image))

    @overrides
    def parser(self, path: Path) -> Parser:
        names = yolo_names(path)

        def parse(file: Path, frame: ImageFrame | None, problems: list[str]) -> Annotation | None:
            if frame is None:  # nothing to measure shares by, and nothing to train on
                return Annotation(str(file))
            is_upright = self.coordinates == "upright"
            size = frame.upright_size if is_upright else (frame.width, frame.height)
            try:
                lines = decode_text(file.read_bytes(), str(file), "save it as UTF-8").splitlines()
            except DataError as error:
                problems.append(str(error))
                return None
            objects = []
            for number, line in enumerate(lines, start=1):
                try:
                    if words := line.split():
                        objects.append(_object(f"line {number}", words, names, size))
                except ValueError as error:
                    problems.append(f"{file}: line {number}: {error}")
            return Annotation(str(file), objects)

        return parse


@dataclass(frozen=True, slots=True)
class YoloSet:
    """The class names and the places of images that a YAML file or a folder gives.

    Args:
        root: Folder that ids and relative paths start at.
        names: Class names by number.
        sources: Folders of images, and text files that list images.
    """

    root: Path
    names: Mapping[int, str]
    sources: Sequence[Path]


def yolo_set(path: Path) -> YoloSet:
    """Return class names and places of images.

    Args:
        path: A YAML file, perhaps with a split (`data.yaml::train`), or a folder.

    Raises:
        DataError: It is neither, or lacks the names, the split or its images.
    """
    location, split = split_path(path)
    content = _content(location)
    if content is None:
        return YoloSet(location, _listed_names(location), [location])
    file = content.file
    # Ultralytics takes a relative `path` from a folder of its settings, or from the YAML file
    root = existing_path(file.parent / str(content.values.get("path") or "."))
    root = root if root.is_dir() else file.parent
    splits = [name for name in _SPLITS if content.values.get(name)] if split is None else [split]
    written = [source for name in splits for source in _written(file, content.values, name)]
    sources = list(dict.fromkeys(_source(file, root, text) for text in written))
    return YoloSet(root, _names(file, content.values.get("names")), sources)


def yolo_names(path: Path) -> Mapping[int, str]:
    """Return the class names by number, whether or not the images are there.

    Args:
        path: A YAML file, perhaps with a split, or a folder.

    Raises:
        DataError: It is neither, or lacks the names.
    """
    location, _ = split_path(path)
    content = _content(location)
    if content is None:
        return _listed_names(location)
    return _names(content.file, content.values.get("names"))


class _Yaml(NamedTuple):
    """A YAML file, and what is in it."""

    file: Path
    values: Mapping[str, Any]


def _content(location: Path) -> _Yaml | None:
    """Return the YAML file at a path, or None for a folder without one."""
    if location.is_dir():
        found = sorted(one for name in ("data", "dataset") for one in location.glob(f"{name}.y*ml"))
        if not found:
            return None
        location = found[0]
    if not location.is_file():
        raise DataError(f"{location}: expected {YoloReader.layout}, found nothing")
    try:
        content = yaml.safe_load(decode_text(location.read_bytes(), str(location), "save as UTF-8"))
    except (yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{location}: expected YAML: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{location}: expected names and splits, found {repr_json(content)}")
    return _Yaml(location, content)


def _listed_names(folder: Path) -> Mapping[int, str]:
    for name in _LISTS_OF_CLASSES:
        file = folder / name
        if file.is_file():
            lines = decode_text(file.read_bytes(), str(file), "save it as UTF-8").splitlines()
            return dict(enumerate(class_name(line) for line in lines if line.strip()))
    raise DataError(
        f"{folder}: expected the names of the classes in data.yaml, dataset.yaml or "
        f"{', '.join(_LISTS_OF_CLASSES)}, found none of them"
    )


def _names(file: Path, value: Any) -> Mapping[int, str]:
    items = list(value.items() if isinstance(value, dict) else enumerate(value or ()))
    if not items or not all(str(number).isdecimal() and _is_name(name) for number, name in items):
        raise DataError(f"{file}: names: expected a list of class names, found {repr_json(value)}")
    return {int(number): class_name(str(name)) for number, name in items}


def _is_name(value: Any) -> bool:
    is_text = isinstance(value, str | int) and not isinstance(value, bool)
    return is_text and bool(class_name(str(value)))


def _written(file: Path, content: Mapping[str, Any], split: str) -> list[str]:
    value = content.get(split)
    sources = [value] if isinstance(value, str) else value
    if not isinstance(sources, list) or not sources or not all(isinstance(s, str) for s in sources):
        known = [name for name in _SPLITS if content.get(name)]
        raise DataError(
            f"{file}: {split}: expected a folder, or a list of them, found {repr_json(value)}; "
            f"splits here: {listed(known)}"
        )
    return sources


def _source(file: Path, root: Path, text: str) -> Path:
    # Roboflow writes "../train/images" for a folder that lies beside the YAML file
    candidates = (text, text.removeprefix("../"))
    found = [existing_path(folder / one) for one in candidates for folder in (root, file.parent)]
    source = next((one for one in found if one.exists()), None)
    if source is None:
        raise DataError(f"{file}: {text}: expected a folder of images, found nothing at {found[0]}")
    return source


def _images(source: Path, root: Path) -> Iterator[Path | Skipped]:
    if source.is_dir():
        for name in scan_images(source):
            yield name if isinstance(name, Skipped) else source / name
        return
    for _, line in path_lines(source.read_bytes()):
        # Ultralytics takes "./" from the list's folder; other programs write from the root
        files = [written_path(line, folder) for folder in (source.parent, root)]
        yield next((file for file in files if file.exists()), files[0])


def _in_labels(image: Path) -> Path:
    parts = list(image.parts)
    if "images" in parts[:-1]:
        # The last folder of that name, as Ultralytics takes it: images/train/images has two
        place = len(parts) - 2 - parts[-2::-1].index("images")
        parts[place] = "labels"
    return Path(*parts)


def _object(
    place: str, words: Sequence[str], names: Mapping[int, str], size: tuple[int, int]
) -> AnnotatedObject:
    try:
        number, *values = (float(word) for word in words)
    except ValueError:
        raise ValueError(f"expected numbers, found {' '.join(words)[:60]}") from None
    # An even number of coordinates; a box of predictions has its confidence behind it
    if not numbers_of(values, len(values)) or len(values) < 4 or len(values) % 2:
        raise ValueError(
            "expected a class with x, y, width, height or with x, y of three corners or more, "
            f"found {len(words)} numbers"
        )
    # 1.0 and 1 are one key, so that a class written as 1.0 is found as well
    if number not in names:
        known = f"0 to {max(names)}" if len(names) == max(names) + 1 else listed(sorted(names))
        raise ValueError(f"expected a class of {known}, found {words[0]}")
    over = [value for value in values if not -_OVER <= value <= 1 + _OVER]
    if over:
        raise ValueError(
            f"expected shares of the image's width and height, 0 to 1, found {over[0]:g}"
        )
    name = names[int(number)]
    return AnnotatedObject(f"{place} ({name})", _box(values, size), name)


def _box(values: Sequence[float], size: tuple[int, int]) -> Box:
    if len(values) == 4:
        x, y, width, height = values
        if width < 0 or height < 0:
            raise ValueError(f"expected width and height from 0 on, found {width:g} {height:g}")
        bounds = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    else:
        columns, rows = values[::2], values[1::2]
        bounds = (min(columns), min(rows), max(columns), max(rows))
    x_min, y_min, x_max, y_max = bounds
    return x_min * size[0], y_min * size[1], x_max * size[0], y_max * size[1]

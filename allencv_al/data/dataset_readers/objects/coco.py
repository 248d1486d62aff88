"""Images with boxes in the one JSON file of COCO."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal, TypeGuard

from overrides import overrides

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.paths import absent, existing_path, path_problem
from allencv_al.common.files.text_files import decode_text
from allencv_al.common.names import class_name, listed
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.image_files import check_names_below, scan_images
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Coordinates,
    ObjectInstances,
    image_frames,
    numbers_of,
    short,
)
from allencv_al.data.instance import Instance
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
    size: tuple[int, int] | None


@DatasetReader.register("coco")
class CocoReader(DatasetReader):
    """Read the images that a COCO file of instances lists, with their boxes.

        PATH/annotations/instances_train2017.json
        PATH/train2017/000000000009.jpg

    The path is the JSON file, or a folder with one such file in it or in its `annotations`. Images
    lie where `image_dir` says. Boxes and category names are read, polygons and masks are not. An
    image that the file lists without an annotation has no objects; in a file without
    `annotations` all images are unlabeled. A crowd (`iscrowd: 1`) comes into the instance's
    metadata (`ignored_boxes`, `ignored_labels`), since it is neither learned nor judged; `image_id`
    is there, too. Faults are errors that name the entry, all at once. A box over the border is cut
    there; one without area is left out. An image's id is its `file_name`.

    Args:
        augmentation: Transforms, applied to each image with its boxes in the order given. Default:
            none.
        image_dir: Folder of the images, seen from the JSON file's folder. Default: the first that
            has the first image, of the JSON file's folder, `images` in it, the folder above it,
            `images` there, and in each of these the name behind `instances_` (`train2017`).
        crowd: Treatment of annotations with `iscrowd`: "ignore" or "keep".
        coordinates: Pixels that boxes refer to where an image has an EXIF orientation: "upright",
            "stored" (the orientation ignored), or "auto" for those whose size the file names; if
            both have it, an error.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = "a COCO file of instances (.json), and the images that it lists"

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        image_dir: str | None = None,
        crowd: Literal["ignore", "keep"] = "ignore",
        coordinates: Coordinates = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, **kwargs)
        check_names_below(image_dir=image_dir)
        self.image_dir = image_dir
        self.crowd = crowd
        self.coordinates: Coordinates = coordinates

    @overrides
    def _read(self, path: Path) -> Iterator[Instance]:
        file = _annotation_file(path)
        content = _content(file)
        problems: list[str] = []
        images = _images(content, problems)
        objects = _objects(content, images, self.crowd == "ignore", problems)
        raise_problems(file, problems)
        files = self._files(file, [one.name for one in images])
        made = ObjectInstances(self.coordinates)
        found = []
        for one, image, frame in zip(images, files, image_frames(files), strict=True):
            metadata = {"image_id": one.id}
            if objects is None:
                found.append(Instance(one.name, image, metadata=metadata))
            else:
                annotation = Annotation(str(file), objects[one.id], one.size, metadata)
                found.append(made.make(one.name, image, annotation, frame))
        made.finish(file)
        yield from found

    def _files(self, file: Path, names: Sequence[str]) -> list[Path]:
        folder = self._folder(file, names)
        files = [existing_path(folder / name) for name in names]
        missing = [place for place, image in enumerate(files) if not image.is_file()]
        if missing:
            # Exports name images by paths of another machine; the last part may still be unique
            below = [name for name in scan_images(folder) if isinstance(name, str)]
            counts = Counter(map(_last_part, below))
            unique = {_last_part(name): name for name in below if counts[_last_part(name)] == 1}
            for place in missing:
                if (name := unique.get(_last_part(names[place]))) is not None:
                    files[place] = folder / name
        raise_problems(
            file,
            [f"no image {names[n]} in {folder}" for n in missing if not files[n].is_file()],
            "image_dir of the dataset reader names the folder of the images",
        )
        return files

    def _folder(self, file: Path, names: Sequence[str]) -> Path:
        if self.image_dir is not None:
            return file.parent / self.image_dir
        split = file.stem.removeprefix("instances_")
        near = [
            file.parent,
            file.parent / "images",
            *(file.parent.parent / n for n in ("", "images")),
        ]
        folders = [*near, *(folder / split for folder in near)]
        found = (
            folder for folder in folders if names and existing_path(folder / names[0]).is_file()
        )
        return next(found, file.parent)


def _annotation_file(path: Path) -> Path:
    if not path.exists():
        raise DataError(absent(path, "COCO file"))
    if path.is_file():
        return path
    files = sorted(
        file for folder in (path, path / "annotations") for file in folder.glob("*.json")
    )
    if len(files) != 1:
        shown = listed([file.relative_to(path).as_posix() for file in files])
        raise DataError(f"{path}: expected one COCO file, found {shown}; name one of them")
    return files[0]


def _content(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(decode_text(file.read_bytes(), str(file), "save it as UTF-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: expected JSON: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{file}: expected an object with images, found {short(content)}")
    wrong = [
        f"{key}: expected a list, found {short(content.get(key))}"
        for key in ("images", "categories", "annotations")
        if not isinstance(content.get(key, [] if key == "annotations" else None), list)
    ]
    raise_problems(file, wrong)
    return content


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
    images: Sequence[CocoImage],
    ignores_crowds: bool,
    problems: list[str],
) -> Mapping[int | str, list[AnnotatedObject]] | None:
    """Return the objects of each image by its id; None if the file has no annotations."""
    if "annotations" not in content:
        return None
    categories = _categories(content, problems)
    known = {image.id for image in images}
    found: dict[int | str, list[AnnotatedObject]] = defaultdict(list)
    for index, entry in enumerate(content["annotations"]):
        place = f"annotations[{index}]"
        try:
            if not isinstance(entry, Mapping):
                raise ValueError(f": expected an object, found {short(entry)}")
            for key, ids in (("image_id", known), ("category_id", categories)):
                if not _is_id(entry.get(key)) or entry[key] not in ids:
                    raise ValueError(f".{key}: expected a known id, found {short(entry.get(key))}")
            box = entry.get("bbox")
            if not numbers_of(box, 4) or min(box[2:]) < 0:
                raise ValueError(f".bbox: expected x, y, width, height, found {short(box)}")
        except ValueError as error:
            problems.append(f"{place}{error}")
            continue
        x, y, width, height = box
        found[entry["image_id"]].append(
            AnnotatedObject(
                place=f"{place}.bbox",
                box=(x, y, x + width, y + height),
                name=categories[entry["category_id"]],
                ignored=ignores_crowds and bool(entry.get("iscrowd")),
            )
        )
    return found


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


def _last_part(name: str) -> str:
    return class_name(PurePosixPath(name).name)

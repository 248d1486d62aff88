"""The base of readers of one file that lists images with their objects."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from overrides import overrides

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.json_values import parse_json
from allencv_al.common.files.path_ends import PathEnds
from allencv_al.common.files.paths import absent, existing_path
from allencv_al.common.files.text_files import decode_text
from allencv_al.common.names import class_name, listed
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.image_files import check_names_below, scan_images
from allencv_al.data.dataset_readers.objects.image_objects import (
    Annotation,
    Coordinates,
    ObjectInstances,
    Target,
    image_frames,
)
from allencv_al.data.instance import Instance
from allencv_al.data.transforms import ImageTransform


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image as a file of annotations names it.

    Args:
        name: The path or address of the image, as the file has it.
        annotation: Its objects; None if it has not been looked at yet.
    """

    name: str
    annotation: Annotation | None


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """The contents of a file of annotations.

    Args:
        images: Its images, in the order of the file.
        classes: The class names that it declares, in its order; empty if it declares none.
    """

    images: Sequence[AnnotatedImage]
    classes: Sequence[str] = ()


class AnnotationFileReader(DatasetReader):
    """Read the images that one file lists, with their objects.

    Args:
        augmentation: Transforms, applied to each image with its objects in the order given.
            Default: none.
        image_dir: Folder of the images, seen from the file's folder. Default: the first that has
            the first image, of the file's folder, `images` in it, the folder above it and `images`
            there. An image that is not under its name there is found by the end of its path, if
            only one has it.
        target: Labels of the images: "boxes", "masks" (a class index for each pixel, 0 where no
            object is) or "labels" (the classes of all objects and of the whole image).
        classes: For masks: the class names in the order of their indices, from 1. Default: those
            that the file declares, in its order.
        coordinates: Pixels that objects refer to where an image has an EXIF orientation: "upright",
            "stored" (the orientation ignored), or "auto" for those whose size the file names; if
            both have it, an error.
        kwargs: The parameters that all readers have.
    """

    suffix: ClassVar[str] = ".json"
    program: ClassVar[str] = "COCO"

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        image_dir: str | None = None,
        target: Target = "boxes",
        classes: list[str] | None = None,
        coordinates: Coordinates = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, **kwargs)
        check_names_below(image_dir=image_dir)
        self.image_dir = image_dir
        self.target: Target = target
        self.classes = None if classes is None else [class_name(name) for name in classes]
        self.coordinates: Coordinates = coordinates

    @abstractmethod
    def _parsed(self, file: Path, problems: list[str]) -> AnnotationFile:
        """Return what a file says, and add what is wrong with it to `problems`."""

    @overrides
    def _read(self, path: Path) -> Iterator[Instance]:
        file = self._file(path)
        problems: list[str] = []
        found = self._parsed(file, problems)
        raise_problems(file, problems)
        files = self._images(file, [one.name for one in found.images])
        made = self._objects(found)
        instances = []
        for one, image, frame in zip(found.images, files, image_frames(files), strict=True):
            if one.annotation is None:
                instances.append(Instance(self._id(one, image), image))
            else:
                id = self._id(one, image)
                instances.append(made.make(id, image, one.annotation, frame))
        made.finish(file)
        yield from instances

    def _id(self, one: AnnotatedImage, image: Path) -> str:
        """Return the id of an image."""
        return one.name

    def _objects(self, found: AnnotationFile) -> ObjectInstances:
        """Return what makes instances of this reader's images."""
        classes = found.classes if self.classes is None else self.classes
        return ObjectInstances(self.coordinates, target=self.target, classes=classes)

    def _file(self, path: Path) -> Path:
        if not path.exists():
            raise DataError(absent(path, f"{self.program} file"))
        if path.is_file():
            return path
        files = sorted(
            file
            for folder in (path, path / "annotations")
            for file in folder.glob(f"*{self.suffix}")
        )
        if len(files) != 1:
            shown = listed([file.relative_to(path).as_posix() for file in files])
            raise DataError(
                f"{path}: expected one {self.program} file, found {shown}; name one of them"
            )
        return files[0]

    def _images(self, file: Path, names: Sequence[str]) -> list[Path]:
        folder = self._folder(file, names)
        files = [existing_path(folder / name) for name in names]
        missing = [place for place, image in enumerate(files) if not image.is_file()]
        if missing:
            # Exports name images by paths of another machine, or by addresses
            ends = PathEnds(name for name in scan_images(folder) if isinstance(name, str))
            for place in missing:
                nearest = ends.nearest(names[place])
                if len(nearest) == 1:
                    files[place] = folder / nearest.pop()
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
        above = file.parent.parent
        near = [file.parent, file.parent / "images", above, above / "images"]
        folders = [*near, *(folder / split for folder in near)]
        found = (
            folder for folder in folders if names and existing_path(folder / names[0]).is_file()
        )
        # The names of other programs' exports lead nowhere: then the images lie beside the file
        beside = file.parent / "images"
        return next(found, beside if beside.is_dir() else file.parent)


def classes_of_masks(target: Target, classes: list[str] | None) -> Iterator[tuple[str, str]]:
    """Demand classes for masks: a rule for readers of files that declare none."""
    if target == "masks" and classes is None:
        # In the order of their first use, an index would depend on the images of a file
        yield "classes", "expected the class names in the order of their indices, from 1"


def json_content(file: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        DataError: It is no JSON.
    """
    try:
        return parse_json(decode_text(file.read_bytes(), str(file), "save it as UTF-8"))
    except ValueError as error:
        raise DataError(f"{file}: expected JSON: {error}") from None

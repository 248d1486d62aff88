"""The base of readers of images that have a file of objects each."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from overrides import overrides

from allencv_al.common.errors import DataError
from allencv_al.common.files.paths import existing_path, split_path
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.image_files import Skipped, check_names_below, scan_images
from allencv_al.data.dataset_readers.objects.image_objects import (
    Annotation,
    ObjectInstances,
    image_frames,
)
from allencv_al.data.image_io import ImageFrame
from allencv_al.data.instance import Instance
from allencv_al.data.transforms import ImageTransform

logger = logging.getLogger(__name__)

Unannotated = Literal["empty", "unlabeled", "error"]

Parser = Callable[[Path, ImageFrame | None, list[str]], Annotation | None]
"""Takes a file of objects, size and turn of its image (None if that cannot be read), and a list
for problems; None if the file cannot be read."""


@dataclass(frozen=True, slots=True)
class ListedImage:
    """An image with the file of its objects.

    Args:
        id: Its path below the path that is read.
        image: The image's file.
        annotation: The file of its objects; None if there is none.
    """

    id: str
    image: Path
    annotation: Path | None


class AnnotatedImageReader(DatasetReader):
    """Read images with a file of objects for each, in two folders or side by side.

    Args:
        augmentation: Transforms, applied to each image with its objects in the order given.
            Default: none.
        image_dir: Name of the folder in PATH with the images, at any depth. If there is no such
            folder, PATH itself.
        annotation_dir: Name of the folder in PATH with the files of objects, under the images'
            names.
        annotation_ext: Extension of the files of objects.
        unannotated: Treatment of images without such a file: "empty" takes them as images without
            objects, "unlabeled" as images without a label, which share no batch with others;
            "error" ends the run.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = "a folder of images and a folder of annotations under the same names"

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        image_dir: str = "images",
        annotation_dir: str = "annotations",
        annotation_ext: str = ".json",
        unannotated: Unannotated = "empty",
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, **kwargs)
        check_names_below(
            image_dir=image_dir, annotation_dir=annotation_dir, annotation_ext=annotation_ext
        )
        self.image_dir = image_dir
        self.annotation_dir = annotation_dir
        self.annotation_ext = f".{annotation_ext.removeprefix('.')}"
        self.unannotated: Unannotated = unannotated

    @abstractmethod
    def parser(self, path: Path) -> Parser:
        """Return the function that reads the objects of one image at a path."""

    def _objects(self) -> ObjectInstances:
        """Return what makes instances of this reader's images."""
        return ObjectInstances()

    def _listed(self, path: Path) -> Iterator[ListedImage | Skipped]:
        """Yield the images at a path with the files of their objects."""
        path, split = split_path(path)
        if not path.is_dir():
            instead = "nothing"
            if path.is_file():
                is_archive = {".tar", ".tgz", ".zip"} & {*path.suffixes}
                instead = "an archive; unpack it" if is_archive else "a file"
            raise DataError(f"{path}: expected {self.layout}, found {instead}")
        prefix = f"{self.image_dir}/" if (path / self.image_dir).is_dir() else ""
        used: set[Path] = set()
        for name in self._names(path, prefix, split):
            if isinstance(name, Skipped):
                if not self._is_annotation(name.name):
                    yield name
                continue
            found = self._annotation_file(path / self.annotation_dir / name, path / prefix / name)
            yield ListedImage(prefix + name, path / prefix / name, found)
            if found is not None:
                used.add(found)
        if split is None and prefix and (path / self.annotation_dir).is_dir():
            yield from self._without_an_image(path / self.annotation_dir, used)

    def _names(self, path: Path, prefix: str, split: str | None) -> Iterable[str | Skipped]:
        """Return the images' paths below `path / prefix`; a split is a name after `::`."""
        if split is not None:
            raise DataError(
                f"{path}::{split}: {type(self).__name__} reads no splits; name a folder"
            )
        return scan_images(path / prefix)

    def _annotation_file(self, *images: Path) -> Path | None:
        extensions = (self.annotation_ext, self.annotation_ext.upper())  # of a Windows program
        files = (
            existing_path(image.with_suffix(extension))
            for image in images
            for extension in extensions
        )
        return next((file for file in files if file.is_file()), None)

    def _is_annotation(self, name: str) -> bool:
        return name.lower().endswith(self.annotation_ext.lower())

    def _without_an_image(self, folder: Path, used: set[Path]) -> Iterator[Skipped]:
        others = (item.name for item in scan_images(folder) if isinstance(item, Skipped))
        for name in others:
            if self._is_annotation(name) and folder / name not in used:
                yield Skipped("annotation without an image", name)

    @overrides
    def _read(self, path: Path) -> Iterable[Instance | Skipped]:
        parse = self.parser(path)
        listed = list(self._listed(path))
        images = [one for one in listed if isinstance(one, ListedImage)]
        annotated = [one for one in images if one.annotation is not None]
        frames = dict(
            zip(
                (one.id for one in annotated),
                image_frames([one.image for one in annotated]),
                strict=True,
            )
        )
        objects = self._objects()
        items: list[Instance | Skipped] = []
        for one in listed:
            if isinstance(one, Skipped):
                items.append(one)
            elif one.annotation is not None:
                frame = frames[one.id]
                annotation = parse(one.annotation, frame, objects.problems)
                if annotation is not None:
                    items.append(objects.make(one.id, one.image, annotation, frame))
            elif self.unannotated == "unlabeled":
                items.append(Instance(one.id, one.image))
            else:
                items.append(objects.make(one.id, one.image, Annotation(one.id), None))
        missing = [one.id for one in images if one.annotation is None]
        if missing and self.unannotated == "error":
            objects.problems.extend(f"{id}: no {self.annotation_ext} file" for id in missing)
        objects.finish(path)
        if missing:
            logger.warning(
                "%s: %d images have no %s file, the first of them %s",
                *(path, len(missing), self.annotation_ext, missing[0]),
            )
        return items

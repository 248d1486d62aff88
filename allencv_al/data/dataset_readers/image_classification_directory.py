"""Class folders of images: the layout that most image sets come in."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from overrides import overrides

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.image_files import (
    SYSTEM_FOLDERS,
    Skipped,
    is_unlabeled_folder,
    scan_images,
)
from allencv_al.data.instance import Instance
from allencv_al.data.transforms import ImageTransform

logger = logging.getLogger(__name__)

SPLIT_NAMES = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))


@DatasetReader.register("image_classification_directory")
class ImageClassificationDirectory(DatasetReader):
    """Read a folder with one sub-folder of images for each class.

    The sub-folder's name is the class; the images may lie at any depth below it:

        PATH/cat/0001.jpg
        PATH/cat/indoors/0002.JPEG
        PATH/dog/0001.png

    An image's id is its path below PATH (`cat/0001.jpg`). Images are known by their extension, in
    upper or lower case: jpg, jpeg, png, bmp, gif, webp, tif, tiff and the rarer ones that can be
    decoded. Other files, names that begin with a dot and images directly in PATH, beside the class
    folders, are passed over and counted, and so are folders that systems leave (`__MACOSX`,
    `@eaDir`, `$RECYCLE.BIN`, `#recycle`, `System Volume Information`,
    `__pycache__`). A folder `_unlabeled` (as FiftyOne writes it), `unlabeled` or `__unlabeled__` is
    no class: its images have no label. Symbolic links are followed. Folders whose names are one
    name without blanks around it and in Unicode's composed form are one class.

    Args:
        augmentation: Transforms, applied to each image in the order given. Default: none.
        unlabeled: Whether to read the images without a class, in any folder: "auto" if
            images lie directly in PATH and there is no folder with images; "always"; "never",
            which makes a folder without class folders an error.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = (
        "one folder of images for each class, at any depth below it (.jpg, .jpeg, .png, .bmp, "
        ".gif, .webp, .tif, .tiff ...)"
    )

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        unlabeled: Literal["auto", "always", "never"] = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, **kwargs)
        self.unlabeled = unlabeled

    @overrides
    def _read(self, path: Path) -> Iterable[Instance | Skipped]:
        if not path.is_dir():
            found = 'a file; "type": "manifest" reads tables' if path.exists() else "nothing"
            raise DataError(f"{path}: expected a folder with one folder per class, found {found}")
        return self._instances(path)

    def _instances(self, path: Path) -> Iterator[Instance | Skipped]:
        # All first: whether there are classes at all shows at the end only
        found = list(scan_images(path))
        images = [name for name in found if isinstance(name, str)]
        unlabeled = self._is_unlabeled(images)
        if not unlabeled:
            _warn_of_odd_classes(path, images)
        for item in found:
            if isinstance(item, Skipped):
                yield item
            elif unlabeled:
                yield Instance(id=item, image=path / item)
            elif "/" not in item:
                yield Skipped("beside the class folders", item)
            elif not is_unlabeled_folder(folder := item.partition("/")[0]):
                yield Instance(id=item, image=path / item, label=folder)
            elif self.unlabeled == "never":
                yield Skipped("unlabeled", item)
            else:
                yield Instance(id=item, image=path / item)

    def _is_unlabeled(self, images: list[str]) -> bool:
        if self.unlabeled == "auto":
            return not any("/" in image for image in images)
        return self.unlabeled == "always"


def _warn_of_odd_classes(path: Path, images: list[str]) -> None:
    classes = {image.partition("/")[0] for image in images if "/" in image}
    unlabeled = sorted(filter(is_unlabeled_folder, classes))
    if unlabeled:
        count = sum(image.partition("/")[0] in unlabeled for image in images if "/" in image)
        logger.info(
            "%s: the %d images in %s have no label: no class is called so",
            *(path, count, ", ".join(unlabeled)),
        )
        classes.difference_update(unlabeled)
    # PATH/train/cat given as PATH would learn to tell train from test
    if len(classes) > 1 and {name.lower() for name in classes} <= SPLIT_NAMES:
        logger.warning(
            "%s: its class folders are named %s; did you mean one of these folders?",
            path,
            ", ".join(sorted(classes)),
        )
    folders = {entry.name for entry in path.iterdir() if entry.is_dir()}
    others = {name for name in folders - classes if not name.startswith(".")}
    empty = sorted(others - SYSTEM_FOLDERS - set(unlabeled))
    if classes and empty:
        logger.warning("%s: no images in %s, so no such class", path, ", ".join(empty))

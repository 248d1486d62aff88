"""Pairs of images and masks, for models that label every pixel."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, cast

import numpy as np
from annotated_types import Interval
from overrides import overrides

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.names import listed
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.image_files import Skipped, check_names_below, scan_images
from allencv_al.data.image_io import source_name
from allencv_al.data.instance import Instance, Sample
from allencv_al.data.transforms import ImageTransform

# Where the mask has not the image's own extension; JPEG is not here, as it blurs class indices.
LOSSLESS_EXTENSIONS = (".png", ".tif", ".tiff", ".bmp", ".gif", ".webp")


@DatasetReader.register("paired_image")
class PairedImageReader(DatasetReader):
    """Read images and their masks from two folders, paired by name.

        PATH/images/street/0001.jpg
        PATH/masks/street/0001.png

    A mask holds one class index per pixel: a palette image's indices, whatever colors they have, or
    gray values. An image without a mask is an error; a mask without an image is passed over and
    counted. A mask whose size is not its image's, or that holds a class beyond the last one, is an
    error when the pair is decoded. An image's id is its path below PATH (`images/street/0001.jpg`).

    Args:
        augmentation: Transforms, applied to each image and its mask in the order given. Default:
            none.
        image_dir: Name of the folder in PATH with the images, at any depth.
        mask_dir: Name of the folder in PATH with the masks, under the same names.
        mask_ext: Extension of the masks (".png"). Default: that of the image, else .png or another
            lossless one.
        num_classes: Number of classes, background included; then an index of a mask that is neither
            below it nor `ignore_index` is an error. Default: no check.
        ignore_index: Index of pixels without a class, such as the outlines in Pascal VOC; masks
            keep it, and a model leaves these pixels out. None if there are no such pixels.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = "a folder of images and a folder of masks under the same names"

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        image_dir: str = "images",
        mask_dir: str = "masks",
        mask_ext: str | None = None,
        num_classes: Annotated[int, Interval(ge=1, le=256)] | None = None,
        ignore_index: Annotated[int, Interval(ge=0, le=255)] | None = 255,
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, **kwargs)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        check_names_below(image_dir=image_dir, mask_dir=mask_dir, mask_ext=mask_ext)
        self.image_dir = image_dir
        self.mask_dir = mask_dir
        self.mask_ext = None if mask_ext is None else f".{mask_ext.removeprefix('.')}"

    @overrides
    def _read(self, path: Path) -> Iterable[Instance | Skipped]:
        for folder in (path / self.image_dir, path / self.mask_dir):
            if not folder.is_dir():
                raise DataError(
                    f"{path}: expected the folders {self.image_dir} and {self.mask_dir}, found no "
                    f"{folder} (image_dir and mask_dir of the dataset reader name them)"
                )
        found = (name for name in scan_images(path / self.mask_dir) if isinstance(name, str))
        masks = {name: name for name in found}
        written = {_key(name): name for name in masks} | masks  # the exact name before another
        items: list[Instance | Skipped] = []
        problems = []
        used = set()
        for name in scan_images(path / self.image_dir):
            if isinstance(name, Skipped):
                items.append(name)
                continue
            id = f"{self.image_dir}/{name}"
            candidates = self._mask_names(name)
            keys = (*candidates, *map(_key, candidates))
            mask = next((written[key] for key in keys if key in written), None)
            if mask is None:
                problems.append(f"{id}: no mask {self.mask_dir}/{' or '.join(candidates[:2])}")
                continue
            used.add(mask)
            items.append(Instance(id, path / id, mask=path / self.mask_dir / mask))
        raise_problems(path, problems)
        items.extend(Skipped("mask without an image", name) for name in sorted(masks.keys() - used))
        return items

    @overrides
    def decode(self, instance: Instance) -> Sample:
        sample = super().decode(instance)
        # Here, because on a GPU a class beyond the last one ends the process without a name
        if self.num_classes is not None and sample.mask is not None:
            found = np.flatnonzero(np.bincount(sample.mask.ravel(), minlength=256))
            wrong = found[(found >= self.num_classes) & (found != self.ignore_index)]
            if len(wrong):
                most = self.num_classes - 1
                expected = f"0 to {most}" if most else "0"
                if self.ignore_index is not None and self.ignore_index > most:
                    expected += f", or {self.ignore_index} for pixels without a class"
                place = source_name(cast("Path", instance.mask))
                raise DataError(
                    f"{place}: expected class indices {expected} "
                    f"(num_classes of the dataset reader is {self.num_classes}), found "
                    f"{listed(wrong.tolist())}"
                )
        return sample

    def _mask_names(self, image_name: str) -> list[str]:
        extension = PurePosixPath(image_name).suffix
        stem = image_name.removesuffix(extension)
        if self.mask_ext is not None:
            return [stem + self.mask_ext]
        return [stem + ext for ext in dict.fromkeys((extension, *LOSSLESS_EXTENSIONS))]


def _key(name: str) -> str:
    """Return the key of an image and its mask: composed Unicode, extension in lower case."""
    path = PurePosixPath(unicodedata.normalize("NFC", name))
    return str(path.with_suffix(path.suffix.lower()))

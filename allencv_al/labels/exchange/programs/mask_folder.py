"""Label entries as a folder of PNG masks, as the dataset reader `paired_image` reads it.

`masks` has a file under the name of each image, with the index of a class for each pixel, and
`classes.json` the names of the indices.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from allencv_al.common.errors import DataError, ImageDecodeError
from allencv_al.common.names import class_name
from allencv_al.data.dataset_readers.image_files import scan_images
from allencv_al.data.dataset_readers.objects.annotation_file import json_content
from allencv_al.data.dataset_readers.objects.image_objects import (
    VOID,
    AnnotatedObject,
    Annotation,
)
from allencv_al.data.drawn_masks import DrawnMask, layers_of
from allencv_al.data.image_io import ImageFrame, load_mask
from allencv_al.labels.exchange.annotation_writers import Files, class_names, labeled_images
from allencv_al.labels.exchange.label_entry import LabelEntry

MASKS, IMAGES = "masks", "images"
CLASSES_NAME = "classes.json"

_MOST_CLASSES = 254  # a mask has 8 bits; 0 is no class and 255 no label


def mask_files(entries: Sequence[LabelEntry]) -> Files:
    """Yield the masks and the names of the classes.

    Raises:
        DataError: There are more classes than indices.
    """
    images = list(labeled_images(entries))
    names = class_names(images)
    # Masks of a run have no names: their names are the indices
    named = [name for name in names if not _is_index(name)]
    if len(named) > _MOST_CLASSES:
        raise DataError(
            f"masks: expected at most {_MOST_CLASSES} classes, as a PNG has 8 bits a pixel, "
            f"found {len(named)}"
        )
    indices = {name: index for index, name in enumerate(named, start=1)}
    for id, annotation in images:
        layers = tuple(
            (indices.get(name) or int(name), one.region)
            for one in annotation.objects
            if one.region is not None and (name := one.name or "")
        )
        pixels = DrawnMask(id, annotation.size or (1, 1), layers).pixels()
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        yield f"{MASKS}/{PurePosixPath(id).with_suffix('.png')}", stream.getvalue()
    content = {str(index): name for name, index in indices.items()}
    yield CLASSES_NAME, json.dumps(content, ensure_ascii=False, indent=1).encode()


def read_mask_folder(folder: Path) -> list[LabelEntry]:
    """Return an entry for each mask; masks are decoded when they are needed.

    Raises:
        DataError: There are no masks, or the names of the classes are no such JSON.
    """
    names = _names(folder / CLASSES_NAME)
    root = folder / MASKS
    files = [name for name in scan_images(root) if isinstance(name, str)] if root.is_dir() else []
    if not files:
        raise DataError(f"{folder}: expected masks in a folder {MASKS}, found none")
    return [
        LabelEntry(
            id=PurePosixPath(name).with_suffix("").as_posix(),
            place=f"{MASKS}/{name}",
            objects=partial(_annotation, root / name, names),
        )
        for name in files
    ]


def is_mask_folder(folder: Path) -> bool:
    """Return whether a folder has masks beside names of classes or images."""
    return (folder / MASKS).is_dir() and (
        (folder / CLASSES_NAME).is_file() or (folder / IMAGES).is_dir()
    )


def _annotation(
    file: Path, names: Mapping[int, str], frame: ImageFrame | None, problems: list[str]
) -> Annotation | None:
    try:
        mask = load_mask(file)
    except ImageDecodeError as error:
        problems.append(str(error))
        return None
    size = (mask.shape[1], mask.shape[0])
    objects = [
        AnnotatedObject(
            place=f"class {index}",
            box=region.bounds(size),
            name=names.get(index, str(index)),
            ignored=index == VOID and VOID not in names,
            region=region,
        )
        for index, region in layers_of(mask)
    ]
    return Annotation(str(file), objects, size)


def _names(file: Path) -> dict[int, str]:
    if not file.is_file():
        return {}
    content = json_content(file)
    items: list[tuple[str, Any]] = (
        list(content.items()) if isinstance(content, Mapping) else [("", None)]
    )
    if not all(_is_index(key) and isinstance(name, str) for key, name in items):
        raise DataError(f'{file}: expected class names by index, as {{"1": "cat"}}')
    return {int(key): class_name(name) for key, name in items}


def _is_index(name: str) -> bool:
    return name.isascii() and name.isdecimal() and 0 < int(name) <= VOID

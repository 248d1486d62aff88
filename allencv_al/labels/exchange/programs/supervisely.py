"""Label entries as projects of Supervisely.

Format: https://docs.supervisely.com/data-organization/00_ann_format_navi: `meta.json` with the
classes, and for each data set a folder `ann` with a JSON file for each image of the folder `img`
beside it. A folder of images is a data set; nested ones lie in `datasets` of the one above. The
last row and column of a rectangle belong to it.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from allencv_al.common.errors import DataError, ImageDecodeError
from allencv_al.data.dataset_readers.objects.annotation_file import json_content
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Box,
    Size,
    numbers_of,
    short,
)
from allencv_al.data.drawn_masks import Region
from allencv_al.data.image_io import ImageFrame, load_mask
from allencv_al.labels.exchange.annotation_entries import name_in
from allencv_al.labels.exchange.annotation_writers import Files, class_names, labeled_images
from allencv_al.labels.exchange.label_entry import LabelEntry

META_NAME = "meta.json"
ANNOTATIONS, IMAGES = "ann", "img"

_TOP = "dataset"  # of images that lie in no folder
_NESTED = "datasets"
_MOST_BYTES = 2**28  # of an unpacked bitmap, which a small file could make endless
_COLORS = ("#E6194B", "#3CB44B", "#4363D8", "#F58231", "#911EB4", "#46F0F0", "#F032E6", "#BCF60C")


def supervisely_files(entries: Sequence[LabelEntry]) -> Files:
    """Yield the files of a project: rectangles, bitmaps, or tags of whole images."""
    images = list(labeled_images(entries))
    tags = sorted({tag for _, annotation in images for tag in annotation.tags})
    names = [name for name in class_names(images) if name not in tags]
    classes = [
        {"title": name, "shape": "any", "color": _COLORS[number % len(_COLORS)]}
        for number, name in enumerate(names)
    ]
    kinds = [{"name": tag, "value_type": "none", "color": _COLORS[0]} for tag in tags]
    meta = {"classes": classes, "tags": kinds, "projectType": "images"}
    yield META_NAME, _json(meta)
    for id, annotation in images:
        width, height = annotation.size or (0, 0)
        content = {
            "description": "",
            "size": {"height": height, "width": width},
            "tags": [{"name": tag, "value": None} for tag in annotation.tags],
            "objects": [_figure(one, annotation.size) for one in annotation.objects],
        }
        yield f"{place_in_project(id, ANNOTATIONS)}.json", _json(content)


def place_in_project(id: str, folder: str) -> str:
    """Return the path of an image, or of its annotation, in a project.

    Args:
        id: The image.
        folder: `ann` or `img`.
    """
    path = PurePosixPath(id)
    data_set = f"/{_NESTED}/".join(path.parent.parts or (_TOP,))
    return f"{data_set}/{folder}/{path.name}"


def read_supervisely(folder: Path) -> list[LabelEntry]:
    """Return an entry for each annotation file of a project.

    Raises:
        DataError: There is no such file.
    """
    files = [file for file in sorted(folder.rglob("*.json")) if file.parent.name == ANNOTATIONS]
    if not files:
        raise DataError(f"{folder}: expected folders {ANNOTATIONS} with JSON files, found none")
    found = []
    for file in files:
        path = file.relative_to(folder)
        inside = [part for part in path.parts[:-2] if part != _NESTED]
        data_set = "" if inside in ([], [_TOP]) else f"{'/'.join(inside)}/"
        name = file.name.removesuffix(".json")
        image = (path.parent.parent / IMAGES / name).as_posix()
        objects = partial(_annotation_of, file)
        found.append(LabelEntry(f"{data_set}{name}", image, place=str(path), objects=objects))
    return found


def _figure(one: AnnotatedObject, size: Size | None) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = one.box or (0, 0, 0, 0)
    figure: dict[str, Any] = {"classTitle": one.name, "description": "", "tags": []}
    if one.region is None or size is None:
        points = {"exterior": [[x_min, y_min], [x_max - 1, y_max - 1]], "interior": []}
        return {**figure, "geometryType": "rectangle", "points": points}
    left, top, right, bottom = (int(side) for side in (x_min, y_min, x_max, y_max))
    stream = io.BytesIO()
    Image.fromarray(one.region.pixels(size)[top:bottom, left:right]).save(stream, "PNG")
    data = base64.b64encode(zlib.compress(stream.getvalue())).decode()
    return {**figure, "geometryType": "bitmap", "bitmap": {"data": data, "origin": [left, top]}}


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=1).encode()


def _annotation_of(file: Path, frame: ImageFrame | None, problems: list[str]) -> Annotation | None:
    try:
        content = json_content(file)
        if not isinstance(content, Mapping) or not isinstance(content.get("objects"), list):
            raise DataError(f"{file}: expected an object with objects, as Supervisely writes it")
        return _annotation(content, str(file), problems)
    except (DataError, ValueError) as error:
        problems.append(str(error))
        return None


def _annotation(content: Mapping[str, Any], where: str, problems: list[str]) -> Annotation:
    sides = content.get("size")
    found = [sides.get(key) for key in ("width", "height")] if isinstance(sides, Mapping) else []
    size = (int(found[0]), int(found[1])) if numbers_of(found, 2) and all(found) else None
    objects: list[AnnotatedObject] = []
    left_out: Counter[str] = Counter()
    for number, figure in enumerate(content["objects"]):
        place = f"objects[{number}]"
        try:
            if not isinstance(figure, Mapping):
                raise ValueError(f"expected an object, found {short(figure)}")
            kind = figure.get("geometryType", figure.get("shape"))
            if kind not in _SHAPES:
                left_out[str(kind)] += 1
                continue
            name = name_in(figure, "classTitle")
            box, region = _SHAPES[kind](figure, size)
        except ValueError as error:
            problems.append(f"{where}: {place}: {error}")
            continue
        objects.append(AnnotatedObject(f"{place} ({name})", box, name, region=region))
    tags = [name_in(tag, "name") for tag in _tags(content)]
    return Annotation(where, objects, size, {}, tags, left_out)


def _tags(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    tags = content.get("tags")
    for tag in tags if isinstance(tags, list) else ():
        # A tag with a value is a text or a number about the image, which is no class
        if isinstance(tag, Mapping) and tag.get("value") is None:
            yield tag


def _points(figure: Mapping[str, Any], key: str, least: int) -> list[list[float]]:
    points = figure.get("points")
    pairs = points.get(key) if isinstance(points, Mapping) else None
    if not isinstance(pairs, list) or len(pairs) < least:
        raise ValueError(f"points: expected {least} points or more, found {short(pairs)}")
    if not all(numbers_of(pair, 2) for pair in pairs):
        raise ValueError(f"points: expected pairs of numbers, found {short(pairs)}")
    return pairs


def _rectangle(figure: Mapping[str, Any], size: Size | None) -> tuple[Box, Region | None]:
    points = _points(figure, "exterior", 2)
    columns, rows = [x for x, _ in points], [y for _, y in points]
    return (min(columns), min(rows), max(columns) + 1, max(rows) + 1), None


def _polygon(figure: Mapping[str, Any], size: Size | None) -> tuple[Box, Region | None]:
    outline = tuple(number for pair in _points(figure, "exterior", 3) for number in pair)
    region = Region((outline,))
    holes = figure["points"].get("interior") or []
    if holes and size is not None:
        mask = region.pixels(size)
        for hole in holes:
            inner = {"points": {"exterior": hole}}
            mask &= ~Region(
                (tuple(number for pair in _points(inner, "exterior", 3) for number in pair),)
            ).pixels(size)
        region = Region.of_mask(mask)
    return region.bounds(size or (0, 0)) or (0, 0, 0, 0), region


def _bitmap(figure: Mapping[str, Any], size: Size | None) -> tuple[Box, Region | None]:
    bitmap = figure.get("bitmap")
    values = bitmap if isinstance(bitmap, Mapping) else {}
    origin = values.get("origin")
    if size is None or not numbers_of(origin, 2):
        raise ValueError("bitmap: expected an origin and the size of the image")
    try:
        unpacker = zlib.decompressobj()
        packed = base64.b64decode(str(values.get("data")), validate=True)
        crop = load_mask(unpacker.decompress(packed, _MOST_BYTES)) > 0
    except (binascii.Error, zlib.error, ImageDecodeError) as error:
        raise ValueError(f"bitmap: expected a packed PNG in base64: {error}") from None
    whole = np.zeros((size[1], size[0]), dtype=bool)
    x, y = round(origin[0]), round(origin[1])
    if x < 0 or y < 0 or y + crop.shape[0] > size[1] or x + crop.shape[1] > size[0]:
        raise ValueError("bitmap: expected one inside its image")
    whole[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    region = Region.of_mask(whole)
    return region.bounds(size) or (x, y, x, y), region


_SHAPES = {"rectangle": _rectangle, "polygon": _polygon, "bitmap": _bitmap}

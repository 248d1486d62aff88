"""An instance (an image with its labels, nothing decoded), and the sample that it is decoded to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import (
    PROBLEMS_SHOWN,
    DataError,
    ImageDecodeError,
    raise_problems,
)
from allencv_al.common.names import class_name
from allencv_al.common.progress import track
from allencv_al.data.drawn_masks import DrawnMask
from allencv_al.data.image_io import load_image, load_mask, load_reduced
from allencv_al.data.image_io import source_name as name_of

if TYPE_CHECKING:
    from allencv_al.data.image_io import ImageInput

LABEL_NAMESPACE = "labels"
UNNAMED = "image"
"""Id of an instance until its reader has numbered it."""

Image = NDArray[np.uint8] | NDArray[np.float32]
Point = tuple[float, float] | tuple[float, float, float]
Points = tuple[Point, ...]

# Pillow lets other threads run while it decodes, so threads are enough; the images stay in one
# process and are never copied.
MAX_THREADS = 16


@dataclass(frozen=True, slots=True)
class IgnoredBox:
    """A box that is neither learned nor judged: a detection there is neither right nor wrong.

    Args:
        box: `(x_min, y_min, x_max, y_max)` in pixels of the upright image.
        name: Class name, in its one spelling.
        is_crowd: Whether it is a region of many objects, COCO's `iscrowd`: what it ignores lies in
            it, and need not overlap all of it. Else it is one object, too difficult to judge.
    """

    box: tuple[float, float, float, float]
    name: str
    is_crowd: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", class_name(self.name))


@dataclass(frozen=True, slots=True)
class Instance:
    """One image of a data set, not decoded; cheap to make, keep and send to a worker.

    Args:
        id: Stable name of the item: its relative posix path, or `file name:record index`.
        image: The place of the pixels, or the pixels themselves (uint8 `[H, W, 3]` or `[H, W]`).
        label: Class name; None when the item is unlabeled. It is kept in its one spelling, without
            blanks around it and in Unicode's composed form (NFC); blanks alone are no label.
        mask: Class indices per pixel: a file, an integer array `[H, W]`, or regions that are drawn.
        boxes: Boxes as `(x_min, y_min, x_max, y_max)` in pixels of the upright image.
        box_labels: One class name per box, in its one spelling too.
        keypoints: Points as `(x, y)` in pixels of the upright image, or `(x, y, visibility)`; or
            one tuple of as many points for each object, in the order of the boxes if there are any.
        metadata: Anything else the reader knows, carried along untouched.
        labels: The names of all classes that the image shows, where it may show several; kept
            distinct and sorted. No name means: none of the classes.
        ignored: Boxes beside `boxes` that are neither learned nor judged.
    """

    id: str
    image: ImageInput
    label: str | None = None
    mask: Path | NDArray[np.integer[Any]] | DrawnMask | None = None
    boxes: tuple[tuple[float, float, float, float], ...] | None = None
    box_labels: tuple[str, ...] | None = None
    keypoints: Points | tuple[Points, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    labels: tuple[str, ...] | None = None
    ignored: tuple[IgnoredBox, ...] = ()

    def __post_init__(self) -> None:
        if self.label is not None and not isinstance(self.label, str):
            raise TypeError(
                f"label: expected a class name (a string) or None, found {self.label!r}"
            )
        if self.image is None or isinstance(self.image, (int, float, list, tuple, Mapping)):
            raise TypeError(
                "image: expected a path, the bytes of a file, a PIL image or an array, found "
                f"{type(self.image).__name__}"
            )
        # Here, because every reader, table and page comes through here: two spellings of one name
        # must nowhere become two classes.
        if isinstance(self.label, str):
            object.__setattr__(self, "label", class_name(self.label) or None)
        if self.box_labels is not None:
            object.__setattr__(self, "box_labels", tuple(map(class_name, self.box_labels)))
        if self.labels is not None:
            object.__setattr__(self, "labels", _distinct_names(self.labels))

    @property
    def is_labeled(self) -> bool:
        """Whether there is something to learn from: classes, a mask or a list of boxes."""
        parts = (self.label, self.labels, self.mask, self.boxes)
        return any(part is not None for part in parts)

    def unlabeled(self) -> Instance:
        """Return the instance without a label of any kind."""
        if not self.is_labeled and self.box_labels is None and self.keypoints is None:
            return self
        return replace(
            self,
            label=None,
            labels=None,
            mask=None,
            boxes=None,
            box_labels=None,
            keypoints=None,
            ignored=(),
        )

    def count_vocab_items(self, counter: dict[str, dict[str, int]]) -> None:
        """Add this item's class names to `counter["labels"]`.

        Args:
            counter: Counts by namespace, then by class name; namespaces are made when needed.
        """
        names = [] if self.label is None else [self.label]
        names.extend(self.labels or ())
        names.extend(self.box_labels or ())
        for name in names:
            namespace = counter.setdefault(LABEL_NAMESPACE, {})
            namespace[name] = namespace.get(name, 0) + 1


def _distinct_names(names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"labels: expected several class names (strings), found {names!r}")
    return tuple(sorted({found for name in names if (found := class_name(name))}))


def path_id(path: str | Path) -> str:
    """Return the id of an image that is known by its path only."""
    return Path(path).as_posix()


def with_stable_id(instance: Instance, location: Path, position: int) -> Instance:
    """Return the instance under an id that is the same on every machine.

    Args:
        instance: Its id may be missing (`UNNAMED`) or be the whole path of its image.
        location: The path that is read.
        position: The place of the instance in what was found.
    """
    id, image = instance.id, instance.image
    if id == UNNAMED:
        id = f"{location.name}:{position}"
    elif isinstance(image, str | Path) and id == path_id(image):
        root = location if location.is_dir() else location.parent
        if Path(image).is_relative_to(root):
            id = Path(image).relative_to(root).as_posix()
    id, label = encodable(id), instance.label and encodable(instance.label)
    if (id, label) == (instance.id, instance.label):
        return instance
    return replace(instance, id=id, label=label)


def check_ids_are_unique(path: str | Path, instances: Sequence[Instance]) -> None:
    """Raise a DataError that lists the ids which occur more than once."""
    if len({instance.id for instance in instances}) == len(instances):
        return
    seen: dict[str, int] = {}
    for instance in instances:
        seen[instance.id] = seen.get(instance.id, 0) + 1
    raise_problems(
        path, [f'the id "{id}" occurs {count} times' for id, count in seen.items() if count > 1]
    )


def encodable(text: str) -> str:
    """Write out the bytes of a file name that are not UTF-8; no result file could hold them."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@dataclass(slots=True)
class Sample:
    """An image and every label that has a place in it, moved together by the transforms.

    A transform may replace the fields of the sample it is given, but never writes into their
    arrays: the reader may hold them for the next epoch.

    Args:
        image: uint8 (or, after `normalize`, float32) array `[H, W, 3]`, RGB.
        mask: Class index per pixel, uint8 `[H, W]`.
        boxes: float32 `[n, 4]`, each `x_min, y_min, x_max, y_max` in pixels; those that are ignored
            come last.
        box_labels: One class name per box.
        keypoints: float32 `[n, 2]`, each `x, y` in pixels, or `[n, 3]` with the visibility (0
            absent, 1 hidden, 2 visible); `[n, K, 2]` or `[n, K, 3]` where each of n objects has K
            of them. A point that leaves the image becomes 0, 0, 0 if it has a visibility, as COCO
            writes absent ones, else it is kept.
        ignored: For each box whether it is one to learn (0), too difficult (1) or a crowd (2),
            uint8 `[n]`; None where all are to learn. Their keypoints are 0.
    """

    image: Image
    mask: NDArray[np.uint8] | None = None
    boxes: NDArray[np.float32] | None = None
    box_labels: list[str] | None = None
    keypoints: NDArray[np.float32] | None = None
    ignored: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Options for decoding the images of a data set.

    Args:
        max_pixels: Refuse a larger image or mask.
        raw_colors: Whether the values in a file are taken as they are.
        side: Pixels that each side keeps where a JPEG is decoded at a part of its size; 0 where
            all images are decoded whole.
        reduce_above: A JPEG of no more pixels is decoded whole.
    """

    max_pixels: int
    raw_colors: bool = False
    side: int = 0
    reduce_above: int = 0


def decode_instance(instance: Instance, reading: Reading) -> Sample:
    """Decode an instance, without transforms.

    Args:
        instance: The instance to decode.
        reading: How.

    Raises:
        ImageDecodeError: The image or its mask cannot be read.
        DataError: Its mask or boxes do not fit it.
        OSError: The machine cannot read any file.
    """
    image = _image(instance, reading)
    sample = Sample(
        image=image,
        mask=None if instance.mask is None else _fitting_mask(instance, image, reading.max_pixels),
        boxes=None if instance.boxes is None else _clipped_boxes(instance, image),
        box_labels=None if instance.box_labels is None else list(instance.box_labels),
        keypoints=_point_rows(instance.keypoints),
    )
    return _with_ignored(sample, instance) if instance.ignored else sample


def _with_ignored(sample: Sample, instance: Instance) -> Sample:
    """Return the sample with its ignored boxes behind the others, to be moved with them."""
    if sample.boxes is None:
        return sample
    others = replace(instance, boxes=tuple(one.box for one in instance.ignored))
    boxes = _clipped_boxes(others, sample.image)
    count, points = len(sample.boxes), sample.keypoints
    if points is not None and points.ndim == 3:
        points = np.concatenate([points, np.zeros((len(boxes), *points.shape[1:]), np.float32)])
    return replace(
        sample,
        boxes=np.concatenate([sample.boxes, boxes]),
        box_labels=None
        if sample.box_labels is None
        else [*sample.box_labels, *(one.name for one in instance.ignored)],
        keypoints=points,
        ignored=np.array([*[0] * count, *(1 + one.is_crowd for one in instance.ignored)], np.uint8),
    )


def _image(instance: Instance, reading: Reading) -> NDArray[np.uint8]:
    limit, raw = reading.max_pixels, reading.raw_colors
    placed = (instance.mask, instance.boxes, instance.keypoints)
    if not reading.side or any(part is not None for part in placed):
        return load_image(instance.image, limit, raw)
    return load_reduced(instance.image, reading.side, limit, raw, reading.reduce_above)


def _fitting_mask(
    instance: Instance, image: NDArray[np.uint8], max_pixels: int
) -> NDArray[np.uint8]:
    source = cast("Path | NDArray[np.uint8] | DrawnMask", instance.mask)
    mask = load_mask(source, max_pixels)
    if mask.shape != image.shape[:2]:
        (height, width), (image_height, image_width) = mask.shape, image.shape[:2]
        raise DataError(
            f"{name_of(instance.image)}: its mask {name_of(source)} is "
            f"{width}x{height} pixels, expected {image_width}x{image_height} as the image "
            "(upright, if it holds an EXIF orientation)"
        )
    return mask


def _clipped_boxes(instance: Instance, image: Image) -> NDArray[np.float32]:
    """Return the boxes clipped to the image; a box outside the image is an error."""
    height, width = image.shape[:2]
    boxes = np.asarray(instance.boxes, dtype=np.float32).reshape(-1, 4)
    clipped = np.clip(boxes, 0, np.array([width, height, width, height], dtype=np.float32))
    outside = (clipped[:, 2] <= clipped[:, 0]) | (clipped[:, 3] <= clipped[:, 1])
    raise_problems(
        name_of(instance.image),
        [
            f"boxes[{i}] = {boxes[i].tolist()}: expected x_min, y_min, x_max, y_max with an area "
            f"inside the {width}x{height} pixels of the image"
            for i in np.flatnonzero(outside)
        ],
    )
    return clipped


def _point_rows(points: Points | tuple[Points, ...] | None) -> NDArray[np.float32] | None:
    if points is None:
        return None
    if not points:
        return np.zeros((0, 2), dtype=np.float32)
    return np.asarray(points, dtype=np.float32)


def decode_all(
    instances: Sequence[Instance],
    decode: Callable[[Instance], Sample],
    skips: bool,
    max_unreadable: float,
) -> tuple[list[Instance], dict[str, ImageDecodeError]]:
    """Return the instances with their pixels as uint8 arrays, and the unreadable ones by id.

    Args:
        instances: The instances to decode, in parallel.
        decode: Decodes one instance, without transforms.
        skips: Leave unreadable images out; else the first one is an error.
        max_unreadable: The largest fraction that may be unreadable.

    Raises:
        ImageDecodeError: One is unreadable, and `skips` is false.
        DataError: More are unreadable than `max_unreadable` allows.
    """
    readable: list[Instance] = []
    unreadable: dict[str, ImageDecodeError] = {}

    def decoded(instance: Instance) -> Instance | ImageDecodeError:
        try:
            sample = decode(instance)
        except ImageDecodeError as error:
            return error
        image = cast("NDArray[np.uint8]", sample.image)  # float comes with the transforms only
        return replace(instance, image=image, mask=sample.mask)

    with _pool() as pool:
        outcomes = track(pool.map(decoded, instances), len(instances), "Decoding", "images")
        for instance, outcome in zip(instances, outcomes, strict=True):
            if isinstance(outcome, Instance):
                readable.append(outcome)
            elif not skips:
                raise outcome
            else:
                unreadable[instance.id] = outcome
    if len(unreadable) > max_unreadable * len(instances):
        raise DataError(_too_many(unreadable, len(instances), max_unreadable))
    return readable, unreadable


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # an error must not wait for the rest


def _too_many(unreadable: dict[str, ImageDecodeError], total: int, limit: float) -> str:
    shown = [f"  {error}" for error in list(unreadable.values())[:PROBLEMS_SHOWN]]
    if len(unreadable) > PROBLEMS_SHOWN:
        shown.append(f"  ... and {len(unreadable) - PROBLEMS_SHOWN} more")
    head = (
        f"{len(unreadable)} of {total} images are unreadable, more than max_unreadable = "
        f"{limit:g} allows; remove them, or set max_unreadable of the dataset reader higher:"
    )
    return "\n".join([head, *shown])

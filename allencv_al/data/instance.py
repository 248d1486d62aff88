"""Images of a dataset: listed (`Instance`), and decoded (`Sample`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import raise_problems
from allencv_al.common.names import class_name

if TYPE_CHECKING:
    from allencv_al.data.image_io import ImageInput

LABEL_NAMESPACE = "labels"
UNNAMED = "image"
"""Id of an instance until its reader has numbered it."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One image of a data set, not decoded; cheap to make, keep and send to a worker.

    Args:
        id: Stable name of the item: its relative posix path, or `file name:record index`.
        image: The place of the pixels, or the pixels themselves (uint8 `[H, W, 3]` or `[H, W]`).
        label: Class name; None when the item is unlabeled. It is kept in its one spelling, without
            blanks around it and in Unicode's composed form (NFC); blanks alone are no label.
        mask: Class indices per pixel: a file, or an integer array `[H, W]`.
        boxes: Boxes as `(x_min, y_min, x_max, y_max)` in pixels of the upright image.
        box_labels: One class name per box, in its one spelling too.
        keypoints: Points as `(x, y)` in pixels of the upright image, or `(x, y, visibility)`.
        metadata: Anything else the reader knows, carried along untouched.
    """

    id: str
    image: ImageInput
    label: str | None = None
    mask: Path | NDArray[np.integer[Any]] | None = None
    boxes: tuple[tuple[float, float, float, float], ...] | None = None
    box_labels: tuple[str, ...] | None = None
    keypoints: tuple[tuple[float, float] | tuple[float, float, float], ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

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

    def count_vocab_items(self, counter: dict[str, dict[str, int]]) -> None:
        """Add this item's class names to `counter["labels"]`.

        Args:
            counter: Counts by namespace, then by class name; namespaces are made when needed.
        """
        names = [] if self.label is None else [self.label]
        names.extend(self.box_labels or ())
        for name in names:
            namespace = counter.setdefault(LABEL_NAMESPACE, {})
            namespace[name] = namespace.get(name, 0) + 1


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


Image = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(slots=True)
class Sample:
    """An image and every label that has a place in it, moved together by the transforms.

    A transform may replace the fields of the sample it is given, but never writes into their
    arrays: the reader may hold them for the next epoch.

    Args:
        image: uint8 (or, after `normalize`, float32) array `[H, W, 3]`, RGB.
        mask: Class index per pixel, uint8 `[H, W]`.
        boxes: float32 `[n, 4]`, each `x_min, y_min, x_max, y_max` in pixels.
        box_labels: One class name per box.
        keypoints: float32 `[n, 2]`, each `x, y` in pixels, or `[n, 3]` with the visibility (0
            absent, 1 hidden, 2 visible); points outside the image are kept.
    """

    image: Image
    mask: NDArray[np.uint8] | None = None
    boxes: NDArray[np.float32] | None = None
    box_labels: list[str] | None = None
    keypoints: NDArray[np.float32] | None = None

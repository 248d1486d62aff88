"""One item of a dataset, before anything is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.class_names import class_name

if TYPE_CHECKING:
    from allencv_al.data.image_io import ImageInput

LABEL_NAMESPACE = "labels"


@dataclass(frozen=True, slots=True)
class Instance:
    """What a dataset reader says about one image; cheap to make, hold and send to a worker.

    Args:
        id: Stable name of the item: its relative posix path, or `file name:record index`.
        image: Where the pixels are, or the pixels themselves (uint8 `[H, W, 3]` or `[H, W]`).
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

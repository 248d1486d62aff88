"""One item of a dataset, before anything is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from allencv_al.data.image_io import ImageInput

LABEL_NAMESPACE = "labels"


@dataclass(frozen=True, slots=True)
class Instance:
    """What a dataset reader says about one image; cheap to make, hold and send to a worker.

    Args:
        id: Stable name of the item: its relative posix path, or `file name:record index`.
        image: Where the pixels are, or the pixels themselves (uint8 `[H, W, 3]` or `[H, W]`).
        label: Class name; None when the item is unlabeled.
        mask: Class indices per pixel: a file, or an integer array `[H, W]`.
        boxes: Boxes as `(x_min, y_min, x_max, y_max)` in pixels of the upright image.
        box_labels: One class name per box.
        keypoints: Points as `(x, y)` in pixels of the upright image.
        metadata: Anything else the reader knows, carried along untouched.
    """

    id: str
    image: ImageInput
    label: str | None = None
    mask: Path | NDArray[np.integer[Any]] | None = None
    boxes: tuple[tuple[float, float, float, float], ...] | None = None
    box_labels: tuple[str, ...] | None = None
    keypoints: tuple[tuple[float, float], ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

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

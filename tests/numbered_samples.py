"""Small images whose pixels, masks, boxes and points are numbered, for tests of transforms.

A box's coordinates run along the edges of pixels (0 to 6 is the whole width); a point's are columns
and rows of pixels (0 is the first, 5 the last).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allencv_al.data.instance import Sample
from allencv_al.data.transforms import ImageTransform

# 4 rows of 6 pixels, each one of a kind.
NUMBERS = np.arange(24, dtype=np.uint8).reshape(4, 6)


def sample(boxes: list[list[float]], points: list[list[float]]) -> Sample:
    return Sample(
        image=np.stack([NUMBERS * 10] * 3, axis=2),
        mask=NUMBERS.copy(),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        box_labels=[f"box {index}" for index in range(len(boxes))],
        keypoints=np.array(points, np.float32).reshape(-1, 2),
    )


def applied(given: Sample, name: str, **arguments: Any) -> Sample:
    transform = ImageTransform.from_params({"type": name, "p": 1, **arguments})
    return transform.apply(given, np.random.default_rng(0))


def check(
    result: Sample,
    numbers: np.ndarray,
    boxes: list[list[float]],
    points: list[list[float]],
    labels: list[str] | None = None,
) -> None:
    assert result.mask is not None
    assert result.boxes is not None
    assert result.keypoints is not None
    assert result.mask.tolist() == numbers.tolist()
    assert np.array_equal(result.image, np.stack([numbers * 10] * 3, axis=2))
    assert np.allclose(result.boxes, np.reshape(boxes, (-1, 4)), atol=1e-4)
    assert np.allclose(result.keypoints, np.reshape(points, (-1, 2)), atol=1e-4)
    assert result.box_labels == (labels or [f"box {index}" for index in range(len(boxes))])


def square() -> Sample:
    numbers = np.arange(16, dtype=np.uint8).reshape(4, 4)
    return Sample(
        image=np.stack([numbers * 10] * 3, axis=2),
        mask=numbers,
        boxes=np.array([[1, 0, 2, 3]], np.float32),
        box_labels=["box 0"],
        keypoints=np.array([[0, 0], [3, 1]], np.float32),
    )

"""`Frame`: the place of a transformed image in the image that was decoded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.instance import Instance, Sample

Matrix = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """The place of a transformed image in the upright image that was decoded.

    Args:
        size: Width and height of the image that was decoded, in pixels.
        matrix: `a, b, c, d, e, f`: the point (x, y) of that image becomes
            (ax + by + c, dx + ey + f) of the transformed one.
    """

    size: tuple[int, int]
    matrix: Matrix

    @classmethod
    def of_points(cls, size: tuple[int, int], moved: NDArray[np.float32]) -> Self:
        """Return the frame in which three points are where the transforms moved them.

        Args:
            size: As above.
            moved: The places of the keypoints (0, 0), (width, 0) and (0, height), `[3, 2]`.
        """
        width, height = size
        origin, right, below = np.asarray(moved, np.float64).tolist()
        a, d = ((right[axis] - origin[axis]) / width for axis in (0, 1))
        b, e = ((below[axis] - origin[axis]) / height for axis in (0, 1))
        # Keypoints count from the middle of the first pixel, places from its corner
        c, f = origin[0] + 0.5 - (a + b) / 2, origin[1] + 0.5 - (d + e) / 2
        return cls(size, (a, b, c, d, e, f))

    def back(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the points `[n, 2]` of the transformed image in the image that was decoded."""
        a, b, c, d, e, f = self.matrix
        turned = np.linalg.inv(np.array([[a, b], [d, e]]))
        found: NDArray[np.float64] = (np.asarray(points, np.float64) - (c, f)) @ turned.T
        return found


def load_framed(reader: DatasetReader, instance: Instance, seed: int) -> tuple[Sample, Frame]:
    """Decode and transform an image without its labels; return where it lies in the decoded one.

    Args:
        reader: The reader with the transforms; they scale, crop, turn or shear, and do not bend.
        instance: The image.
        seed: Decides all randomness of the transforms.
    """
    # A keypoint, so that a large JPEG is decoded whole: its pixels are what places are told in
    decoded = reader.decode(replace(instance.unlabeled(), keypoints=((0.0, 0.0),)))
    height, width = decoded.image.shape[:2]
    decoded.keypoints = np.array([[0, 0], [width, 0], [0, height]], np.float32)
    sample = reader.pipeline.apply(decoded, seed)
    assert sample.keypoints is not None
    return replace(sample, keypoints=None), Frame.of_points((width, height), sample.keypoints)

"""The axes of an image's `scores`; here, so that reading them imports no torch."""

from __future__ import annotations

from typing import Literal

UNIT_SCORES = ("least_confidence", "margin", "entropy")
"""First axis of an image's `scores`: uncertainties, higher is less certain."""

Aggregate = Literal["mean", "sum", "max", "top"]
AGGREGATES: tuple[Aggregate, ...] = ("mean", "sum", "max", "top")
"""Second axis of an image's `scores`: ways from its units (pixels, boxes, labels) to the image.

`top` is the mean of the most uncertain units.
"""

OBJECT_NUMBERS = ("class", "score", "entropy")
"""First columns of the objects of an image: class index, score of the detection, its entropy."""

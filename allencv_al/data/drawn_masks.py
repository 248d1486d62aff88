"""Masks that are drawn from regions of an image when they are decoded."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from allencv_al.data.run_lengths import BitMask, coco_counts, mask_of_counts

Polygon = tuple[float, ...]
"""`x, y` of each corner, in pixels from the top left corner of the image."""

_FINER = 5  # times: how much finer than pixels COCO follows an outline


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an image.

    Args:
        polygons: Its outlines; the region is the inside of any of them.
        counts: Its pixels in place of outlines, as the compressed `counts` of COCO.
    """

    polygons: tuple[Polygon, ...] = ()
    counts: str | None = None

    @classmethod
    def of_mask(cls, mask: BitMask) -> Region:
        """Return the region of the true pixels of a mask `[H, W]`."""
        return cls(counts=coco_counts(mask))

    def pixels(self, size: tuple[int, int]) -> BitMask:
        """Return the region's pixels as a mask `[H, W]`.

        Args:
            size: Width and height of the image.

        Raises:
            ValueError: Its counts are those of another size.
        """
        if self.counts is not None:
            return mask_of_counts(self.counts, size)
        width, height = size
        mask = np.zeros((height, width), dtype=bool)
        for polygon in self.polygons:
            mask |= filled(polygon, size)
        return mask

    def bounds(self, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
        """Return `x_min, y_min, x_max, y_max` around the region; None if it is empty.

        Args:
            size: Width and height of the image.
        """
        if self.counts is None:
            columns = [x for polygon in self.polygons for x in polygon[::2]]
            rows = [y for polygon in self.polygons for y in polygon[1::2]]
            return (min(columns), min(rows), max(columns), max(rows)) if columns else None
        ys, xs = np.nonzero(self.pixels(size))
        if not len(xs):
            return None
        return float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)


@dataclass(frozen=True, slots=True)
class DrawnMask:
    """A class for each pixel, drawn when it is needed: it takes no more memory than its regions.

    Args:
        name: The file that names the regions, for messages.
        size: Width and height of the pixels that the regions refer to.
        layers: Class index and region, from the bottom to the top; pixels without one are 0.
        orientation: EXIF orientation by which those pixels are turned upright, 1..8.
    """

    name: str
    size: tuple[int, int]
    layers: tuple[tuple[int, Region], ...] = ()
    orientation: int = 1

    def pixels(self) -> NDArray[np.uint8]:
        """Return the class indices of the upright image, uint8 `[H, W]`."""
        width, height = self.size
        found = np.zeros((height, width), dtype=np.uint8)
        for index, region in self.layers:
            found[region.pixels(self.size)] = index
        return np.ascontiguousarray(turned(found, self.orientation))


def turned(mask: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return stored pixels `[H, W]` upright, by their EXIF orientation (1..8)."""
    if orientation > 4:
        mask = mask.T
    if orientation in (2, 3, 6, 7):
        mask = mask[:, ::-1]
    if orientation in (3, 4, 7, 8):
        mask = mask[::-1]
    return mask


def layers_of(mask: NDArray[np.uint8]) -> tuple[tuple[int, Region], ...]:
    """Return a mask `[H, W]` as one region for each of its classes but 0, in order."""
    return tuple((int(index), Region.of_mask(mask == index)) for index in np.unique(mask) if index)


def palette_png(mask: NDArray[np.uint8], palette: Sequence[int]) -> bytes:
    """Return a mask `[H, W]` of class indices as a palette PNG.

    Args:
        mask: The class indices.
        palette: Red, green and blue of each index.
    """
    image = Image.fromarray(mask)
    image.putpalette(palette)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def filled(polygon: Sequence[float], size: tuple[int, int]) -> BitMask:
    """Return the pixels inside a polygon, exactly those that pycocotools fills.

    Other libraries fill other pixels of the same corners: Pillow and OpenCV those of the outline,
    too. Method: Lin et al., "Microsoft COCO: Common Objects in Context", the reference code's
    `rleFrPoly`: the outline is followed in steps of a fifth of a pixel, and each crossing of the
    middle of a column begins or ends a run of pixels.

    Args:
        polygon: `x, y` of each corner.
        size: Width and height of the image.
    """
    width, height = size
    inside = np.zeros(width * height, dtype=bool)
    columns, rows = _outline(polygon)
    is_crossing = np.flatnonzero(columns[1:] != columns[:-1])
    before, after = columns[is_crossing], columns[is_crossing + 1]
    xs = (np.where(after < before, after, after - 1) + 0.5) / _FINER - 0.5
    ys = (np.minimum(rows[is_crossing], rows[is_crossing + 1]) + 0.5) / _FINER - 0.5
    counted = (np.floor(xs) == xs) & (xs >= 0) & (xs <= width - 1)
    tops = np.ceil(np.clip(ys[counted], 0, height)).astype(np.int64)
    places, times = np.unique(xs[counted].astype(np.int64) * height + tops, return_counts=True)
    edges = [*places[times % 2 == 1].tolist(), width * height]
    for start, stop in zip(edges[::2], edges[1::2], strict=False):
        inside[start:stop] = True
    return inside.reshape(height, width, order="F")


def _outline(polygon: Sequence[float]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return columns and rows of the steps along an outline, in fifths of pixels."""
    # As C does: to the next integer in the direction of 0
    corners = np.trunc(_FINER * np.asarray(polygon, dtype=np.float64) + 0.5).astype(np.int64)
    points = corners.reshape(-1, 2)
    columns: list[NDArray[np.int64]] = []
    rows: list[NDArray[np.int64]] = []
    for (x, y), (next_x, next_y) in zip(points, np.roll(points, -1, axis=0), strict=True):
        wide, high = abs(next_x - x), abs(next_y - y)
        if not wide and not high:
            continue
        along, across, steps = (x, y, wide) if wide >= high else (y, x, high)
        end_along, end_across = (next_x, next_y) if wide >= high else (next_y, next_x)
        # Always counted from the lesser end, so that two polygons share their common edge
        is_back = along > end_along
        start, start_across = (end_along, end_across) if is_back else (along, across)
        rise = ((across - end_across) if is_back else (end_across - across)) / steps
        places = np.arange(steps + 1)[:: -1 if is_back else 1]
        lengthwise = start + places
        crosswise = np.trunc(start_across + rise * places + 0.5).astype(np.int64)
        columns.append(lengthwise if wide >= high else crosswise)
        rows.append(crosswise if wide >= high else lengthwise)
    if not columns:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return np.concatenate(columns), np.concatenate(rows)

"""Objects that a file names in an image, checked against the image and made an instance of it."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeGuard, cast

from allencv_al.common.errors import ImageDecodeError, raise_problems
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import listed
from allencv_al.common.progress import track
from allencv_al.data.drawn_masks import DrawnMask, Polygon, Region
from allencv_al.data.image_io import ImageFrame, image_frame
from allencv_al.data.instance import MAX_THREADS, IgnoredBox, Instance, Point, Points

logger = logging.getLogger(__name__)

Box = tuple[float, float, float, float]
Size = tuple[int, int]
"""Width and height."""

Coordinates = Literal["auto", "upright", "stored"]

Target = Literal["boxes", "masks", "labels"]
"""Labels that a reader makes of objects: boxes, a class for each pixel, or the classes alone."""

VOID = 255  # class index of pixels that are neither learned nor judged

# Rounding to whole pixels, or counting from 1, takes a box over the border by this much
BORDER_SLACK = 1.0


@dataclass(frozen=True, slots=True)
class AnnotatedObject:
    """One object of an annotation.

    Args:
        place: Its place in the file, for messages: `objects[2]`.
        box: `x_min, y_min, x_max, y_max` in pixels; None if boxes are not read.
        name: Class name; None if classes are not read.
        points: Its keypoints.
        ignored: Whether it is neither learned nor judged: a crowd, or too difficult.
        is_crowd: Whether it is a region of many objects.
        region: Its pixels; None if the file has a box only.
    """

    place: str
    box: Box | None = None
    name: str | None = None
    points: Points = ()
    ignored: bool = False
    is_crowd: bool = False
    region: Region | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """The objects of one image.

    Args:
        file: The file that names them.
        objects: The objects, in the order of the file.
        size: Width and height of the image as the file has them, if it does.
        metadata: Further values for the instance.
        tags: Classes of the whole image.
        left_out: Number of objects of kinds that are not read.
    """

    file: str
    objects: Sequence[AnnotatedObject] = ()
    size: tuple[int, int] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


class ObjectInstances:
    """Makes instances of annotated images; collects what is wrong with all of them.

    A box without area is left out, as no model can learn it. One outside the image is a problem,
    because it is measured in something else than this image. One over the border is cut when the
    image is decoded.

    Args:
        coordinates: Pixels that boxes refer to where an image has an EXIF orientation.
        boxes: Whether the instances have boxes.
        box_labels: Whether their boxes have class names.
        keypoints: Whether they have keypoints, one group for each object.
        target: Form of the labels of the instances.
        classes: For masks: the names of the class indices from 1.
    """

    def __init__(
        self,
        coordinates: Coordinates = "upright",
        boxes: bool = True,
        box_labels: bool = True,
        keypoints: bool = False,
        target: Target = "boxes",
        classes: Sequence[str] = (),
    ) -> None:
        self.problems: list[str] = []
        self._target = target
        self._indices = {name: index for index, name in enumerate(classes, start=1)}
        self._coordinates = coordinates
        self._boxes = boxes
        self._box_labels = boxes and box_labels
        self._keypoints = keypoints
        self._flat: list[str] = []
        self._without_outline: list[str] = []
        self._left_out: Counter[str] = Counter()

    def make(
        self, id: str, image: Path, annotation: Annotation, frame: ImageFrame | None
    ) -> Instance:
        """Return the instance of an image.

        Args:
            id: The image's id.
            image: Its file.
            annotation: Its objects.
            frame: Its size and turn; None if it cannot be read, so that nothing is checked.
        """
        self._left_out.update(annotation.left_out)
        orientation = self._orientation(image, annotation, frame)
        turn = _same if frame is None or orientation == 1 else turned_upright(frame)
        if self._target == "labels":
            names = [*annotation.tags, *(one.name or "" for one in annotation.objects)]
            labels = tuple(filter(None, names))
            return Instance(id, image, labels=labels, metadata=dict(annotation.metadata))
        if self._target == "masks":
            mask = self._mask(annotation, frame, orientation)
            return Instance(id, image, mask=mask, metadata=dict(annotation.metadata))
        kept: list[AnnotatedObject] = []
        ignored: list[IgnoredBox] = []
        boxes: list[Box] = []
        for one in annotation.objects:
            box = None if one.box is None else turn(one.box)
            if box is not None and self._is_flat(annotation, one, box):
                continue
            if box is not None and frame is not None:
                self._check_inside(annotation, one, box, frame)
            if one.ignored:
                ignored += [] if box is None else [IgnoredBox(box, one.name or "", one.is_crowd)]
                continue
            kept.append(one)
            if box is not None:
                boxes.append(box)
        return Instance(
            id=id,
            image=image,
            boxes=tuple(boxes) if self._boxes else None,
            box_labels=tuple(one.name or "" for one in kept) if self._box_labels else None,
            keypoints=tuple(_turned_points(one.points, turn) for one in kept)
            if self._keypoints
            else None,
            metadata=dict(annotation.metadata),
            ignored=tuple(ignored) if self._boxes else (),
        )

    def finish(self, where: object) -> None:
        """Raise if there was a problem, and log the number of boxes that were left out.

        Args:
            where: The path that was read.

        Raises:
            DataError: It lists the problems of all images.
        """
        raise_problems(where, self.problems)
        if self._flat:
            logger.warning(
                "%s: boxes without area were left out: %d, the first of them %s",
                *(where, len(self._flat), self._flat[0]),
            )
        if self._left_out:
            shown = ", ".join(f"{count} {kind}" for kind, count in self._left_out.items())
            logger.warning(
                "%s: objects that are neither boxes nor areas were left out: %s", where, shown
            )
        if self._without_outline:
            logger.warning(
                "%s: %d objects have a box and no outline, and fill their boxes in the masks, the "
                "first of them %s",
                *(where, len(self._without_outline), self._without_outline[0]),
            )

    def _is_flat(self, annotation: Annotation, one: AnnotatedObject, box: Box) -> bool:
        x_min, y_min, x_max, y_max = box
        if x_max > x_min and y_max > y_min:
            return False
        self._flat.append(f"{annotation.file}: {one.place}")
        return True

    def _check_inside(
        self, annotation: Annotation, one: AnnotatedObject, box: Box, frame: ImageFrame
    ) -> None:
        width, height = frame.upright_size
        x_min, y_min, x_max, y_max = box
        if x_min >= width or y_min >= height or x_max <= 0 or y_max <= 0:
            self.problems.append(
                f"{annotation.file}: {one.place}: expected a box inside the {width}x{height} "
                f"pixels of the image, found {shown_box(box)} (x_min, y_min, x_max, y_max)"
            )

    def _mask(
        self, annotation: Annotation, frame: ImageFrame | None, orientation: int
    ) -> DrawnMask:
        """Return the mask of an image: its objects, one over the other in the order of the file."""
        layers: list[tuple[int, Region]] = []
        for one in annotation.objects:
            index = VOID if one.ignored else self._indices.get(one.name or "")
            if index is None:
                self.problems.append(
                    f"{annotation.file}: {one.place}: {repr_json(one.name)} is none of the classes "
                    f"{listed(list(self._indices))}"
                )
            elif one.region is not None:
                layers.append((index, one.region))
            elif one.box is not None:
                layers.append((index, region_of(one.box)))
                self._without_outline.append(f"{annotation.file}: {one.place}")
        size = annotation.size
        if size is None and frame is not None:
            size = (frame.width, frame.height) if orientation != 1 else frame.upright_size
        # Without either the image cannot be read, and nothing asks for its mask
        return DrawnMask(annotation.file, size or (1, 1), tuple(layers), orientation)

    def _orientation(self, image: Path, annotation: Annotation, frame: ImageFrame | None) -> int:
        """Return the EXIF orientation by which the annotation must be turned; 1 if it is upright.

        Args:
            image: The file of the image.
            annotation: Its annotation.
            frame: Size and turn of the image, if it can be read.
        """
        if frame is None:
            return 1
        stored = (frame.width, frame.height)
        size = annotation.size
        if size is not None and size not in (stored, frame.upright_size):
            found = "x".join(map(str, size))
            self.problems.append(
                f"{annotation.file}: its objects are those of an image of {found} pixels, but "
                f"{image} has {frame.width}x{frame.height}"
            )
            return 1
        if frame.orientation == 1 or self._coordinates == "upright":
            return 1
        if self._coordinates == "auto" and annotation.objects and self._target != "labels":
            if size is not None and stored != frame.upright_size:
                return frame.orientation if size == stored else 1
            self.problems.append(
                f"{annotation.file}: {image} has the EXIF orientation {frame.orientation}, and its "
                "size does not show which pixels the boxes refer to; set coordinates to "
                '"upright" (as labeling programs in browsers show the image) or "stored" (as '
                "OpenCV and Pillow read it with the orientation ignored)"
            )
            return 1
        return frame.orientation


def turned_upright(frame: ImageFrame) -> Callable[[Box], Box]:
    """Return the function that takes a box of the stored pixels to the upright image."""
    width, height, orientation = frame.width, frame.height, frame.orientation

    def turn(box: Box) -> Box:
        x_min, y_min, x_max, y_max = box
        if orientation in (2, 3, 7, 8):  # the left edge of the file is not the upper or left one
            x_min, x_max = width - x_max, width - x_min
        if orientation in (3, 4, 6, 7):
            y_min, y_max = height - y_max, height - y_min
        if orientation > 4:
            return y_min, x_min, y_max, x_max
        return x_min, y_min, x_max, y_max

    return turn


def corners(box: Box) -> Polygon:
    """Return the outline of a box."""
    x_min, y_min, x_max, y_max = box
    return x_min, y_min, x_max, y_min, x_max, y_max, x_min, y_max


def rotated(box: Box, degrees: float, center: tuple[float, float]) -> Polygon:
    """Return the outline of a box after a turn.

    Args:
        box: The box before it.
        degrees: The turn, clockwise as seen in the image.
        center: The point `x, y` that stays in place.
    """
    x, y = center
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    outline = corners(box)
    places = [(px - x, py - y) for px, py in zip(outline[::2], outline[1::2], strict=True)]
    turned = [(x + cos * dx - sin * dy, y + sin * dx + cos * dy) for dx, dy in places]
    return tuple(value for point in turned for value in point)


def ellipse(center: tuple[float, float], radii: tuple[float, float], degrees: float) -> Polygon:
    """Return the outline of an ellipse as a polygon, true to less than a pixel.

    Args:
        center: Its middle.
        radii: Half its width and half its height, before the turn.
        degrees: The turn around its middle, clockwise as seen in the image.
    """
    # A chord of angle t leaves r (1 - cos(t / 2)) out, about r t^2 / 8: half a pixel for n corners
    count = max(16, math.ceil(math.pi * math.sqrt(max(*radii, 1.0))))
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    outline: list[float] = []
    for step in range(count):
        angle = 2 * math.pi * step / count
        dx, dy = radii[0] * math.cos(angle), radii[1] * math.sin(angle)
        outline += [center[0] + cos * dx - sin * dy, center[1] + sin * dx + cos * dy]
    return tuple(outline)


def image_frames(files: Sequence[Path]) -> list[ImageFrame | None]:
    """Return size and turn of each image from its header; None for one that cannot be read.

    Args:
        files: The images; read in parallel.

    Raises:
        OSError: The machine cannot read any file.
    """

    def frame(file: Path) -> ImageFrame | None:
        try:
            return image_frame(file)
        except ImageDecodeError:  # counted where it is decoded, by `on_error`
            return None

    with ThreadPoolExecutor(MAX_THREADS) as threads:
        return list(track(threads.map(frame, files), len(files), "Reading sizes", "images"))


def region_of(box: Box) -> Region:
    """Return the region inside a box."""
    return Region((corners(box),))


def numbers_of(value: Any, count: int) -> TypeGuard[list[float]]:
    """Return whether a value of JSON is a list of that many finite numbers."""
    return (
        isinstance(value, list)
        and len(value) == count
        and all(
            isinstance(number, int | float)
            and not isinstance(number, bool)
            and math.isfinite(number)
            for number in value
        )
    )


def shown_box(box: Iterable[float]) -> str:
    """Return the numbers of a box for a message."""
    return "[" + ", ".join(f"{number:g}" for number in box) + "]"


def short(value: Any) -> str:
    """Return a value of JSON for a message."""
    return "nothing" if value is None else repr_json(value)


def _turned_points(points: Points, turn: Callable[[Box], Box]) -> Points:
    found: list[Point] = []
    for point in points:
        # An absent point is 0, 0, 0 in every image
        is_absent = len(point) == 3 and not point[2]
        x, y, *visibility = point
        place = turn((x, y, x, y))[:2]
        found.append(point if is_absent else cast("Point", (*place, *visibility)))
    return tuple(found)


def _same(box: Box) -> Box:
    return box

"""Predictions and labels of test as arrays: classes, numbers, masks and boxes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.names import listed
from allencv_al.metrics.detection import Boxes
from allencv_al.service.pipeline.functions.returns import as_array
from allencv_al.service.pipeline.pipeline_errors import ReturnValueError

_error = partial(ReturnValueError, "test")
_SHOWN = 8  # names in a message
_DIGITS = 10  # digits of a class number; parsing longer ones is quadratic
_MOST = sys.float_info.max
_MOST_CLASSES = 10_000  # of a mask; the confusion matrix has the square of it


def paired(predictions: Any, labels: Any) -> tuple[list[Any], list[Any]]:
    """Return predictions and labels side by side.

    Two dictionaries are joined by their keys, which must be the same; two lists or arrays by
    position.

    Raises:
        PipelineError: Keys or lengths differ (422); the keys are named.
    """
    predictions, labels = as_array(predictions), as_array(labels)
    if isinstance(predictions, Mapping) and isinstance(labels, Mapping):
        left = {str(key): value for key, value in predictions.items()}
        right = {str(key): value for key, value in labels.items()}
        if left.keys() != right.keys():
            unlabeled = sorted(left.keys() - right.keys())
            unpredicted = sorted(right.keys() - left.keys())
            raise _error(
                f"predictions without label: {listed(unlabeled, _SHOWN)}; labels without "
                f"prediction: {listed(unpredicted, _SHOWN)}"
            )
        return [left[key] for key in left], [right[key] for key in left]
    if isinstance(predictions, Mapping) or isinstance(labels, Mapping):
        raise _error("expected two dictionaries or two lists, found one of each")
    try:
        found = list(predictions), list(labels)
    except TypeError:
        raise _error("expected two dictionaries, lists or arrays") from None
    if len(found[0]) != len(found[1]):
        raise _error(f"found {len(found[0])} predictions and {len(found[1])} labels")
    return found


def as_classes(
    predictions: Sequence[Any], labels: Sequence[Any], class_labels: Mapping[int, str] | None
) -> tuple[dict[int, str], list[int], list[int]]:
    """Return names of unnumbered classes, and predictions and labels as class numbers.

    Raises:
        PipelineError: A value is neither a class number nor a class name (422).
    """
    sides = {"predictions": scalars(predictions), "labels": scalars(labels)}
    texts = {one for side in sides.values() for one in side if isinstance(one, str)}
    names: dict[int, str] = {}
    are_texts = all(isinstance(one, str) for side in sides.values() for one in side)
    if are_texts and not class_labels and any(not one.isdecimal() for one in texts):
        names = dict(enumerate(sorted(texts)))
    places = {name: number for number, name in (class_labels or names).items()}
    numbers = [
        class_numbers([number_of(one, places) for one in side], what, class_labels)
        for what, side in sides.items()
    ]
    return names, numbers[0], numbers[1]


def class_numbers(
    values: Iterable[Any], what: str, class_labels: Mapping[int, str] | None = None
) -> list[int]:
    """Return values as class numbers.

    Raises:
        PipelineError: A value is not a whole number (422).
    """
    found = []
    for place, value in enumerate(scalars(values)):
        if value is None:
            raise _error(
                f"{what}[{place}]: expected class numbers, found None or a number that is "
                "not finite"
            )
        if not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
            expected = "class numbers"
            if class_labels and isinstance(value, str):
                expected += f", or their names ({listed(list(class_labels.values()), _SHOWN)})"
            raise _error(f"{what}: expected {expected}, found {value!r:.80}")
        found.append(int(value))
    return found


def number_of(value: Any, places: Mapping[str, int]) -> Any:
    """Return the number of a class that is given by name or digits, other values unchanged."""
    if not isinstance(value, str):
        return value
    return places.get(value, int(value) if value.isdecimal() and len(value) < _DIGITS else value)


def scalars(values: Iterable[Any]) -> list[Any]:
    """Return values; arrays of one number become that number."""
    arrays = (as_array(value) for value in values)
    return [
        value.item()
        if isinstance(value, np.generic | np.ndarray) and np.size(value) == 1
        else value
        for value in arrays
    ]


def as_class_sets(
    predictions: Sequence[Any], labels: Sequence[Any], class_labels: Mapping[int, str] | None
) -> tuple[list[int], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the class numbers, and membership of predictions and labels as bool `[N, C]`.

    Args:
        predictions: For each record its class numbers, or a 0 or 1 for each class.
        labels: Labels in the same form.
        class_labels: Class names by class number; unseen classes keep their columns.

    Raises:
        PipelineError: A value has neither form (422).
    """
    rows = [_class_set(value, "predictions") for value in predictions]
    truth_rows = [_class_set(value, "labels") for value in labels]
    if _are_marks(rows + truth_rows, class_labels):
        classes = list(range(len((rows + truth_rows)[0])))
        return classes, np.array(rows, dtype=bool), np.array(truth_rows, dtype=bool)
    seen = {number for row in rows + truth_rows for number in row}
    classes = sorted({*(class_labels or ()), *seen})
    return classes, _marked(rows, classes), _marked(truth_rows, classes)


def as_numbers(values: Sequence[Any], what: str) -> NDArray[np.float64]:
    """Return values as finite numbers, `[N]`.

    Raises:
        PipelineError: A value is not a finite number (422).
    """
    found = []
    for value in values:
        value = as_array(value)
        # A row of [N, 1], as networks predict
        if isinstance(value, list | tuple) and len(value) == 1:
            value = as_array(value[0])
        if isinstance(value, np.ndarray | np.generic) and np.size(value) == 1:
            value = value.item()
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # The comparison is false for NaN too; a Python integer may be beyond every float
        if not is_number or not -_MOST <= value <= _MOST:
            raise _error(f"{what}: expected finite numbers, found {value!r:.80}")
        found.append(float(value))
    return np.asarray(found, np.float64)


def as_masks(
    predictions: Sequence[Any], labels: Sequence[Any]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the predicted and the labeled class of each pixel, two `[H, W]` for each image.

    Raises:
        PipelineError: A value is not a mask, or shapes differ (422).
    """
    pairs = [
        (_mask(one, f"predictions[{place}]"), _mask(other, f"labels[{place}]"))
        for place, (one, other) in enumerate(zip(predictions, labels, strict=True))
    ]
    for place, (found, truth) in enumerate(pairs):
        if found.shape != truth.shape:
            raise _error(
                f"predictions[{place}]: expected the shape of its label, {list(truth.shape)}, "
                f"found {list(found.shape)}"
            )
    return pairs


def as_boxes(predictions: Any, labels: Any) -> list[tuple[Boxes, Boxes]]:
    """Return the predicted and the labeled boxes of each image.

    Args:
        predictions: By image: `boxes` `[n, 4]` (left, top, right, bottom), `objects` (class
            numbers) `[n]` and `scores` `[n]`.
        labels: By image: `boxes`, `objects` and, if some are difficult, `difficulties` (0 or 1).
            An image without boxes may be None, an empty dictionary, or have empty lists or None.

    Raises:
        PipelineError: Images, counts or values do not match (422).
    """
    if not isinstance(predictions, Mapping) or not isinstance(labels, Mapping):
        raise _error("expected boxes as two dictionaries by image")
    left, right = paired(predictions, labels)
    keys = dict.fromkeys(map(str, predictions))
    images = [
        (_boxes(f"predictions[{key}]", found, True), _boxes(f"labels[{key}]", truth, False))
        for key, found, truth in zip(keys, left, right, strict=True)
    ]
    if any((boxes.objects < 0).any() for pair in images for boxes in pair):
        raise _error("objects: expected class numbers from 0")
    return images


def _class_set(value: Any, what: str) -> list[int]:
    value = as_array(value)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise _error(f"{what}: expected the classes of each record as a list, found {value!r:.80}")
    numbers = [as_array(one) for one in value]
    numbers = [one.item() if isinstance(one, np.generic) else one for one in numbers]
    bad = next((one for one in numbers if not _is_class(one)), None)
    if bad is not None:
        raise _error(f"{what}: expected class numbers, or 0 and 1, found {bad!r:.80}")
    return [int(one) for one in numbers]


def _is_class(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer() and value >= 0
    return isinstance(value, int) and value >= 0


def _are_marks(rows: Sequence[Sequence[int]], class_labels: Mapping[int, str] | None) -> bool:
    """Return whether rows hold a 0 or 1 for each class rather than class numbers."""
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or 0 in lengths or any(one > 1 for row in rows for one in row):
        return False
    if class_labels is not None:
        return lengths == {max(class_labels) + 1}
    # [0] and [1] are single classes; [0, 1] everywhere may be both classes of each record
    return lengths != {1} and any(list(row) != [0, 1] for row in rows)


def _marked(rows: Sequence[Sequence[int]], classes: Sequence[int]) -> NDArray[np.bool_]:
    place = {number: index for index, number in enumerate(classes)}
    found = np.zeros((len(rows), len(classes)), dtype=bool)
    for row, numbers in enumerate(rows):
        found[row, [place[number] for number in numbers]] = True
    return found


def _mask(value: Any, where: str) -> NDArray[np.int64]:
    try:
        array = np.asarray(as_array(value), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise _error(f"{where}: expected class numbers, [H, W]") from None
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):  # from [N, 1, H, W], [N, H, W, 1]
        array = array[0] if array.shape[0] == 1 else array[:, :, 0]
    if array.ndim != 2:
        hint = "; of scores of classes take the argmax" if array.ndim == 3 else ""
        shape = list(array.shape)
        raise _error(f"{where}: expected class numbers, [H, W], found {shape}{hint}")
    wrong = array[~(np.isfinite(array) & (array == np.floor(array)) & (array >= 0))]
    if wrong.size:
        raise _error(f"{where}: expected class numbers, [H, W], found {wrong[0]:g}")
    if array.size and array.max() >= _MOST_CLASSES:
        raise _error(f"{where}: expected at most {_MOST_CLASSES} classes, found {array.max():.0f}")
    return array.astype(np.int64)


def _boxes(where: str, value: Any, has_scores: bool) -> Boxes:
    value = {} if value is None else value  # an image without boxes
    if not isinstance(value, Mapping):
        raise _error(f"{where}: expected a dictionary with boxes and objects")
    boxes = _box_values(where, value, "boxes", 4)
    count = len(boxes)
    lacking = [name for name in ("objects", "scores")[: 1 + has_scores] if name not in value]
    if count and lacking:
        found = listed(list(value), _SHOWN)
        raise _error(f"{where}: expected {' and '.join(lacking)} of {count} boxes; found {found}")
    objects = _box_values(where, value, "objects").astype(np.int64)
    scores = _box_values(where, value, "scores") if has_scores else np.zeros(count)
    difficult = np.zeros(count, dtype=bool)
    if not has_scores and value.get("difficulties") is not None:
        difficult = _box_values(where, value, "difficulties").astype(bool)
    for name, array in (("objects", objects), ("scores", scores), ("difficult", difficult)):
        if len(array) != count:
            raise _error(f"{where}: {count} boxes and {len(array)} {name}")
    return Boxes(boxes, objects, scores, difficult)


def _box_values(
    where: str, values: Mapping[Any, Any], name: str, columns: int = 0
) -> NDArray[np.float64]:
    value = values.get(name)
    try:
        array = np.asarray([] if value is None else as_array(value), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise _error(f"{where}: {name}: expected numbers") from None
    if array.size == 0:
        return np.zeros((0, columns) if columns else 0)
    if not np.isfinite(array).all():
        raise _error(f"{where}: {name}: expected finite numbers")
    if columns and (array.ndim != 2 or array.shape[1] != columns):
        raise _error(f"{where}: {name}: expected [n, {columns}], found {list(array.shape)}")
    return array if columns else array.reshape(-1)

"""The task of a pipeline: named by the request, or inferred from its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from allencv_al.service.pipeline.functions.returns import as_array

# Registered names of label tasks, and what has no classes
SINGLE_LABEL = "single_label"
MULTI_LABEL = "multi_label"
DETECTION = "detection"
SEGMENTATION = "segmentation"
REGRESSION = "regression"

# The first word found in the name decides; clients and pipelines of all generations are covered
_WORDS = {
    "detection": DETECTION,
    "segmentation": SEGMENTATION,
    "multilabel": MULTI_LABEL,
    "regression": REGRESSION,
    "classification": SINGLE_LABEL,
    "singlelabel": SINGLE_LABEL,
}
_LOOKED_AT = 1_000


def named_task(name: str | None) -> str | None:
    """Return the task of a name such as "Object Detection"; None if it names none."""
    text = "".join(letter for letter in (name or "").lower() if letter.isalnum())
    return next((task for word, task in _WORDS.items() if word in text), None)


def task_of(predictions: Any, labels: Any) -> str:
    """Infer the task from the values that test returned.

    Dictionaries are detections; lists of numbers are multi-label classes, and lists of lists pixel
    classes; numbers are classes, or regression values if some are not whole numbers.
    """
    for value in (*_values(predictions), *_values(labels)):
        if isinstance(value, Mapping):
            return DETECTION
        depth = _depth(value)
        if depth:
            return MULTI_LABEL if depth == 1 else SEGMENTATION
        if isinstance(value, float) and not value.is_integer():
            return REGRESSION
    return SINGLE_LABEL


def _values(values: Any) -> list[Any]:
    values = as_array(values)
    found: Iterable[Any] = values.values() if isinstance(values, Mapping) else values
    if not isinstance(found, Iterable) or isinstance(found, str):
        return []
    return [value for value, _ in zip(found, range(_LOOKED_AT), strict=False)]


def _depth(value: Any) -> int:
    value = as_array(value)
    if isinstance(value, np.ndarray):
        return value.ndim
    depth = 0
    while isinstance(value, list | tuple):
        depth += 1
        value = value[0] if value else None
    return depth

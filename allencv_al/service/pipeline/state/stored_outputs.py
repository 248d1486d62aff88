"""Store the outputs of infer, and warn of unusual values."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from allencv_al.service.pipeline.functions.returns import to_plain
from allencv_al.service.pipeline.state.storage import Storage
from allencv_al.service.pipeline.tasks.output_activations import (
    distribution,
    independent_classes,
    notes_on,
    to_logits,
    to_numbers,
)
from allencv_al.service.pipeline.tasks.tasks import DETECTION, MULTI_LABEL, REGRESSION, SEGMENTATION

logger = logging.getLogger(__name__)


def said_notes(outputs: Mapping[int, Any]) -> list[str]:
    """Return what is odd about outputs, and log it."""
    notes = notes_on(outputs)
    for note in notes:
        logger.warning("%s", note)
    return notes


def store_outputs(
    storage: Storage, stem: str, outputs: Mapping[int, Any], task: str | None = None
) -> str:
    """Write outputs as NPZ where they are logits, else as JSON; return the address.

    The NPZ file holds `index` `[N]`, `logits` `[N, C]`, and what follows from them: `softmax`,
    `confidence`, `margin` and `entropy`, or for several classes a record `sigmoid`, `margin` and
    `entropy`. That of a regression holds `index` and `predictions` `[N]`.

    Args:
        storage: Where to.
        stem: The path without its suffix.
        outputs: By record.
        task: One of `tasks`, if it is known. Boxes are always detections.

    Raises:
        PipelineError: They are no plain values, or not finite (422).
    """
    if task in (DETECTION, SEGMENTATION) or _is_detection(outputs):
        plain = to_plain(dict(outputs), "infer", "outputs", is_finite=True)
        return storage.write_json(f"{stem}.json", plain)
    arrays = {"index": np.array(list(outputs), dtype=np.int64)}
    if task == REGRESSION:
        return storage.write_arrays(f"{stem}.npz", {**arrays, "predictions": to_numbers(outputs)})
    logits = to_logits(outputs)
    of_classes = independent_classes if task == MULTI_LABEL else distribution
    return storage.write_arrays(f"{stem}.npz", {**arrays, "logits": logits, **of_classes(logits)})


def _is_detection(outputs: Mapping[int, Any]) -> bool:
    return any(isinstance(one, Mapping) and "boxes" in one for one in outputs.values())

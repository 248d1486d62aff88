"""Store outputs of infer, and note suspicious ones."""

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
    """Return notes on suspicious outputs, and log them."""
    notes = notes_on(outputs)
    for note in notes:
        logger.warning("%s", note)
    return notes


def store_outputs(
    storage: Storage, stem: str, outputs: Mapping[int, Any], task: str | None = None
) -> str:
    """Write logits as NPZ, other outputs as JSON; return the address.

    The NPZ file holds `index` `[N]`, `logits` `[N, C]` and derived arrays: `softmax`,
    `confidence`, `margin` and `entropy`, or for multi-label outputs `sigmoid`, `margin` and
    `entropy`. For regression it holds `index` and `predictions` `[N]`.

    Args:
        storage: The storage.
        stem: Path without suffix.
        outputs: Outputs by record index.
        task: One of `tasks`, if known. Boxes are always detections.

    Raises:
        PipelineError: Outputs are not plain values, or not finite (422).
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

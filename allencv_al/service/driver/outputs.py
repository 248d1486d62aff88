"""Convert the answers of a pipeline's infer and test to arrays and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from allencv_al.active_learning.learners.base import TestFigures, TestOutputs
from allencv_al.active_learning.rounds.round_metrics import column_names, metrics_of_counts
from allencv_al.common.errors import DataError
from allencv_al.selection.pool.unlabeled_pool import FloatArray
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.tasks.infer_outputs import (
    NAMES,
    distribution,
    of_two_classes,
    to_logits,
)
from allencv_al.service.pipeline.tasks.returned_values import class_numbers, number_of
from allencv_al.service.pipeline.tasks.tasks import DETECTION, MULTI_LABEL, named_task

EMBEDDING = "embedding"
_CERTAIN = 1e3  # logit of an image without boxes: softmax 1 in float32, so it is never asked for
# Metrics of pipelines with another name in results
_RENAMED = {"mAP": "mean_average_precision"}


def logits_of(
    outputs: Mapping[str, Any], records: Sequence[int], task: str | None = None
) -> FloatArray:
    """Return the logits of records, float32 `[N, C]`.

    A detection is represented by its least certain box: the one with the smallest margin between
    its two likeliest classes (the maximum aggregation of Brust et al. 2019, arXiv:1809.09875,
    section 3). An image without boxes counts as certain. A multi-label record is represented by
    its least certain class, as a decision between two classes (Brinker 2006, "On active learning
    in multi-label classification"). A single column is the logit of the second of two classes.

    Args:
        outputs: Outputs of infer, by record index.
        records: Record indices whose logits are returned.
        task: The task, as in the pipeline's metrics, by today's name or an older one.

    Raises:
        DataError: A record has no output.
        PipelineError: An output has no logits, or lengths differ.
    """
    missing = [record for record in records if str(record) not in outputs]
    if missing:
        raise DataError(f"infer: {len(missing)} records have no output, the first is {missing[0]}")
    rows = {record: outputs[str(record)] for record in records}
    has_boxes = any(isinstance(row, Mapping) and "boxes" in row for row in rows.values())
    task = named_task(task)
    if has_boxes or task == DETECTION:
        rows = _of_detections(rows)
    logits = to_logits(rows)
    if task == MULTI_LABEL and logits.size:
        least = np.abs(logits).argmin(axis=1)
        logits = logits[np.arange(len(logits)), least][:, None]
    return np.asarray(of_two_classes(logits), np.float32)


def stacked(blocks: Sequence[FloatArray], width: int) -> FloatArray:
    """Return the rows of all blocks; blocks of images without boxes get the width of the others.

    Args:
        blocks: Results of `logits_of` or `embeddings_of`.
        width: Number of columns if there are no blocks.

    Raises:
        DataError: The widths differ.
    """
    if not blocks:
        return np.empty((0, width), np.float32)
    most = max(block.shape[1] for block in blocks)
    found = []
    for block in blocks:
        lacking = most - block.shape[1]
        if lacking and not (block == [_CERTAIN] + [0.0] * (block.shape[1] - 1)).all():
            raise DataError(
                f"infer: expected vectors of one length, found {block.shape[1]} and {most}"
            )
        found.append(np.pad(block, ((0, 0), (0, lacking))))
    return np.concatenate(found)


def embeddings_of(outputs: Mapping[str, Any], records: Sequence[int]) -> FloatArray:
    """Return the embeddings that infer returned beside the logits, float32 `[N, D]`.

    Raises:
        DataError: A record has no embedding, or lengths differ.
    """
    rows = []
    for record in records:
        row = outputs[str(record)]
        vector = row.get(EMBEDDING) if isinstance(row, Mapping) else None
        try:
            rows.append(np.asarray(vector, np.float32).reshape(-1))
        except (TypeError, ValueError):
            rows.append(np.empty(0, np.float32))
        if vector is None or not rows[-1].size or not np.isfinite(rows[-1]).all():
            raise DataError(
                f"infer: outputs[{record}]: expected a vector {EMBEDDING!r} beside the logits, "
                "found none; return one, or set active_learning.learner.embeddings: false"
            )
    if len({row.size for row in rows}) > 1:
        raise DataError(f"infer: expected {EMBEDDING} vectors of one length, found several")
    return np.stack(rows) if rows else np.empty((0, 0), np.float32)


def test_outputs(answer: Mapping[str, Any], classes: Sequence[str]) -> TestOutputs | TestFigures:
    """Return the logits that test returned, else metrics of its predictions and labels.

    Args:
        answer: Answer of `/test`.
        classes: Class names by column, as far as known.

    Raises:
        DataError: A label exceeds the columns of the logits.
    """
    labels = _single_classes(answer["labels"], classes)
    predictions = _single_classes(answer["predictions"], classes)
    if labels is None or predictions is None or len(labels) != len(predictions):
        return TestFigures(_own_metrics(answer.get("metrics") or {}))
    if answer.get("outputs") is not None:
        logits = np.asarray(answer["outputs"], np.float32)
        if len(labels) and labels.max() >= logits.shape[1]:
            raise DataError(
                f"test: expected labels 0 to {logits.shape[1] - 1}, as the logits of outputs have "
                f"{logits.shape[1]} columns, found {labels.max()}"
            )
        return TestOutputs(logits, labels, {})
    if not len(labels):
        return TestFigures({})
    size = max(len(classes), int(labels.max()) + 1, int(predictions.max()) + 1)
    counts = torch.bincount(torch.from_numpy(labels * size + predictions), minlength=size**2)
    counts = counts.reshape(size, size)
    return TestFigures(metrics_of_counts(counts), counts.tolist(), column_names(classes, size))


test_outputs.__test__ = False  # type: ignore[attr-defined]  # not a pytest test


def _of_detections(rows: Mapping[int, Any]) -> dict[int, Any]:
    found = {record: _least_certain_box(row) for record, row in rows.items()}
    width = next((len(row) for row in found.values() if row is not None), 2)
    certain = [_CERTAIN] + [0.0] * (width - 1)
    return {record: certain if row is None else row for record, row in found.items()}


def _least_certain_box(row: Any) -> NDArray[np.float64] | None:
    name = next((name for name in NAMES if isinstance(row, Mapping) and name in row), None)
    boxes = row[name] if name is not None else None
    if not boxes:
        return None
    logits = to_logits({index: {name: box} for index, box in enumerate(boxes)})
    found: NDArray[np.float64] = logits[int(distribution(logits)["margin"].argmin())]
    return found


def _single_classes(values: Any, classes: Sequence[str]) -> NDArray[np.int64] | None:
    """Return class numbers `[M]`; None if an item has no single class."""
    if isinstance(values, Mapping):
        values = [values[key] for key in sorted(values)]
    if not isinstance(values, list):
        return None
    places = {name: index for index, name in enumerate(classes)}
    try:
        found = class_numbers([number_of(value, places) for value in values], "labels")
    except PipelineError:  # classes of several labels, boxes, masks or numbers
        return None
    return np.asarray(found, np.int64) if min(found, default=0) >= 0 else None


def _own_metrics(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    return {
        _RENAMED.get(name, name): float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }

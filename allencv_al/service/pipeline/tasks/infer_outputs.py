"""Outputs of infer: as logits, with derived scores, and in the storage."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.names import listed
from allencv_al.service.pipeline.functions.returns import as_array, to_plain
from allencv_al.service.pipeline.pipeline_errors import PipelineError, ReturnValueError
from allencv_al.service.pipeline.state.storage import Storage
from allencv_al.service.pipeline.tasks.tasks import DETECTION, MULTI_LABEL, REGRESSION, SEGMENTATION

logger = logging.getLogger(__name__)

NAMES = ("pre_softmax", "logits", "softmax", "sigmoid")
_SMALLEST = 1e-12  # probabilities are clipped to it, since log(0) is not finite
_NEVER = -1e4  # logit of a probability that is 0 in any precision
_ROUNDED = 1e-3  # by how much half-precision probabilities may miss a sum of 1
_CHECKED = 1_000  # outputs that are checked for being probabilities


def to_logits(outputs: Mapping[int, Any], phase: str = "infer") -> NDArray[np.float64]:
    """Return the logits of the records, float64 `[N, C]`, in the order of the dictionary.

    An output is a vector of logits, or a dictionary with one of `pre_softmax`, `logits`, `softmax`
    or `sigmoid`. Probabilities become log p (softmax) or log(p / (1 - p)) (sigmoid).

    Args:
        outputs: Outputs by record index.
        phase: The function that returned them, for messages.

    Raises:
        PipelineError: An output has no such vector, lengths differ, or numbers are not finite
            (422); the records are named.
    """
    rows = [_vector(record, value, phase) for record, value in outputs.items()]
    if not rows:
        return np.zeros((0, 0))
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        odd, row = next(
            pair for pair in zip(outputs, rows, strict=True) if len(pair[1]) != len(rows[0])
        )
        raise _error(odd, phase, f"expected {len(rows[0])} numbers as before, found {len(row)}")
    logits = np.stack(rows)
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad):
        records = list(outputs)
        others = [records[place] for place in bad[1:]]
        more = f" (and in those of {len(others)} more: {listed(others)})" if others else ""
        raise _error(records[bad[0]], phase, f"found a number that is not finite{more}")
    return logits


def notes_on(outputs: Mapping[int, Any]) -> list[str]:
    """Return warnings about suspicious outputs, as sentences, and log them.

    Args:
        outputs: Outputs by record index as infer returned them; only the first 1,000 are checked.
    """
    outputs = dict(islice(outputs.items(), _CHECKED))
    named = {
        next((name for name in NAMES if name in value), "") if isinstance(value, Mapping) else "-"
        for value in outputs.values()
    }
    if not named or not named <= {"-", "logits", "pre_softmax"}:
        return []
    try:
        logits = to_logits(outputs)
    except PipelineError:  # reported when logits are needed
        return []
    sums = np.abs(logits.sum(axis=1) - 1)
    if logits.shape[1] < 2 or logits.min() < 0 or sums.max() > _ROUNDED:
        return []
    note = (
        "infer: the outputs look like probabilities (each row is in 0..1 and sums to 1) but are "
        'read as logits; return {"softmax": row} for probabilities'
    )
    logger.warning("%s", note)
    return [note]


def to_numbers(outputs: Mapping[int, Any]) -> NDArray[np.float64]:
    """Return the predictions of a regression, float64 `[N]`, in the order of the dictionary.

    An output is a number, or a dictionary with `prediction`.

    Args:
        outputs: Outputs by record index.

    Raises:
        PipelineError: An output is not a finite number (422).
    """
    found = []
    for record, value in outputs.items():
        value = value.get("prediction") if isinstance(value, Mapping) else value
        try:
            numbers = _real(value).reshape(-1)
        except (TypeError, ValueError, OverflowError):
            numbers = np.empty(0)
        if len(numbers) != 1 or not np.isfinite(numbers[0]):
            raise _error(record, "infer", "expected a finite number, or one as prediction")
        found.append(float(numbers[0]))
    return np.asarray(found, np.float64)


def distribution(logits: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return probabilities and uncertainty scores of logits `[N, C]`.

    A single column is the logit of the second of two classes.

    Returns:
        `softmax` `[N, C]`; `confidence` (largest probability), `margin` (largest minus second
        largest) and `entropy` (nats), each `[N]`.
    """
    if logits.size == 0:
        empty = np.zeros(len(logits))
        return {"softmax": logits, "confidence": empty, "margin": empty, "entropy": empty}
    logits = of_two_classes(logits)
    # A difference beyond float64 becomes -inf, which the maximum replaces
    with np.errstate(over="ignore"):
        shifted = np.maximum(logits - logits.max(axis=1, keepdims=True), _NEVER)
    logged = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    softmax = np.exp(logged)
    ranked = np.sort(softmax, axis=1)[:, ::-1]
    return {
        "softmax": softmax,
        "confidence": ranked[:, 0],
        "margin": ranked[:, 0] - ranked[:, 1],
        "entropy": -(softmax * logged).sum(axis=1),
    }


def of_two_classes(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return one-column logits as two columns whose softmax is (1 - p, p); others unchanged."""
    return np.hstack([np.zeros_like(logits), logits]) if logits.shape[1] == 1 else logits


def independent_classes(logits: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return probabilities and uncertainty scores of multi-label logits `[N, C]`.

    Returns:
        `sigmoid` `[N, C]`; `margin`, the smallest |2p - 1| over the classes; and `entropy`, the sum
        of the binary entropies in nats; each `[N]`.
    """
    # 1 / (1 + exp(-x)), which would overflow for a very negative x
    positive = np.exp(-np.logaddexp(0, -logits))
    # logaddexp(0, -x) is -log p and logaddexp(0, x) is -log(1 - p): finite where p is 0 or 1
    entropy = positive * np.logaddexp(0, -logits) + (1 - positive) * np.logaddexp(0, logits)
    least = np.abs(2 * positive - 1).min(axis=1) if logits.size else np.zeros(len(logits))
    return {"sigmoid": positive, "margin": least, "entropy": entropy.sum(axis=1)}


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
    has_boxes = any(isinstance(one, Mapping) and "boxes" in one for one in outputs.values())
    if has_boxes or task in (DETECTION, SEGMENTATION):
        plain = to_plain(dict(outputs), "infer", "outputs", is_finite=True)
        return storage.write_json(f"{stem}.json", plain)
    arrays = {"index": np.array(list(outputs), dtype=np.int64)}
    if task == REGRESSION:
        return storage.write_arrays(f"{stem}.npz", {**arrays, "predictions": to_numbers(outputs)})
    logits = to_logits(outputs)
    of_classes = independent_classes if task == MULTI_LABEL else distribution
    return storage.write_arrays(f"{stem}.npz", {**arrays, "logits": logits, **of_classes(logits)})


def _vector(record: int, value: Any, phase: str) -> NDArray[np.float64]:
    name = "logits"
    if isinstance(value, Mapping):
        name = next((name for name in NAMES if name in value), "")
        if not name:
            found = listed(list(value)) if value else "nothing"
            raise _error(record, phase, f"expected one of {', '.join(NAMES)}, found {found}")
        value = value[name]
    try:
        array = _real(value)
    except (TypeError, ValueError, OverflowError):
        raise _error(record, phase, f"{name}: expected numbers") from None
    if sum(length > 1 for length in array.shape) > 1:
        raise _error(record, phase, f"{name}: expected a vector, found {list(array.shape)}")
    vector = array.reshape(-1)
    if not len(vector):
        raise _error(record, phase, f"{name}: expected numbers, found none")
    if name in ("softmax", "sigmoid") and np.isfinite(vector).all():
        wrong = vector[(vector < -_ROUNDED) | (vector > 1 + _ROUNDED)]
        if len(wrong):
            raise _error(record, phase, f"{name}: expected 0 to 1, found {wrong[0]:g}")
    if name == "softmax":
        # The softmax of the logarithms is the vector again
        return np.log(np.clip(vector, _SMALLEST, None))
    if name == "sigmoid":
        clipped = np.clip(vector, _SMALLEST, 1 - _SMALLEST)
        return np.log(clipped) - np.log1p(-clipped)
    return vector


def _real(value: Any) -> NDArray[np.float64]:
    found = _unpacked(value)
    if np.iscomplexobj(found[:1] if isinstance(found, list) else found):
        raise TypeError  # NumPy would drop the imaginary part
    return np.asarray(found, dtype=np.float64)


def _unpacked(value: Any) -> Any:
    value = as_array(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        # Numbers are left to NumPy: a look at each takes longer than the conversion
        if value and type(value[0]) in (float, int):
            return value
        return [as_array(one) for one in value]
    return value


def _error(record: int, phase: str, message: str) -> ReturnValueError:
    return ReturnValueError(phase, f"outputs[{record}]: {message}", "outputs")

"""Softmax in blocks: what the strategies that read logits share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray
from allencv_al.selection.strategies.base import QueryStrategy

_CACHE_BYTES = 2**20  # intermediates of a block stay in the processor's cache
# e^-1000 is 0 in float64 too: clipping here changes no probability, but keeps 0 · log 0 at 0
_LOWEST_SHIFT = -1000.0


def cached_blocks(strategy: QueryStrategy, count: int, bytes_per_row: float) -> Iterator[slice]:
    """Yield slices that cover `count` rows, within the memory budget and the processor's cache.

    No block has a single row unless `count` is 1: numpy sums a single row in another order than
    several, and the last bits of a score would depend on the budget.
    """
    in_cache = int(_CACHE_BYTES / max(bytes_per_row, 1))
    step = max(2, min(strategy.rows_per_block(bytes_per_row), in_cache))
    start = 0
    while start < count:
        stop = count if start + step >= count - 1 else start + step
        yield slice(start, stop)
        start = stop


def shifted(logits: FloatArray, temperature: float) -> FloatArray:
    """Return the logits `[n, C]` minus the highest of their item, transposed: `[C, n]`.

    Differences are divided by the temperature; float32. Every item is computed separately, so the
    result does not depend on the blocks. Classes come first: sums over them are then sums of long
    rows, which take a quarter of the time of many short ones.
    """
    wide = np.ascontiguousarray(_wide(logits).T)
    return _shifts(wide, wide.max(axis=0), temperature, np.float32)


def softmax(
    logits: FloatArray, temperature: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probabilities and their logarithms, float64 `[n, C]`."""
    wide = _wide(logits)
    shifts = _shifts(wide, wide.max(axis=-1, keepdims=True), temperature, np.float64)
    logarithms = shifts.astype(np.float64, copy=False)
    probabilities = np.exp(logarithms)
    totals = probabilities.sum(axis=1, keepdims=True)
    probabilities /= totals
    logarithms -= np.log(totals)
    return probabilities, logarithms


def members_softmax(
    block: FloatArray, temperature: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return members' probabilities, `[C, S, n]`, and the negative entropy of each, `[S, n]`.

    Classes come first: sums over them are then sums of long rows, twice as fast as many short ones.

    Args:
        block: Members' logits, `[n, S, C]`.
        temperature: Divisor of the logits.
    """
    wide = np.ascontiguousarray(_wide(block).transpose(2, 1, 0))
    shifts = _shifts(wide, wide.max(axis=0), temperature, np.float64).astype(np.float64, copy=False)
    probabilities = np.exp(shifts)
    totals = probabilities.sum(axis=0)
    shifts *= probabilities
    negative_entropies: NDArray[np.float64] = shifts.sum(axis=0)
    negative_entropies /= totals
    negative_entropies -= np.log(totals)
    probabilities /= totals
    return probabilities, negative_entropies


def _wide(logits: FloatArray) -> FloatArray:
    if not logits.shape[-1]:
        raise ConfigurationError(f"logits: expected at least one class, found {logits.shape}")
    return np.asarray(logits, dtype=np.result_type(logits.dtype, np.float32))


def _shifts(
    wide: FloatArray, highest: FloatArray, temperature: float, dtype: type[np.floating[Any]]
) -> FloatArray:
    with np.errstate(over="ignore"):  # to -inf, which the clipping ends
        shifts = (wide - highest).astype(dtype, copy=False)
        if temperature != 1:
            shifts /= temperature
    return np.maximum(shifts, _LOWEST_SHIFT, out=shifts)


def prediction_reasons(
    indices: NDArray[np.int64], probabilities_of: Callable[[NDArray[np.int64]], FloatArray]
) -> tuple[dict[str, Any], ...]:
    """Return for each pick the predicted class, the runner-up, and their probabilities.

    Args:
        indices: The picks, `[k]`.
        probabilities_of: Returns the probabilities `[n, C]` of some of them.
    """
    reasons: list[dict[str, Any]] = []
    for part in slices(len(indices), 1024):
        probabilities = probabilities_of(indices[part])
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2].tolist()
        for row, classes in zip(probabilities, order, strict=True):
            reason = {"predicted": classes[0], "probability": float(row[classes[0]])}
            if len(classes) > 1:
                reason["runner_up"] = classes[1]
                reason["runner_up_probability"] = float(row[classes[1]])
            reasons.append(reason)
    return tuple(reasons)

"""`Pool`: the unlabeled items and the outputs of models for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.names import listed
from allencv_al.selection.pool.rows import slices, take_rows

FloatArray = NDArray[np.floating[Any]]

OUTPUTS = (
    "logits",
    "mc_logits",
    "label_logits",
    "scores",
    "objects",
    "embeddings",
    "labeled_embeddings",
    "labeled_logits",
    "target_mc_logits",
)
"""Outputs that a strategy can need."""

# Those with a row for each item, and their dimensions
_OF_ITEMS = {
    "logits": 2,
    "mc_logits": 3,
    "label_logits": 2,
    "scores": 3,
    "objects": 3,
    "embeddings": 2,
}
_ROWS_AT_A_TIME = 65_536  # a memory-mapped array is checked in blocks, not loaded whole
_MOST_NAMED = 5
MOST_COPIED = 64 * 2**20  # bytes of one array


@dataclass(frozen=True)
class Pool:
    """The items that may be chosen, with the arrays that strategies read.

    Arrays may be memory-mapped; none is copied whole. `N` items, `C` classes, `S` members of an
    ensemble (or passes with dropout), `D` dimensions, `L` labeled items, `M` target items.

    Args:
        ids: The id of each item, distinct.
        logits: Class scores before softmax, float `[N, C]`.
        mc_logits: Logits of each member, float `[N, S, C]`; a member is the same function for every
            item (consistent dropout masks).
        label_logits: Log-odds of each class over its threshold, from 0 on where the model predicts
            it, float `[N, C]`.
        scores: Uncertainties of each item, float `[N, 3, 4]`: axes `UNIT_SCORES`, `AGGREGATES`.
        objects: The surest objects that a detector finds in each item, float `[N, K, 3 + D]`: the
            numbers of `OBJECT_NUMBERS`, then a feature of length 1. An item with fewer than K has
            rows of the class -1 and otherwise 0.
        embeddings: Inputs of the last linear layer, or means of the deepest map, float `[N, D]`.
        labeled_embeddings: Embeddings of the labeled items, float `[L, D]`.
        labeled_logits: Class scores of the labeled items before softmax, float `[L, C]`.
        labeled_labels: Class indices of the labeled items, int64 `[L]`.
        labeled_counts: Occurrences of each class in the label of each labeled item, `[L, C]`.
        target_mc_logits: Members' logits of items from the distribution that the model will be
            used on, float `[M, S, C]`.

    Raises:
        ConfigurationError: An array has another shape.
        DataError: Ids occur twice; the first few are named.
    """

    ids: Sequence[str]
    logits: FloatArray | None = None
    mc_logits: FloatArray | None = None
    label_logits: FloatArray | None = None
    scores: FloatArray | None = None
    objects: FloatArray | None = None
    embeddings: FloatArray | None = None
    labeled_embeddings: FloatArray | None = None
    labeled_logits: FloatArray | None = None
    labeled_labels: NDArray[np.int64] | None = None
    target_mc_logits: FloatArray | None = None
    labeled_counts: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if len(set(self.ids)) < len(self.ids):
            counts = Counter(self.ids)
            twice = [id for id, count in counts.most_common(_MOST_NAMED) if count > 1]
            raise DataError(f"pool.ids: duplicate ids: {', '.join(twice)}")
        for name, count in _OF_ITEMS.items():
            array = getattr(self, name)
            if array is not None and (array.ndim != count or len(array) != len(self.ids)):
                raise ConfigurationError(
                    f"pool.{name}: expected {len(self.ids)} rows in {count} dimensions, "
                    f"found shape {array.shape}"
                )

    def __len__(self) -> int:
        return len(self.ids)

    def check(self, needs: Collection[str]) -> None:
        """Raise if a needed array is absent, or holds NaN or infinity.

        Raises:
            ConfigurationError: A needed array is absent.
            DataError: Values are not finite; the first few ids are named.
        """
        absent = [name for name in OUTPUTS if name in needs and getattr(self, name) is None]
        if absent:
            raise ConfigurationError(f"pool: the strategy needs {', '.join(absent)}, found none")
        for name in OUTPUTS:
            if name in needs:
                self._check_finite(name)

    def take(self, indices: NDArray[np.int64]) -> Pool:
        """Return the pool of the items at `indices`.

        Rows are copied, except where the copy would take over 64 MiB: then the array is a
        `RowView`, which returns blocks of rows like an array.
        """

        def rows(array: FloatArray | None) -> FloatArray | None:
            return None if array is None else take_rows(array, indices, MOST_COPIED)

        arrays: dict[str, Any] = {name: rows(getattr(self, name)) for name in _OF_ITEMS}
        return replace(self, ids=[self.ids[index] for index in indices.tolist()], **arrays)

    def _check_finite(self, name: str) -> None:
        array: FloatArray = getattr(self, name)
        bad: list[int] = []
        for part in slices(len(array), _ROWS_AT_A_TIME):
            block = np.asarray(array[part])
            # Terms of a finite sum are finite. A sum may overflow: then each row is tested
            with np.errstate(over="ignore", invalid="ignore"):
                total = block.sum(dtype=np.float64)
            if not np.isfinite(total):
                wrong = ~np.isfinite(block.reshape(len(block), -1)).all(axis=1)
                bad.extend((part.start + np.flatnonzero(wrong)).tolist())
        if bad:
            named = [self.ids[i] if name in _OF_ITEMS else f"row {i}" for i in bad]
            raise DataError(f"pool.{name}: NaN or infinity for {listed(named, _MOST_NAMED)}")

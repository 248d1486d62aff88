"""`PoolOutputs`: the outputs of models for a set of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import DataError
from allencv_al.common.names import listed
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.tasks.score_axes import AGGREGATES, OBJECT_NUMBERS, UNIT_SCORES

ARRAYS = ("logits", "mc_logits", "label_logits", "scores", "objects", "embeddings")
"""Outputs that can be computed for a pool."""


def shapes_of_nothing(classes: int, members: int = 0) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays of no items; the width of embeddings is unknown.

    Args:
        classes: C.
        members: S.
    """
    return {
        "logits": (0, classes),
        "mc_logits": (0, members, classes),
        "label_logits": (0, classes),
        "scores": (0, len(UNIT_SCORES), len(AGGREGATES)),
        "objects": (0, 0, len(OBJECT_NUMBERS)),
        "embeddings": (0, 0),
    }


@dataclass(frozen=True)
class EncodingCost:
    """The cost of a computation.

    Args:
        encoded: Images that the model encoded.
        known: Images whose embeddings were in the store, or are those of an equal image.
        seconds: Duration.
    """

    encoded: int = 0
    known: int = 0
    seconds: float = 0.0

    def __add__(self, other: EncodingCost) -> EncodingCost:
        return EncodingCost(
            self.encoded + other.encoded, self.known + other.known, self.seconds + other.seconds
        )


@dataclass(frozen=True)
class PoolOutputs:
    """The requested output arrays, one row per item; memory-mapped where they are large.

    `N` items, `C` classes, `S` members of an ensemble (or passes with dropout), `D` dimensions.

    Args:
        ids: The items that could be read, distinct, in the order they were given.
        logits: Class scores before softmax, float32 `[N, C]`.
        mc_logits: Logits of each member, float32 `[N, S, C]`.
        label_logits: Log-odds of each class over its threshold, from 0 on where the model predicts
            it, float32 `[N, C]`.
        scores: Uncertainties, float32 `[N, 3, 4]`; see `LabelTask.unit_scores`.
        objects: The surest objects found, float32 `[N, K, 3 + D]`; see `Pool`.
        embeddings: Inputs of the last linear layer, float32 `[N, D]`; or the mean of the deepest
            map.
        unreadable: The items that could not be read, each with the cause; not among `ids`.
        cost: The cost of their embeddings, where a store was asked for them first.
    """

    ids: Sequence[str]
    logits: FloatArray | None = None
    mc_logits: FloatArray | None = None
    label_logits: FloatArray | None = None
    scores: FloatArray | None = None
    objects: FloatArray | None = None
    embeddings: FloatArray | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict)
    cost: EncodingCost | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def pool(
        self,
        labeled: PoolOutputs | None = None,
        labeled_labels: NDArray[np.int64] | None = None,
        target: PoolOutputs | None = None,
        labeled_counts: NDArray[np.int64] | None = None,
    ) -> Pool:
        """Return the items as the pool of a strategy; no array is copied.

        Args:
            labeled: Outputs of the labeled items. None: no item is labeled; their embeddings are
                `[0, D]` then, their logits `[0, C]`.
            labeled_labels: Class indices of the labeled items, int64 `[L]`; only some strategies
                read them.
            target: Outputs of items from the distribution that the model will be used on.
            labeled_counts: Occurrences of each class in the label of each labeled item, `[L, C]`.
        """
        if labeled is not None:
            labeled_embeddings, labeled_logits = labeled.embeddings, labeled.logits
        else:
            # Slices, so that no label yet has the width and dtype of the pool
            labeled_embeddings = None if self.embeddings is None else self.embeddings[:0]
            labeled_logits = None if self.logits is None else self.logits[:0]
            labeled_labels = np.empty(0, np.int64) if labeled_labels is None else labeled_labels
        return Pool(
            ids=self.ids,
            **self.arrays(),
            labeled_embeddings=labeled_embeddings,
            labeled_logits=labeled_logits,
            labeled_labels=labeled_labels,
            target_mc_logits=None if target is None else target.mc_logits,
            labeled_counts=labeled_counts,
        )

    def arrays(self) -> dict[str, FloatArray | None]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in ARRAYS}

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> PoolOutputs:
        """Return the outputs of the items at `indices`, in that order; their rows are copied."""
        places = np.asarray(indices, dtype=np.int64)

        def rows(array: FloatArray | None) -> FloatArray | None:
            return None if array is None else np.asarray(array[places])

        arrays: dict[str, Any] = {name: rows(array) for name, array in self.arrays().items()}
        return replace(self, ids=[self.ids[place] for place in places.tolist()], **arrays)

    def rows(self, ids: Sequence[str]) -> PoolOutputs:
        """Return the outputs of the items `ids`, in that order; their rows are copied.

        Raises:
            DataError: Some ids have no outputs; the first few are named, with the cause if they
                could not be read.
        """
        places = {id: place for place, id in enumerate(self.ids)}
        absent = [id for id in ids if id not in places]
        if absent:
            raise DataError(f"no outputs of {listed([self._absence(id) for id in absent])}")
        return self.take([places[id] for id in ids])

    def _absence(self, id: str) -> str:
        return f"{id} ({self.unreadable[id]})" if id in self.unreadable else id

"""DropQuery and ALFA-Mix: items whose prediction a small change of the embedding changes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Interval
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.selection.pool.rows import slices, take_rows
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import PositiveFloat, PositiveInt, QueryStrategy
from allencv_al.selection.strategies.shared.batch_parts import concatenated
from allencv_al.selection.strategies.shared.canonical_rows import CanonicalRows
from allencv_al.selection.strategies.shared.central_items import central_items
from allencv_al.selection.strategies.shared.distances import labeled_rows, squared_norms
from allencv_al.selection.strategies.shared.last_layer import LastLayer, recovered_last_layer
from allencv_al.selection.strategies.shared.softmax import softmax

_ROWS_PER_BLOCK = 1024  # fixed: bits and random numbers must not depend on the memory budget


class FeatureChangeStrategy(QueryStrategy):
    """Takes central items of those whose predicted class changes when the embedding does.

    How easily an item changes is its rank among the candidates; k-means with as many clusters as
    picks, on candidates of length 1, makes the batch diverse.
    """

    needs = frozenset({"logits", "embeddings", "labeled_embeddings", "labeled_logits"})

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        rows = CanonicalRows(pool, seed)
        layer = recovered_last_layer(pool, rows)
        kept, others, changes = self._candidates(pool, rows, layer, count, seed)
        kept, others = rows.order[kept], rows.order[others]
        reasons: tuple[dict[str, Any], ...]
        if len(kept) > count:
            assert pool.embeddings is not None
            # A view: candidates may be most of the pool
            view = take_rows(pool.embeddings, kept, 0)
            part = Pool([pool.ids[place] for place in kept.tolist()], embeddings=view)
            part_rows = CanonicalRows(part, seed, "l2")
            found = central_items(part_rows, count, seed)
            chosen = part_rows.order[found.positions]
            reasons = tuple(
                {**reason, **changes(place)}
                for reason, place in zip(found.reasons(), chosen.tolist(), strict=True)
            )
            return Picks(kept[chosen], found.weights.astype(np.float32), reasons)
        reasons = tuple(changes(place) for place in range(len(kept)))
        first = Picks(kept, np.ones(len(kept), np.float32), reasons)
        rest = others[: count - len(kept)]
        return concatenated(
            [first, Picks(rest, np.zeros(len(rest), np.float32), ({"filled": True},) * len(rest))]
        )

    @abstractmethod
    def _candidates(
        self, pool: Pool, rows: CanonicalRows, layer: LastLayer, count: int, seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Any]:
        """Return candidates, the others to fill up with (both as positions in canonical order),
        and a function that returns the reason of the candidate at a place."""


@QueryStrategy.register("drop_query")
class DropQuery(FeatureChangeStrategy):
    """Takes central items of those whose prediction dropout on the embedding changes.

    Each value of the embedding is dropped with probability `dropout` (and the others scaled up), in
    `passes` passes; an item is a candidate if more than half of them predict another class than the
    whole embedding does. If that leaves fewer than 25 candidates for each pick, one pass suffices;
    what is missing is filled at random. Gupte et al., "Revisiting active learning in the era of
    vision foundation models", TMLR 2024, arXiv 2401.14555. The score is the size of the cluster.

    The last layer is recovered from embeddings and logits.

    Args:
        passes: Number of passes with dropout; 3 in the paper.
        dropout: The probability that a value is dropped; 0.75 in the paper.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value. Embeddings are read in blocks of 1,024 rows whatever it is.
    """

    _PER_PICK = 25  # candidates for each pick below which one changed pass suffices

    def __init__(
        self,
        passes: PositiveInt = 3,
        dropout: Annotated[float, Interval(gt=0, lt=1)] = 0.75,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(memory_budget_mb)
        self.passes = passes
        self.dropout = dropout

    @overrides
    def _candidates(
        self, pool: Pool, rows: CanonicalRows, layer: LastLayer, count: int, seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Any]:
        assert pool.logits is not None and pool.embeddings is not None
        changed = np.zeros(len(pool), np.int64)
        weights = np.ascontiguousarray(layer.weights.T, np.float32)
        biases = layer.biases.astype(np.float32)
        generator = np.random.default_rng(seed % 2**64)
        for part in slices(len(pool), _ROWS_PER_BLOCK):
            places = rows.order[part]
            block = np.asarray(pool.embeddings[places], np.float32)
            predicted = np.asarray(pool.logits[places]).argmax(axis=1)
            for _ in range(self.passes):
                kept = generator.random(block.shape, np.float32) >= self.dropout
                logits = (block * kept) @ weights / np.float32(1 - self.dropout) + biases
                changed[part] += logits.argmax(axis=1) != predicted
        kept_items = np.flatnonzero(2 * changed > self.passes)
        if len(kept_items) < self._PER_PICK * count:
            kept_items = np.flatnonzero(changed > 0)
        others = np.setdiff1d(np.arange(len(pool)), kept_items)
        of_kept = changed[kept_items]
        return kept_items, others, lambda place: {"changed_passes": int(of_kept[place])}


@QueryStrategy.register("alfa_mix")
class AlfaMix(FeatureChangeStrategy):
    """Takes central items of those whose prediction changes on the way to a labeled class.

    Of an item, the embedding is moved by a share ε of its distance from the mean of a labeled
    class, in the direction in which the loss of the predicted class grows fastest; it is a
    candidate if the prediction changes for any class. Parvaneh et al., "Active learning by feature
    mixing", CVPR 2022, arXiv 2203.07034. The score is the size of the cluster.

    With a linear last layer only the farthest mean counts, and the smallest ε that changes the
    prediction has a closed form. Candidates are the items with an ε up to `share` / √D, and never
    fewer than `min_candidates` for each pick. The last layer is recovered from embeddings and
    logits. Without labels (of a pipeline that keeps them) each labeled item is a class.

    Args:
        share: The largest ε, times √D; 0.2 in the paper.
        min_candidates: Number of candidates for each pick, those that change most easily.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value. Embeddings are read in blocks of 1,024 rows whatever it is.
    """

    def __init__(
        self,
        share: PositiveFloat = 0.2,
        min_candidates: Annotated[int, Ge(1)] = 2,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(memory_budget_mb)
        self.share = share
        self.min_candidates = min_candidates

    @overrides
    def _candidates(
        self, pool: Pool, rows: CanonicalRows, layer: LastLayer, count: int, seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Any]:
        steps = self._steps(pool, rows, layer)
        order = np.argsort(steps, kind="stable")
        assert pool.embeddings is not None
        enough = int((steps <= self.share / np.sqrt(pool.embeddings.shape[1])).sum())
        number = min(max(enough, self.min_candidates * count), int(np.isfinite(steps).sum()))
        kept = np.sort(order[:number])
        return kept, order[number:], lambda place: {"change": float(steps[kept[place]])}

    def _steps(self, pool: Pool, rows: CanonicalRows, layer: LastLayer) -> NDArray[np.float64]:
        """Return the smallest ε that changes the prediction of each item, `[N]`; else infinity."""
        assert pool.logits is not None and pool.embeddings is not None
        means = _class_means(pool)
        gram = layer.weights @ layer.weights.T
        steps = np.full(len(pool), np.inf)
        for part in slices(len(pool), _ROWS_PER_BLOCK):
            places = rows.order[part]
            block = np.asarray(pool.embeddings[places], np.float64)
            logits = np.asarray(pool.logits[places], np.float64)
            errors = softmax(logits, 1.0)[0]
            items, predicted = np.arange(len(errors)), logits.argmax(axis=1)
            errors[items, predicted] = 0  # p - onehot, without the loss of digits
            errors[items, predicted] = -errors.sum(axis=1)
            slopes = errors @ gram
            lengths = np.sqrt(np.maximum(np.einsum("nc,nc->n", slopes, errors), 0))
            far = np.zeros(len(block))
            for mean in means:
                far = np.maximum(far, squared_norms(block - mean))
            with np.errstate(divide="ignore", invalid="ignore"):
                slopes *= (np.sqrt(far) / lengths)[:, None]
                gaps = logits[items, predicted][:, None] - logits
                rises = slopes - slopes[items, predicted][:, None]
                needed = np.where(rises > 0, gaps / rises, np.inf)
            needed[items, predicted] = np.inf
            steps[part] = np.where(np.isfinite(needed), needed, np.inf).min(axis=1)
        return steps


def _class_means(pool: Pool) -> NDArray[np.float64]:
    """Return the mean of each labeled class; each labeled item where classes are unknown."""
    labeled = np.asarray(labeled_rows(pool), np.float64)
    labels = pool.labeled_labels
    known = np.empty(0, np.int64) if labels is None else np.flatnonzero(labels >= 0)
    if labels is None or not len(known):
        return labeled
    return np.stack(
        [labeled[known[labels[known] == label]].mean(axis=0) for label in np.unique(labels[known])]
    )

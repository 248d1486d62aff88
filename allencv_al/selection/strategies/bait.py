"""BAIT: the items whose Fisher information best covers that of the pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.feature_scaling import FeatureScalingKind
from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import PositiveFloat, PositiveInt, QueryStrategy
from allencv_al.selection.strategies.shared.calibration import steady_temperature
from allencv_al.selection.strategies.shared.canonical_rows import CanonicalRows
from allencv_al.selection.strategies.shared.fisher_cover import FisherCover, ScaledBlocks
from allencv_al.selection.strategies.shared.softmax import softmax

_LARGEST_MATRIX = 4096  # classes times dimensions of the full form: 134 MB a matrix
_ROWS_PER_SOFTMAX = 4096
_LEAST_WEIGHT = 1e-6  # p(1 - p) of a certain prediction is nearly 0, and would hide the item


def _check_top_classes(fisher: str, top_classes: int | None) -> Iterator[tuple[str, str]]:
    if fisher == "binary" and top_classes is not None:
        yield "top_classes", "expected none with the binary form, which has one class"


@QueryStrategy.register("bait")
class Bait(QueryStrategy):
    """Takes the batch whose Fisher information best covers that of the pool.

    BAIT: Ash, Goel, Krishnamurthy & Kakade, "Gone fishing: neural active learning with Fisher
    embeddings", NeurIPS 2021, arXiv 2106.09675. Of the last layer, an item with embedding x and
    probabilities p has the information (diag p - ppᵀ) ⊗ xxᵀ. With F the mean over all items and M
    that of the labeled and chosen ones plus λ·1, items are chosen one by one so that tr(M⁻¹F),
    the expected loss to first order, falls most; `oversampling` times as many as asked for, of
    which those that it misses least are dropped again. The score is the fall when it was chosen.

    The form `binary` (Huseljic et al., "Fast Fishing", ECML 2024, arXiv 2404.08981) asks only
    whether the likeliest class is right: p(1 - p) xxᵀ, of rank one. All forms are computed exactly:
    no item's matrix is formed, and a choice changes a few numbers of each item.

    The published λ is 1 whatever the embeddings are. On embeddings of length 1, or before a second
    class is found, that drowns the information, all picks lie in one direction, and BAIT falls
    below random choice. Here embeddings are scaled first, and λ follows the information.

    Args:
        fisher: `binary`; or `full`, the information of all classes, with C·D up to 4,096.
        top_classes: For `full`: how many of the likeliest classes of an item count. Null: all.
        regularization: λ, as a share of the trace of F.
        oversampling: Items chosen first, as a multiple of those asked for; 2 in the paper.
        temperature: Divisor of the logits before softmax. Null: the one at which the model is as
            sure of the pool as a ridge classifier of the labels, whatever the sharpness of its own
            logits is.
        scaling: The scaling of the embeddings, by the statistics of the pool.
        max_references: The number of items whose information counts as the pool's; of a larger pool
            a random sample.
        max_candidates: The number of items that may be picked; of a larger pool a random sample.
        memory_budget_mb: Memory for scaled embeddings, in MiB; the result is the same for every
            value. Where they do not fit, each choice scales them again.
    """

    needs = frozenset({"logits", "embeddings", "labeled_embeddings", "labeled_logits"})
    joint_rules = (_check_top_classes,)

    def __init__(
        self,
        fisher: Literal["binary", "full"] = "binary",
        top_classes: PositiveInt | None = None,
        regularization: PositiveFloat = 2e-3,
        oversampling: Annotated[int, Ge(1)] = 2,
        temperature: PositiveFloat | None = None,
        scaling: FeatureScalingKind = "standardize_l2",
        max_references: PositiveInt = 50_000,
        max_candidates: PositiveInt = 50_000,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(memory_budget_mb)
        self.fisher = fisher
        self.top_classes = top_classes
        self.regularization = regularization
        self.oversampling = oversampling
        self.temperature = temperature
        self.scaling = scaling
        self.max_references = max_references
        self.max_candidates = max_candidates

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        assert pool.logits is not None and pool.labeled_logits is not None
        self._check_size(pool)
        rows = CanonicalRows(pool, seed, self.scaling)
        temperature = self.temperature or steady_temperature(pool, rows)
        candidates = min(len(pool), max(self.max_candidates, count))
        references = min(len(pool), self.max_references)
        looked_at = max(candidates, references)
        cover = FisherCover(
            ScaledBlocks(rows, looked_at, self.memory_budget_mb),
            self._factors(pool.logits[rows.order[:looked_at]], temperature),
            np.concatenate([rows.take(slice(0, 0)), *rows.labeled_blocks()]),
            self._factors(pool.labeled_logits, temperature),
            references,
            candidates,
            count,
            self.regularization,
        )
        for _ in range(min(self.oversampling * count, candidates)):
            cover.choose()
        cover.drop_to(count)
        reasons = tuple({"information_gain": gain} for gain in cover.gains)
        return Picks(rows.order[cover.chosen], np.array(cover.gains, np.float32), reasons)

    def _check_size(self, pool: Pool) -> None:
        assert pool.logits is not None and pool.embeddings is not None
        classes, width = pool.logits.shape[1], pool.embeddings.shape[1]
        if self.fisher == "full" and classes * width > _LARGEST_MATRIX:
            raise ConfigurationError(
                f"bait: fisher: {classes} classes times {width} dimensions are more than "
                f"{_LARGEST_MATRIX:,}; choose binary"
            )

    def _factors(self, logits: FloatArray, temperature: float) -> NDArray[np.float32]:
        """Return B of each row, `[n, C, r]`, or `[n, 1, 1]`: its information is (B Bᵀ) ⊗ xxᵀ."""
        blocks = [
            self._factors_of_block(softmax(np.asarray(logits[part]), temperature)[0])
            for part in slices(max(len(logits), 1), _ROWS_PER_SOFTMAX)
        ]
        return np.concatenate(blocks)

    def _factors_of_block(self, p: NDArray[np.float64]) -> NDArray[np.float32]:
        rows = np.arange(len(p))
        if self.fisher == "binary":
            likeliest = p.argmax(axis=1)
            top = p[rows, likeliest]
            p[rows, likeliest] = 0  # 1 - p without the loss of digits
            weights = np.maximum(top * p.sum(axis=1), _LEAST_WEIGHT)
            of_one: NDArray[np.float32] = np.sqrt(weights).astype(np.float32)[:, None, None]
            return of_one
        count = min(self.top_classes or p.shape[1], p.shape[1])
        order = np.argsort(-p, axis=1, kind="stable")[:, :count]
        shares = np.take_along_axis(p, order, axis=1)
        shares /= shares.sum(axis=1, keepdims=True)
        factors = np.repeat(-p[:, :, None], count, axis=2)
        factors[rows[:, None], order, np.arange(count)] += 1
        factors *= np.sqrt(shares)[:, None]
        return np.asarray(factors, dtype=np.float32)

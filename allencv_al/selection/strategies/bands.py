"""Choose by scores, at one end or within a band, as Alectio's strategy files do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from annotated_types import MinLen
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.config.registrable import FromParams
from allencv_al.data.id_hash import id_uniforms
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import PositiveFloat, PositiveInt, QueryStrategy, highest
from allencv_al.selection.strategies.shared.batch_parts import apportion, concatenated
from allencv_al.selection.strategies.uncertainty import Entropy, LeastConfidence, Margin

ScoreName = Literal["confidence", "margin", "entropy", "random"]


def _check_band(
    score: str, take: str | None, over: float | None, under: float | None
) -> Iterator[tuple[str, str]]:
    has_band = over is not None or under is not None
    if score == "random" and (take is not None or has_band):
        yield "score", "expected no take, over or under beside random"
    elif score != "random" and (take is not None) == has_band:
        found = "both" if has_band else "neither"
        yield "take", f"expected either take, or over and under, found {found}"
    if over is not None and under is not None and not over < under:
        yield "under", f"expected more than over, {over}, found {under}"


class Band(FromParams):
    """Items of a batch that one score chooses.

    Args:
        score: "confidence", p(1); "margin", p(1) − p(2); "entropy", in nats; or "random".
        num_items: Number of items of the batch; only the ratios of several bands matter.
        take: "lowest" or "highest" scores; for a band, leave it out.
        over: Only items whose score is above this, by chance.
        under: Only items whose score is below this, by chance. Where there are too few between the
            two, those whose scores are nearest follow.
    """

    joint_rules = (_check_band,)

    def __init__(
        self,
        score: ScoreName,
        num_items: PositiveInt,
        take: Literal["lowest", "highest"] | None = None,
        over: float | None = None,
        under: float | None = None,
    ) -> None:
        self.score: ScoreName = score
        self.num_items = num_items
        self.take = take
        self.over = -np.inf if over is None else over
        self.under = np.inf if under is None else under

    def wanted(
        self, scores: NDArray[np.float64], draws: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the score of each item for this band, higher = query first, `[N]`.

        Args:
            scores: The score of each, `[N]`.
            draws: A uniform random number in (0, 1) for each, `[N]`.
        """
        if self.take is not None:
            return scores if self.take == "highest" else -scores
        outside = np.maximum(np.maximum(self.over - scores, scores - self.under), 0)
        # Limits are exclusive; within the band chance decides, outside of it the distance
        on_border = (scores <= self.over) | (scores >= self.under)
        return np.where(on_border, -outside, draws)


@QueryStrategy.register("bands")
class Bands(QueryStrategy):
    """Divides the batch among scores, each at its lowest or highest, or within a band.

    Bands choose one after the other, as listed, from the items that earlier bands left. The scores
    of picks come from their bands, so they are not on one scale.

    Args:
        bands: The bands with their sizes.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value.
    """

    needs = frozenset({"logits"})
    reads_scores = True

    def __init__(
        self, bands: Annotated[list[Band], MinLen(1)], memory_budget_mb: PositiveFloat = 512.0
    ) -> None:
        super().__init__(memory_budget_mb)
        self.bands = bands

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        shares = np.asarray([band.num_items for band in self.bands], np.float64)
        available = np.full(len(shares), len(pool), np.int64)
        # A smaller batch is divided in the proportions of `num_items`
        places = apportion(shares, np.zeros(len(shares), np.int64), available, count)
        taken = np.zeros(len(pool), bool)
        parts: list[Picks] = []
        for number, band in enumerate(self.bands):
            # Bands pick in turn: an item that two of them want goes to the first
            found = self._pick_of_band(pool, band, places.count(number), seed + number, taken)
            taken[found.indices] = True
            parts.append(found)
        return concatenated(parts)

    def _pick_of_band(
        self, pool: Pool, band: Band, count: int, seed: int, taken: NDArray[np.bool_]
    ) -> Picks:
        draws = np.asarray(id_uniforms(pool.ids, seed), np.float64)
        scores = self._scores(pool, band.score, draws)
        wanted = draws if band.score == "random" else band.wanted(scores, draws)
        indices = highest(np.where(taken, -np.inf, wanted), count, pool, seed)
        reasons = tuple({"by": band.score, "value": float(scores[i])} for i in indices)
        return Picks(indices, wanted[indices].astype(np.float32), reasons)

    def _scores(
        self, pool: Pool, name: ScoreName, draws: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        budget = self.memory_budget_mb
        if name == "random":
            return draws
        kind = {"entropy": Entropy, "confidence": LeastConfidence, "margin": Margin}[name]
        strategy = kind(aggregate=self.aggregate, memory_budget_mb=budget)
        scores: NDArray[np.float64] = strategy.score(pool).astype(np.float64)
        # Our scores are high where a model is unsure, those of the files where it is sure
        return scores if name == "entropy" else 1 - scores

"""BADGE: k-means++ in the space of gradients of the last layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.data.id_hash import canonical_order
from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import QueryStrategy, in_hash_order
from allencv_al.selection.strategies.shared.distances import block_rows, squared_norms

_PROPOSALS = 32  # drawn at a time; their distances are one product
# Rough speeds: they only decide when a pass over the pool is cheaper than more rejections
_PROPOSALS_PER_SECOND = 1e4
_NUMBERS_PER_SECOND = 4e8
_SAME = 1e-12  # of the squared lengths: below it a squared distance is rounding


@QueryStrategy.register("badge")
class Badge(QueryStrategy):
    """Draws items whose gradients are large and differ, by k-means++ in the space of gradients.

    BADGE: Ash et al. 2020, arXiv 1906.03671. The gradient of an item is that of the loss by the
    last layer's weights, if the class that the model predicts were right: (p - onehot) ⊗ embedding.
    The item with the longest gradient is picked first; each further one is drawn with probability
    proportional to its squared distance from the nearest picked gradient. Labeled items are
    ignored. Needs `logits` and `embeddings`.

    Gradients are never computed, because their inner products factorize. Items are proposed by
    outdated weights and then accepted or rejected, which draws exactly from the distribution of the
    plain algorithm. Items whose gradients differ by less than a millionth of their length count as
    duplicates, drawn when nothing else is left. The score is the distance from the nearest picked
    gradient, for the first pick the length of its own.

    Args:
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value.
    """

    needs = frozenset({"logits", "embeddings"})

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        logits, embeddings = pool.logits, pool.embeddings
        assert logits is not None and embeddings is not None
        columns = logits.shape[1] + embeddings.shape[1]
        gradients = Gradients(logits, embeddings, block_rows(self.memory_budget_mb, columns))
        first = _longest(gradients.squared_norms, pool, seed)
        draw = KMeansPlusPlus(gradients, first, canonical_order(pool.ids, seed), seed)
        while len(draw.picked) < count and draw.extend(count):
            pass
        left = np.setdiff1d(np.arange(len(pool)), draw.picked)
        missing = count - len(draw.picked)
        if missing:
            draw.picked += in_hash_order(left, pool, seed)[:missing].tolist()
            draw.distances += [0.0] * missing
            draw.nearest += [-1] * missing
        reasons: list[dict[str, object]] = [{"gradient_norm": float(np.sqrt(draw.distances[0]))}]
        for distance, near in zip(draw.distances[1:], draw.nearest[1:], strict=True):
            reasons.append(
                {"nearest_selected": pool.ids[draw.picked[near]], "distance": distance**0.5}
                if near >= 0
                else {"duplicate": True}
            )
        scores = np.sqrt(np.asarray(draw.distances)).astype(np.float32)
        return Picks(np.asarray(draw.picked, np.int64), scores, tuple(reasons))


class Gradients:
    """The gradients of the last layer, as factors.

    <a ⊗ h, a' ⊗ h'> = <a, a'><h, h'>, so distances need no gradient. All in float64, which
    keeps the differences of features far from the origin.

    Args:
        logits: `[N, C]`.
        embeddings: `[N, D]`.
        step: Rows per block.
    """

    def __init__(self, logits: FloatArray, embeddings: FloatArray, step: int) -> None:
        self._logits = logits
        self._embeddings = embeddings
        self.step = step
        self.columns = logits.shape[1] + embeddings.shape[1]
        self.squared_norms = np.empty(len(logits))
        for part in slices(len(logits), step):
            errors, features = self.factors(part)
            self.squared_norms[part] = squared_norms(errors) * squared_norms(features)

    def __len__(self) -> int:
        return len(self.squared_norms)

    def factors(
        self, index: slice | NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return p - onehot of the predicted class, and the features, in float64."""
        logits = np.asarray(self._logits[index], dtype=np.float64)
        predicted = logits.argmax(axis=1)
        errors = logits - logits.max(axis=1, keepdims=True)
        np.exp(errors, out=errors)
        errors /= errors.sum(axis=1, keepdims=True)
        rows = np.arange(len(errors))
        # 1 - p as the sum of the others: no cancellation where the model is certain
        errors[rows, predicted] = 0
        errors[rows, predicted] = -errors.sum(axis=1)
        return errors, np.asarray(self._embeddings[index], dtype=np.float64)

    def squared_distances(
        self, index: slice | NDArray[np.int64], others: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the squared distances of some gradients from others, 0 for duplicates."""
        errors, features = self.factors(index)
        other_errors, other_features = self.factors(others)
        products = features @ other_features.T
        products *= errors @ other_errors.T
        products *= -2
        sums = self.squared_norms[index][:, None] + self.squared_norms[others]
        products += sums
        sums *= _SAME
        products[products <= sums] = 0
        return np.asarray(products)


class KMeansPlusPlus:
    """Draws items with probability proportional to the squared distance from the nearest picked.

    Squared distances only shrink, so that old ones are an envelope: an item proposed by them and
    accepted with probability (distance now) / (distance then) is a draw from those of now. The
    first envelope is the triangle inequality and needs no products at all; when so many proposals
    were rejected that a pass over the pool had been cheaper, one brings the envelope up to date.

    Args:
        gradients: The gradients of the pool.
        first: The first pick.
        order: The order in which the pool is walked, `[N]`.
        seed: Gives the random numbers.
    """

    def __init__(
        self, gradients: Gradients, first: int, order: NDArray[np.int64], seed: int
    ) -> None:
        self._gradients = gradients
        self._order = order
        self._generator = np.random.default_rng(seed % 2**64)
        lengths = np.sqrt(gradients.squared_norms)
        self._envelope = (lengths + lengths[first]) ** 2
        self._envelope[first] = 0  # a pick is never proposed again
        self._cumulated = np.cumsum(self._envelope[order])
        self._up_to_date = 0
        self._rejected = 0
        pass_seconds = len(gradients) * gradients.columns / _NUMBERS_PER_SECOND
        self.patience = max(2 * _PROPOSALS, pass_seconds * _PROPOSALS_PER_SECOND)
        self.picked = [first]
        self.distances = [float(gradients.squared_norms[first])]
        self.nearest = [-1]

    def extend(self, count: int) -> bool:
        """Make some proposals for up to `count` picks; return False if nothing is left to draw."""
        if self._rejected > self.patience:
            self._bring_up_to_date()
        total = self._cumulated[-1]
        if not total > 0:
            return False
        uniforms = self._generator.random((2, _PROPOSALS))
        places = np.searchsorted(self._cumulated, uniforms[0] * total, side="right")
        proposed = self._order[np.minimum(places, len(self._order) - 1)]
        known = len(self.picked)
        others = np.concatenate([self.picked, proposed])
        distances = self._gradients.squared_distances(proposed, others)
        columns = list(range(known))
        for row, item in enumerate(proposed.tolist()):
            now = distances[row, columns]
            near = int(now.argmin())
            if uniforms[1, row] * self._envelope[item] < now[near]:
                self.picked.append(item)
                self.distances.append(float(now[near]))
                self.nearest.append(near)
                columns.append(known + row)
                if len(self.picked) == count:
                    break
            else:
                self._rejected += 1
        return True

    def _bring_up_to_date(self) -> None:
        gradients = self._gradients
        new = np.asarray(self.picked[self._up_to_date :], np.int64)
        for part in slices(len(gradients), gradients.step):
            for some in slices(len(new), 1024):
                least = gradients.squared_distances(part, new[some]).min(axis=1)
                np.minimum(self._envelope[part], least, out=self._envelope[part])
        self._envelope[self.picked] = 0
        self._cumulated = np.cumsum(self._envelope[self._order])
        self._up_to_date = len(self.picked)
        self._rejected = 0


def _longest(norms: NDArray[np.float64], pool: Pool, seed: int) -> int:
    """Return the item with the largest norm; a hash of the id breaks ties."""
    candidates = np.flatnonzero(norms >= norms.max() * (1 - _SAME))
    return int(in_hash_order(candidates, pool, seed)[0])

"""Metrics of a round's model on the pool: accuracy, stability and coverage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.rounds.round_metrics import PREDICTING, predicted_texts
from allencv_al.active_learning.settings import ActiveLearningSettings
from allencv_al.common.files.atomic_file import write_json
from allencv_al.metrics.scores import cohen_kappa
from allencv_al.selection.pool.pool_outputs import PoolOutputs
from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray
from allencv_al.training.datasets import texts_of

PREDICTIONS_NAME = "predictions.json"
_BLOCK_FLOATS = 1 << 24  # 64 MB of distances at a time
# Candidates for the farthest row: at most this many, within this share of the largest estimate
_EXACT_AMONG = 64
_INEXACT = 1e-3


class PoolFigures:
    """Computes the metrics of each round's outputs for the pool.

    Args:
        learner: The learner that computes the outputs.
        settings: The requested figures.
        folder_of: The folder of a round, where its predictions are kept for the next.
    """

    def __init__(
        self,
        learner: Learner,
        settings: ActiveLearningSettings,
        folder_of: Callable[[int], Path],
    ) -> None:
        self._learner = learner
        self._settings = settings
        self._folder_of = folder_of
        self._coverage = CoverageRadius()

    def needs(self) -> set[str]:
        """Return the outputs that the metrics need."""
        needs: set[str] = set()
        settings = self._settings
        if settings.evaluate_pool or settings.audit is not None or self._needs_agreement():
            # Pixels and boxes have none of them: their models measure themselves on test images
            needs |= PREDICTING.intersection(self._learner.task.outputs)
        if settings.evaluate_pool and self._learner.offers("embeddings"):
            needs.add("embeddings")
        return needs

    def measure(
        self,
        round: int,
        labels: Mapping[str, str],
        outputs: PoolOutputs,
        labeled: Callable[[], PoolOutputs],
    ) -> dict[str, float | None]:
        """Return the metrics that the outputs allow, by name.

        Args:
            round: The round.
            labels: Text of the label by item id.
            outputs: The outputs of the model for the pool.
            labeled: Gives the embeddings of the labeled items.
        """
        metrics: dict[str, float | None] = {}
        names = predicted_texts(outputs, self._learner.class_names(), self._learner.task)
        if names is not None:
            predicted = dict(zip(outputs.ids, names, strict=True))
            metrics["pool_accuracy"] = self._accuracy(labels, predicted)
            metrics["agreement"] = self._agreement(round, predicted)
        if outputs.embeddings is not None:
            if not self._learner.embeddings_stay():
                self._coverage = CoverageRadius()  # distances of another model do not carry over
            metrics["coverage_radius"] = self._coverage.radius(outputs, labeled())
        return metrics

    def _accuracy(self, labels: Mapping[str, str], predicted: Mapping[str, str]) -> float | None:
        known = self._settings.annotator.needs_known_labels and self._learner.knows_labels()
        if not (self._settings.evaluate_pool and known):
            return None
        truth = texts_of(self._learner.items, self._learner.task)
        return pool_accuracy(truth, labels, predicted)

    def _agreement(self, round: int, predicted: Mapping[str, str]) -> float | None:
        """Return the kappa with the round before, and store the predictions for the next."""
        if not self._needs_agreement():
            return None
        write_json(self._folder_of(round) / PREDICTIONS_NAME, predicted)
        before = self._folder_of(round - 1) / PREDICTIONS_NAME
        if not before.exists():  # the first round, or a folder that a user removed
            return None
        earlier: dict[str, str] = json.loads(before.read_text(encoding="utf-8"))
        both = [id for id in predicted if id in earlier]
        if not both:
            return None
        kappa = cohen_kappa([predicted[id] for id in both], [earlier[id] for id in both])
        return 1.0 if kappa is None else kappa  # both name one and the same class throughout

    def _needs_agreement(self) -> bool:
        return any(rule.needs_agreement for rule in self._settings.stop)


def pool_accuracy(
    truth: Mapping[str, str], labels: Mapping[str, str], predicted: Mapping[str, str]
) -> float | None:
    """Return the share of items whose label, or else prediction, is right.

    Args:
        truth: The true class of each item; items that are not named do not count.
        labels: Their labels.
        predicted: Their predicted classes.
    """
    said = {id: labels.get(id, predicted.get(id)) for id in truth}
    known = [said[id] == label for id, label in truth.items() if said[id] is not None]
    return float(np.mean(known)) if known else None


class CoverageRadius:
    """Distance of the pool from the labeled items, updated with each label.

    The coverage radius is the distance of the item that is farthest from its nearest labeled one:
    what k-center makes small (Sener & Savarese, ICLR 2018). Only labels that are new since the last
    call are compared with the pool, so each costs one product of matrices. That holds as long as
    the embedding of an item stays the same.
    """

    def __init__(self) -> None:
        self._ids: Sequence[str] = ()
        self._squares: NDArray[np.float64] = np.empty(0)
        self._taken: frozenset[str] = frozenset()

    def radius(self, pool: PoolOutputs, labeled: PoolOutputs) -> float | None:
        """Return the radius over the pool; None where it, or what is labeled, is empty.

        Args:
            pool: The items that are not labeled, with their `embeddings` `[N, D]`.
            labeled: The labeled items, with theirs, `[L, D]`.
        """
        if not len(pool) or not len(labeled):
            return None
        assert pool.embeddings is not None
        assert labeled.embeddings is not None
        squares = self._known_squares(pool.ids, labeled.ids)
        new = [place for place, id in enumerate(labeled.ids) if id not in self._taken]
        if new:
            batch = labeled.embeddings[np.asarray(new, np.int64)]
            np.minimum(squares, _nearest_squares(pool.embeddings, batch), out=squares)
        self._ids, self._squares, self._taken = tuple(pool.ids), squares, frozenset(labeled.ids)
        return _exact_radius(pool.embeddings, squares, labeled.embeddings)

    def _known_squares(self, pool: Sequence[str], labeled: Sequence[str]) -> NDArray[np.float64]:
        """Return the squared distances to the labeled items of earlier calls."""
        known = {id: place for place, id in enumerate(self._ids)}
        places = [known.get(id, -1) for id in pool]
        # Items that came into the pool, or an undone label: start again
        if -1 in places or not self._taken <= set(labeled):
            self._taken = frozenset()
            return np.full(len(pool), np.inf)
        return self._squares[np.asarray(places, np.int64)]


def _exact_radius(
    embeddings: FloatArray, squares: NDArray[np.float64], labeled: FloatArray
) -> float:
    """Return the largest distance of a row to its nearest labeled row, by float64 differences.

    So the last digits do not depend on the batches in which labels came, as those of float32
    products do: a killed and recovered run writes the same curve.

    Args:
        embeddings: Those of the pool, `[N, D]`.
        squares: About how far each is from its nearest labeled one, squared, `[N]`.
        labeled: The embeddings of what is labeled, `[L, D]`.
    """
    far = np.argsort(-squares, kind="stable")[:_EXACT_AMONG]
    far = far[squares[far] >= squares[far[0]] * (1 - _INEXACT)]
    targets = np.asarray(labeled, np.float64)
    rows = np.asarray(embeddings[far], np.float64)
    return float(np.sqrt(max(((targets - row) ** 2).sum(axis=1).min() for row in rows)))


def _nearest_squares(embeddings: FloatArray, batch: FloatArray) -> NDArray[np.float64]:
    """Return the squared distance of each row to the nearest of the batch, `[N]`."""
    center = np.asarray(batch, np.float32).mean(axis=0)
    targets = np.asarray(batch, np.float32) - center  # near the origin, squares cancel less
    target_squares = (targets.astype(np.float64) ** 2).sum(axis=1)
    nearest = np.empty(len(embeddings))
    for part in slices(len(embeddings), _BLOCK_FLOATS // max(len(targets), targets.shape[1])):
        rows = np.asarray(embeddings[part], np.float32) - center
        squares = np.einsum("nd,nd->n", rows, rows)
        distances = squares[:, None] - 2 * (rows @ targets.T) + target_squares
        nearest[part] = np.maximum(distances.min(axis=1), 0)
    return nearest

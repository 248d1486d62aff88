"""Figures of what a round's model makes of the pool: how right, how stable, how near to labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.rounds.round_metrics import (
    Coverage,
    pool_accuracy,
    predicted_classes,
)
from allencv_al.active_learning.settings import ActiveLearningSettings
from allencv_al.active_learning.stop_rules.stable_predictions import cohen_kappa
from allencv_al.common.files.atomic_file import write_json
from allencv_al.selection.pool.pool_outputs import PoolOutputs

PREDICTIONS_NAME = "predictions.json"


class PoolFigures:
    """Measures each round's outputs for the pool.

    Args:
        learner: Whose outputs they are.
        settings: Which figures are wanted.
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
        self._coverage = Coverage()

    def needs(self) -> set[str]:
        """Return the outputs that the figures are made of."""
        needs = set()
        if self._settings.evaluate_pool or self._needs_agreement():
            needs.add("logits")
        if self._settings.evaluate_pool and self._learner.offers("embeddings"):
            needs.add("embeddings")
        return needs

    def measure(
        self,
        round: int,
        labels: Mapping[str, str],
        outputs: PoolOutputs,
        labeled: Callable[[], PoolOutputs],
    ) -> dict[str, float | None]:
        """Return the figures, by name, of what there are outputs for.

        Args:
            round: The round.
            labels: Class name by item id.
            outputs: What the model makes of the pool.
            labeled: Gives the embeddings of the labeled items.
        """
        metrics: dict[str, float | None] = {}
        if outputs.logits is not None:
            names = predicted_classes(outputs.logits, self._learner.class_names())
            predicted = dict(zip(outputs.ids, names, strict=True))
            metrics["pool_accuracy"] = self._accuracy(labels, predicted)
            metrics["agreement"] = self._agreement(round, predicted)
        if outputs.embeddings is not None:
            if not self._learner.embeddings_stay():
                self._coverage = Coverage()
            metrics["coverage_radius"] = self._coverage.radius(outputs, labeled())
        return metrics

    def _accuracy(self, labels: Mapping[str, str], predicted: Mapping[str, str]) -> float | None:
        known = self._settings.annotator.needs_known_labels and self._learner.knows_labels()
        if not (self._settings.evaluate_pool and known):
            return None
        truth = {item.id: item.label for item in self._learner.items if item.label is not None}
        return pool_accuracy(truth, labels, predicted)

    def _agreement(self, round: int, predicted: Mapping[str, str]) -> float | None:
        """Return the kappa with the round before, and keep the predictions for the next."""
        if not self._needs_agreement():
            return None
        write_json(self._folder_of(round) / PREDICTIONS_NAME, predicted)
        before = self._folder_of(round - 1) / PREDICTIONS_NAME
        if not before.exists():
            return None
        earlier: dict[str, str] = json.loads(before.read_text(encoding="utf-8"))
        both = [id for id in predicted if id in earlier]
        if not both:
            return None
        now = np.asarray([predicted[id] for id in both])
        return cohen_kappa(now, np.asarray([earlier[id] for id in both]))

    def _needs_agreement(self) -> bool:
        return any(rule.needs_agreement for rule in self._settings.stop)

"""The audit of a run: images that measure its models and are never trained on."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Annotated

import numpy as np
from annotated_types import Ge, Interval

from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.rounds.round_metrics import PREDICTING, confidences, predicted_texts
from allencv_al.active_learning.rounds.round_record import AUDIT_METRICS
from allencv_al.common.config.registrable import FromParams
from allencv_al.common.errors import ConfigurationError
from allencv_al.labels.audit_sample import AuditStore, copies_of_images, is_audit
from allencv_al.labels.database import Database
from allencv_al.labels.label_store import OF_DATA, UNTOLD, LabelEvent, LabelKind
from allencv_al.labels.run_database import Query
from allencv_al.metrics.accuracy_interval import (
    AccuracyEstimate,
    mean_confidence,
    sample_accuracy,
)
from allencv_al.selection.pool.pool_outputs import PoolOutputs

logger = logging.getLogger(__name__)

_REASON = {"drawn": "at random"}  # on the page: it must not tell more, or it would not be blind
# What a strategy leaves in the pool is easier than what it took. Above this share of chosen images
# the mean confidence of the rest raised the estimate by 2 to 4 points (docs/results/audit.md)
_MOST_CHOSEN = 0.1


class AuditSample(FromParams):
    """Random images of the pool that are labeled to measure the model, and never trained on.

    They are asked for with the first query, without predictions, and give the accuracy with an
    interval in each later round. They count toward the budget. An image that was drawn stays in the
    sample; a larger `size` in a resumed run adds some, also among images that were trained on until
    then, and images that come into the pool later join in proportion.

    Args:
        size: Number of images. 50 give an interval of about 17 points at 90 %, 100 of 12, 400 of 6.
        level: Probability with which the interval contains the accuracy.
    """

    def __init__(
        self,
        size: Annotated[int, Ge(1)],
        level: Annotated[float, Interval(gt=0, lt=1)] = 0.95,
    ) -> None:
        self.size = size
        self.level = level


class RunAudit:
    """The audit sample of a run: which images it has, and what they say about a model.

    Args:
        learner: The learner, whose items are the pool.
        settings: The block `audit`; None if the run draws none. Images that the data marks with
            `audit` in the column `use` are audited in either case.
        database: The database of the run.
        seed: Seed of the draw.
    """

    def __init__(
        self, learner: Learner, settings: AuditSample | None, database: Database, seed: int
    ) -> None:
        self._learner = learner
        self._settings = settings
        self._store = AuditStore(database)
        self._seed = seed
        self._candidates: list[str] = []
        self.ids: frozenset[str] = frozenset()
        self.held_out: frozenset[str] = frozenset()
        """The sample and byte-equal copies of its images; none is trained on or asked for."""

    def draw(self, events: Mapping[str, LabelEvent], trained: bool, starts_anew: bool) -> None:
        """Draw the sample, or extend that of an earlier process.

        Args:
            events: The label event in force by id.
            trained: Whether the run has trained a model.
            starts_anew: Whether each round's model starts from weights that saw no label.

        Raises:
            ConfigurationError: The sample would hold images that the weights have learned, or leave
                none to learn from.
        """
        if self._settings is not None and not self._learner.knows_labels():
            raise ConfigurationError(
                "active_learning.audit: the pipeline keeps the labels, so nothing can be compared "
                "with them; leave it out, or let the pipeline return the labels"
            )
        given = [item.id for item in self._learner.items if is_audit(item)]
        self._store.add(given)
        # Labels that come with the data were not chosen at random, nor by this run
        self._candidates = [
            item.id
            for item in self._learner.items
            if item.id in given or events.get(item.id) is None or not _is_of_data(events[item.id])
        ]
        if self._settings is not None:
            count, size = len(self._candidates), self._settings.size
            # Before the draw: what was drawn stays in the sample, also if `size` is corrected
            if 0 < count <= size and events.keys() <= set(self._candidates):
                raise ConfigurationError(
                    f"active_learning.audit.size: expected less than the {count} images of the "
                    f"pool, found {size}, which leaves none to learn from"
                )
            new = self._store.draw(self._candidates, self._settings.size, self._seed)
            learned = [id for id in new if id in events]
            if learned and trained and not starts_anew:
                raise ConfigurationError(
                    f"active_learning.audit: {len(learned)} images of the larger sample are in the "
                    'weights that rounds start from; set active_learning.retrain to "cold"'
                )
            if new:
                logger.info("audit: drew %d of %d images", len(new), len(self._candidates))
        self.ids = frozenset(self._store.ids())
        self.held_out = self.ids | copies_of_images(self._learner.items, self.ids).keys()
        if len(self.held_out) > len(self.ids):
            logger.info(
                "audit: %d copies of its images are not asked for",
                len(self.held_out) - len(self.ids),
            )

    def queries(self, answered: Collection[str], first_rank: int, most: int) -> list[Query]:
        """Return the images of the sample that have no answer yet, to be asked for.

        Args:
            answered: The ids with a label event in force.
            first_rank: The rank of the first.
            most: Maximal number of images.
        """
        items = [item.id for item in self._learner.items if item.id in self.ids]
        waiting = [id for id in items if id not in answered][:most]
        return [Query(first_rank + place, id, 0.0, _REASON) for place, id in enumerate(waiting)]

    def training_labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Return the labels without those of the sample and of copies of its images."""
        return {id: label for id, label in labels.items() if id not in self.held_out}

    def measure(
        self, events: Mapping[str, LabelEvent], pool: PoolOutputs
    ) -> dict[str, float | None]:
        """Return the metrics of the current model on the sample, and without it its confidence.

        Args:
            events: The label event in force by id.
            pool: The outputs of the model for the pool.
        """
        found_sure = confidences(pool)
        sure = None if found_sure is None else np.asarray(found_sure)
        found = self._estimate(events, sure)
        if found is not None:
            values = (found.value, found.low, found.high, float(found.labels))
            return dict(zip(AUDIT_METRICS, values, strict=True))
        if self._learner.measures() or sure is None:
            return {}
        return {"mean_confidence": mean_confidence(sure)}

    def _estimate(
        self, events: Mapping[str, LabelEvent], sure: np.ndarray | None
    ) -> AccuracyEstimate | None:
        answered = [id for id in self.ids if id in events]
        truth = {
            id: label
            for id in sorted(answered)
            if (label := events[id].label) is not None and label != UNTOLD
        }
        task = self._learner.task
        needs = PREDICTING.intersection(task.outputs)
        outputs = self._learner.infer(list(truth), needs, None) if truth and needs else None
        if outputs is None or not outputs.ids:
            return None
        names = predicted_texts(outputs, self._learner.class_names(), task)
        if names is None:
            return None
        right = [name == truth[id] for name, id in zip(names, outputs.ids, strict=True)]
        # Images without a label (unsure, unreadable) are left out of the population in proportion
        population = round(len(self._candidates) * len(right) / len(answered))
        chosen = sum(
            id in events and events[id].kind is LabelKind.LABEL and id not in self.held_out
            for id in self._candidates
        )
        own = confidences(outputs)
        usable = chosen <= _MOST_CHOSEN * len(self._candidates)
        return sample_accuracy(
            right,
            max(population, len(right)),
            own if usable else None,
            sure if usable else None,
            self._settings.level if self._settings is not None else 0.95,
        )


def _is_of_data(event: LabelEvent) -> bool:
    return event.source == OF_DATA

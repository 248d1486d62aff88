"""The loop: train, test, infer, select, wait for labels, take them in; and again."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from allencv_al.active_learning.annotators.base import LabelRequest, WaitingForLabels
from allencv_al.active_learning.id_hash import canonical_order
from allencv_al.active_learning.label_store import LabelKind, LabelStore, NewLabel
from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.pool_outputs import PoolOutputs
from allencv_al.active_learning.round_metrics import (
    Coverage,
    class_entropy,
    measure_test,
    pool_accuracy,
    predicted_classes,
    redundancy,
    top_probabilities,
)
from allencv_al.active_learning.round_record import RoundRecord
from allencv_al.active_learning.round_records import read_record, read_records
from allencv_al.active_learning.round_store import Query, RoundStore, State
from allencv_al.active_learning.run_database import RunDatabase
from allencv_al.active_learning.selection import Selection
from allencv_al.active_learning.settings import ActiveLearningSettings
from allencv_al.active_learning.stop_rules.stable_predictions import cohen_kappa
from allencv_al.active_learning.strategies.base import QueryStrategy
from allencv_al.common.atomic_file import write_json
from allencv_al.common.errors import DataError
from allencv_al.common.seeding import item_seed
from allencv_al.data.instance import Instance

logger = logging.getLogger(__name__)

_MEGABYTE = 2**20
_PREDICTIONS = "predictions.json"
# What a strategy needs, and what of the model's outputs that is
_OUTPUT_OF = {
    "logits": "logits",
    "mc_logits": "mc_logits",
    "embeddings": "embeddings",
    "labeled_embeddings": "embeddings",
    "target_mc_logits": "mc_logits",
}


def _nothing(*_: Any) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class LoopHooks:
    """What others see of a running loop.

    Args:
        on_round: Called with the record of each round that is measured, and of the last.
        on_point: Called with the name of each point between two writes, `TRAIN begun`, `TRAIN
            done` (not recorded yet), `TRAIN recorded` ...; what it raises ends the loop there.
        on_pause: Called before the loop ends, or stops to wait for labels.
    """

    on_round: Callable[[RoundRecord], None] = _nothing
    on_point: Callable[[str], None] = _nothing
    on_pause: Callable[[], None] = _nothing


@dataclass
class _Model:
    """What is in memory of the trained model: nothing that could not be computed again."""

    round: int | None = None
    outputs: PoolOutputs | None = None
    needs: frozenset[str] = field(default_factory=frozenset)


class ActiveLearningLoop:
    """Runs the rounds of one experiment, each state once, from wherever the run has come to.

    Every state is recorded in the run's database together with what it brought, and begins with
    nothing but what is recorded: after a kill at any point the same command goes on, and ends with
    the same picks, labels and figures.

    Args:
        learner: Trains, tests and infers.
        settings: How labels are chosen.
        database: The run's.
        folder: The run's.
        seed: Decides what strategies leave to chance.
        hooks: Who else wants to know.
    """

    def __init__(
        self,
        learner: Learner,
        settings: ActiveLearningSettings,
        database: RunDatabase,
        folder: Path,
        seed: int,
        hooks: LoopHooks | None = None,
    ) -> None:
        self.learner = learner
        self.settings = settings
        self.folder = folder
        self.rounds = RoundStore(database)
        self.labels = LabelStore(database)
        self._seed = seed
        self._hooks = hooks or LoopHooks()
        self._items = {item.id: item for item in learner.items}
        self._model = _Model()
        self._coverage = Coverage()

    def run(self) -> list[RoundRecord]:
        """Go on until the run is done, and return its rounds.

        Raises:
            WaitingForLabels: Somebody must give labels first; the same call goes on afterwards.
        """
        self.learner.check(self.settings.strategy.needs)
        self._take_known_labels()
        self.learner.set_classes(set(self.labels.labels().values()))
        round = self._open_round()
        try:
            while self._go_through(round):
                round += 1
        except WaitingForLabels:
            self._hooks.on_pause()
            raise
        self._hooks.on_pause()
        return self.records()

    def records(self) -> list[RoundRecord]:
        """Return the rounds so far."""
        return read_records(self.rounds, self.labels, self.learner.class_names())

    def items_of(self, ids: Sequence[str]) -> list[Instance]:
        """Return the items of some ids.

        Raises:
            DataError: Some are no longer there; they are named.
        """
        gone = [id for id in ids if id not in self._items]
        if gone:
            raise DataError(
                f"{len(gone)} items of this run are no longer in its data: {', '.join(gone[:5])}"
            )
        return [self._items[id] for id in ids]

    # -- A round ------------------------------------------------------------------------------

    def _open_round(self) -> int:
        last = self.rounds.last()
        if last is None:
            return 0
        round, state = last
        return round + 1 if state is State.INGEST else round

    def _go_through(self, round: int) -> bool:
        """Do what is left of a round; say whether there is another one."""
        labels = self.labels.labels()
        if labels:
            self._train(round, labels)
            self._test(round)
            self._infer(round, labels)
        reason = self._reason_to_stop(round, labels)
        if reason is not None:
            if not self.rounds.is_finished(round, State.DONE):
                self.rounds.finish(round, State.DONE, {"reason": reason})
                self._report(round)
                logger.info("done: %s", reason)
            return False
        self._select(round, labels)
        self._ingest(round)
        self._report(round)
        return True

    def _train(self, round: int, labels: dict[str, str]) -> None:
        if self.rounds.is_finished(round, State.TRAIN):
            return
        self._hooks.on_point("TRAIN begun")
        started = time.perf_counter()
        folder = self._round_folder(round)
        folder.mkdir(parents=True, exist_ok=True)
        metrics = self.learner.train(round, labels, folder)
        self._model = _Model(round)
        self._hooks.on_point("TRAIN done")
        plain = {key: value for key, value in metrics.items() if isinstance(value, float | int)}
        detail = {"labels": len(labels), "seconds": time.perf_counter() - started}
        self.rounds.finish(round, State.TRAIN, {**detail, "training": plain})
        self._hooks.on_point("TRAIN recorded")

    def _test(self, round: int) -> None:
        if self.rounds.is_finished(round, State.TEST):
            return
        self._have_model(round)
        self._hooks.on_point("TEST begun")
        started = time.perf_counter()
        outputs = self.learner.test()
        detail: dict[str, Any] = {"metrics": {}, "unreadable": {}}
        if outputs is not None and len(outputs.labels):
            metrics, confusion = measure_test(outputs)
            unreadable = dict(outputs.unreadable)
            detail = {"metrics": metrics, "confusion_matrix": confusion, "unreadable": unreadable}
        detail["classes"] = self.learner.class_names()
        detail["seconds"] = time.perf_counter() - started
        self._hooks.on_point("TEST done")
        self.rounds.finish(round, State.TEST, detail)
        self._hooks.on_point("TEST recorded")

    def _infer(self, round: int, labels: dict[str, str]) -> None:
        if self.rounds.is_finished(round, State.INFER):
            return
        self._hooks.on_point("INFER begun")
        started = time.perf_counter()
        outputs = self._outputs(round, labels, self._needs_of_round(labels))
        metrics: dict[str, float | None] = {}
        if outputs.logits is not None:
            names = self.learner.class_names()
            predicted = dict(
                zip(outputs.ids, predicted_classes(outputs.logits, names), strict=True)
            )
            metrics["pool_accuracy"] = self._pool_accuracy(labels, predicted)
            metrics["agreement"] = self._agreement(round, predicted)
        if outputs.embeddings is not None:
            batches = self._labeled_batches(round)
            metrics["coverage_radius"] = self._coverage.radius(
                outputs.ids, outputs.embeddings, batches
            )
        detail = {
            "metrics": metrics,
            "pool_size": len(outputs.ids),
            "unreadable": dict(outputs.unreadable),
            "seconds": time.perf_counter() - started,
        }
        self._hooks.on_point("INFER done")
        self.rounds.finish(round, State.INFER, detail)
        self._hooks.on_point("INFER recorded")

    def _select(self, round: int, labels: dict[str, str]) -> None:
        if self.rounds.is_finished(round, State.SELECT):
            return
        self._hooks.on_point("SELECT begun")
        strategy = self._strategy(labels)
        selection, outputs = self._choose(round, labels, strategy)
        chosen = outputs.rows(selection.ids)
        detail: dict[str, Any] = {
            "seconds": selection.seconds,
            "peak_mb": selection.peak_bytes / _MEGABYTE,
            "pool_size": len(outputs.ids),
            "metrics": {},
        }
        if chosen.embeddings is not None:
            detail["metrics"]["redundancy"] = redundancy(chosen.embeddings)
        if chosen.logits is not None and labels:
            names = self.learner.class_names()
            detail["predicted"] = predicted_classes(chosen.logits, names)
            detail["probabilities"] = top_probabilities(chosen.logits)
        queries = [
            Query(rank, id, float(score), reason)
            for rank, (id, score, reason) in enumerate(
                zip(selection.ids, selection.scores, selection.reasons, strict=True)
            )
        ]
        self._hooks.on_point("SELECT done")
        self.rounds.finish(round, State.SELECT, detail, queries)
        self._hooks.on_point("SELECT recorded")

    def _ingest(self, round: int) -> None:
        """Ask for labels until they are there, and take them in."""
        if self.rounds.is_finished(round, State.INGEST):
            return
        self._hooks.on_point("WAITING_FOR_LABELS begun")
        started = time.perf_counter()
        found = self.settings.annotator.annotate(self._request(round))
        seconds = time.perf_counter() - started
        self._hooks.on_point("WAITING_FOR_LABELS done")
        if not self.rounds.is_finished(round, State.WAITING_FOR_LABELS):
            self.rounds.finish(round, State.WAITING_FOR_LABELS, {"seconds": seconds})
        self._hooks.on_point("WAITING_FOR_LABELS recorded")
        given = [label.label for label in found if label.label is not None]
        self.learner.set_classes(set(given))
        counts = {name: given.count(name) for name in sorted(set(given))}
        detail = {
            "batch_classes": counts,
            "metrics": {"batch_class_entropy": class_entropy(counts)},
        }
        self._hooks.on_point("INGEST begun")
        self.rounds.finish(round, State.INGEST, detail, labels=found)
        self._hooks.on_point("INGEST recorded")

    # -- Its parts ----------------------------------------------------------------------------

    def _take_known_labels(self) -> None:
        """Record the labels that the data comes with, where no annotator hides them."""
        if self.settings.annotator.needs_known_labels:
            return
        known = {event.id for event in self.labels.events()}
        new = [item for item in self.learner.items if item.label is not None]
        found = [
            NewLabel(item.id, item.label, "dataset", 0, "dataset")
            for item in new
            if item.id not in known
        ]
        if found:
            self.labels.add(found)

    def _strategy(self, labels: dict[str, str]) -> QueryStrategy:
        if labels:
            return self.settings.strategy
        initial = self.settings.initial
        return initial.strategy if initial is not None else QueryStrategy.from_params("random")

    def _query_size(self, labels: dict[str, str]) -> int:
        settings = self.settings
        size = settings.query_size
        if not labels and settings.initial is not None:
            size = settings.initial.size
        return size if settings.budget is None else min(size, settings.budget - len(labels))

    def _reason_to_stop(self, round: int, labels: dict[str, str]) -> str | None:
        budget = self.settings.budget
        if budget is not None and len(labels) >= budget:
            return f"the budget of {budget} labels is spent"
        if not self._pool_ids():
            return "there is nothing left to label"
        if not labels:
            return None
        measured = [record for record in self.records() if record.labels]
        reasons = (rule.reason_to_stop(measured) for rule in self.settings.stop)
        return next((reason for reason in reasons if reason is not None), None)

    def _pool_ids(self) -> list[str]:
        """Return what may be asked for: nobody has said anything of it yet."""
        answered = self.labels.current()
        return [id for id in self._items if id not in answered]

    def _needs_of_round(self, labels: dict[str, str]) -> frozenset[str]:
        """Return the outputs that this round reads, the stop rules and figures included."""
        budget = self.settings.budget
        last = budget is not None and len(labels) >= budget
        needs = set() if last else {_OUTPUT_OF[name] for name in self.settings.strategy.needs}
        if self.settings.evaluate_pool or any(rule.needs_agreement for rule in self.settings.stop):
            needs.add("logits")
        if self.settings.evaluate_pool and self.learner.offers("embeddings"):
            needs.add("embeddings")
        return frozenset(needs)

    def _outputs(self, round: int, labels: dict[str, str], needs: frozenset[str]) -> PoolOutputs:
        """Return the model's outputs for the pool, from memory where they are there."""
        kept = self._model
        if kept.round == round and kept.outputs is not None and needs <= kept.needs:
            return kept.outputs
        if labels:
            self._have_model(round)
        folder = self._round_folder(round) / "outputs"
        outputs = self.learner.infer(self._pool_ids(), needs, folder)
        self._model = _Model(round, outputs, needs)
        return outputs

    def _have_model(self, round: int) -> None:
        """Have the model of this round in memory, as another process may have left it."""
        if self._model.round != round:
            labels = self.labels.labels()
            self.learner.restore(round, labels, self._round_folder(round))
            self._model = _Model(round)

    def _choose(
        self, round: int, labels: dict[str, str], strategy: QueryStrategy
    ) -> tuple[Selection, PoolOutputs]:
        """Return the choice among the items that can be read, and the outputs it was made by."""
        needs = self._needs_of_round(labels) if labels else frozenset(_outputs_for(strategy))
        outputs = self._outputs(round, labels, needs)
        seed = item_seed(self._seed, round, "select") >> 1  # within a signed 64-bit integer
        while True:
            pool = outputs.pool(
                self._labeled_outputs(labels, strategy.needs),
                self._label_indices(labels),
                self._target_outputs(strategy.needs),
            )
            selection = strategy.select(pool, self._query_size(labels), seed)
            bad = set(self.learner.unreadable(selection.ids))
            if not bad:
                return selection, outputs
            outputs = outputs.rows([id for id in outputs.ids if id not in bad])

    def _labeled_outputs(
        self, labels: dict[str, str], needs: Collection[str]
    ) -> PoolOutputs | None:
        if "labeled_embeddings" not in needs or not labels:
            return None
        return self.learner.infer(list(labels), {"embeddings"}, None)

    def _label_indices(self, labels: dict[str, str]) -> np.ndarray[Any, Any]:
        places = {name: index for index, name in enumerate(self.learner.class_names())}
        return np.asarray([places[label] for label in labels.values()], np.int64)

    def _target_outputs(self, needs: Collection[str]) -> PoolOutputs | None:
        if "target_mc_logits" not in needs:
            return None
        ids = list(self._items)
        order = canonical_order(ids, item_seed(self._seed, 0, "target") >> 1)
        chosen = [ids[place] for place in order[: self.settings.target_size].tolist()]
        return self.learner.infer(chosen, {"mc_logits"}, None)

    def _labeled_batches(self, round: int) -> list[Any]:
        """Return the embeddings of the labeled items, by the round that brought them."""
        by_round: dict[int, list[str]] = {}
        for id, event in self.labels.current().items():
            if event.kind is LabelKind.LABEL:
                by_round.setdefault(event.round, []).append(id)
        rounds = [sorted(by_round.get(number, [])) for number in range(round)]
        ids = [id for batch in rounds for id in batch]
        outputs = self.learner.infer(ids, {"embeddings"}, None)
        assert outputs.embeddings is not None
        places = {id: place for place, id in enumerate(outputs.ids)}
        return [
            outputs.embeddings[[places[id] for id in batch if id in places]] for batch in rounds
        ]

    def _pool_accuracy(self, labels: dict[str, str], predicted: dict[str, str]) -> float | None:
        if not (self.settings.evaluate_pool and self.settings.annotator.needs_known_labels):
            return None
        truth = {item.id: item.label for item in self.learner.items if item.label is not None}
        return pool_accuracy(truth, labels, predicted)

    def _agreement(self, round: int, predicted: dict[str, str]) -> float | None:
        """Return the kappa with the round before, and keep the predictions for the next."""
        if not any(rule.needs_agreement for rule in self.settings.stop):
            return None
        write_json(self._round_folder(round) / _PREDICTIONS, predicted)
        before = self._round_folder(round - 1) / _PREDICTIONS
        if not before.exists():
            return None
        earlier: dict[str, str] = json.loads(before.read_text(encoding="utf-8"))
        both = [id for id in predicted if id in earlier]
        if not both:
            return None
        now = np.asarray([predicted[id] for id in both])
        return cohen_kappa(now, np.asarray([earlier[id] for id in both]))

    def _request(self, round: int) -> LabelRequest:
        detail = self.rounds.detail(round, State.SELECT)
        queries = self.rounds.queries(round)
        ids = [query.id for query in queries]
        return LabelRequest(
            round=round,
            items=self.items_of(ids),
            queries=queries,
            classes=self.settings.classes or self.learner.data_classes() or None,
            folder=self.folder,
            predicted=dict(zip(ids, detail.get("predicted", ()), strict=False)),
            probabilities=dict(zip(ids, detail.get("probabilities", ()), strict=False)),
            seen=self.learner.class_names(),
        )

    def _round_folder(self, round: int) -> Path:
        return self.folder / "rounds" / f"{round:04d}"

    def _report(self, round: int) -> None:
        record = read_record(self.rounds, self.labels, round, self.learner.class_names())
        accuracy = record.metrics.get("accuracy")
        logger.info(
            "round %d: %s%d labels%s",
            round,
            "trained on " if record.labels else "",
            record.labels or len(self.labels.labels()),
            "" if accuracy is None else f", accuracy {accuracy:.4f}",
        )
        self._hooks.on_round(record)


def _outputs_for(strategy: QueryStrategy) -> set[str]:
    return {_OUTPUT_OF[name] for name in strategy.needs}


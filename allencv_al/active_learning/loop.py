"""The loop: train, test, infer, select, wait for labels, store them; repeat."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from allencv_al.active_learning.audit_sampling import RunAudit
from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.relabeling import Relabeler
from allencv_al.active_learning.rounds.forecast import forecast_text
from allencv_al.active_learning.rounds.pool_figures import PoolFigures
from allencv_al.active_learning.rounds.round_metrics import (
    class_entropy,
    finite_metrics,
    finite_numbers,
    query_detail,
    test_figures,
)
from allencv_al.active_learning.rounds.round_outputs import RoundOutputs
from allencv_al.active_learning.rounds.round_record import (
    RoundRecord,
    audit_text,
    headline,
    read_record,
    read_records,
)
from allencv_al.active_learning.run_items import RunItems
from allencv_al.active_learning.settings import ActiveLearningSettings
from allencv_al.active_learning.stop_rules.base import first_reason, target_accuracy
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files.atomic_file import make_folder, sweep_temporaries
from allencv_al.common.names import counted
from allencv_al.common.seeding import item_seed
from allencv_al.labels.annotators.base import LabelRequest, WaitingForLabels, checked_answers
from allencv_al.labels.annotators.file import KEPT_NAME
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.run_database import Query, RoundStore, RunDatabase, State
from allencv_al.selection.pool.pool_outputs import PoolOutputs
from allencv_al.selection.selection import Selection, named_reason
from allencv_al.selection.strategies.base import QueryStrategy, outputs_for, selected

logger = logging.getLogger(__name__)

_MEGABYTE = 2**20


def _nothing(*_: Any) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class LoopHooks:
    """Hooks into a running loop.

    Args:
        on_round: Called with the record of each round that is measured, and of the last.
        on_point: Called with the name of each point between two writes, `TRAIN begun`, `TRAIN
            done` (not recorded yet), `TRAIN recorded` ...; what it raises ends the loop there.
        on_pause: Called before the loop ends, or stops to wait for labels.
    """

    on_round: Callable[[RoundRecord], None] = _nothing
    on_point: Callable[[str], None] = _nothing
    on_pause: Callable[[], None] = _nothing


class ActiveLearningLoop:
    """Runs the rounds of one experiment, each state once, and resumes after a kill.

    Every state is recorded in the run's database together with its results, and depends only on
    recorded data: after a kill at any point the same command resumes, and ends with the same picks,
    labels and metrics.

    Args:
        learner: The learner, which trains, tests and infers.
        settings: Settings of the loop.
        database: The database of the run.
        folder: The run directory.
        seed: Seed of the strategies' random choices.
        hooks: Hooks into the loop; may be set later.
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
        self.audit = RunAudit(learner, settings.audit, database, seed)
        self._seed = seed
        self.hooks = hooks or LoopHooks()
        self.is_partial = False  # whether a round may continue with some of its labels
        self._items = RunItems(learner, self.labels, self.audit)
        self._outputs = RoundOutputs(learner, settings.target_size, seed, self._bring_back)
        people = settings.annotator.people
        self._relabeler = Relabeler(settings.relabel, learner, database, self.audit, people)
        self._figures = PoolFigures(learner, settings, self._round_folder)

    def run(self) -> list[RoundRecord]:
        """Run the remaining rounds and return all rounds.

        Raises:
            WaitingForLabels: An annotator must label first; the same call continues afterwards.
            DataError: Labeled items are no longer in the data.
        """
        self.learner.check(self.settings.strategy.needs)
        self._check_trials()
        self._relabeler.check()
        if not self.settings.annotator.needs_known_labels:  # else it reveals them only when asked
            self._items.store_labels_of_data()
        is_cold = self.settings.retrain == "cold"
        self.audit.draw(self.labels.current(), bool(self._trained()), is_cold)
        self._items.of([*self.labels.labels(), *self.asked()])  # raises if some are gone
        round = self._open_round()
        for folder in (self._round_folder(round), *self._round_folder(round).glob("*/")):
            sweep_temporaries(folder)  # of a process that was killed in this round
        try:
            while self._go_through(round):
                round += 1
        except WaitingForLabels:
            self.hooks.on_pause()
            raise
        self.hooks.on_pause()
        return self.records()

    def records(self) -> list[RoundRecord]:
        """Return the rounds so far."""
        return read_records(self.rounds, self.labels, self.learner.class_names())

    def have_last_model(self) -> None:
        """Load the last trained model, if any."""
        if trained := self._trained():
            self._outputs.have_model(trained[-1])

    def asked(self) -> list[str]:
        """Return the queried items without a label, in the order of picking."""
        last = self.rounds.last()
        if last is None or last[1] not in (State.SELECT, State.WAITING_FOR_LABELS):
            return []
        answered = self.labels.current()
        queries = self.rounds.queries(last[0])
        done = self._relabeler.answered(queries, answered)
        return [query.id for query in queries if query.id not in done]

    def missing(self) -> list[str]:
        """Return the labeled or queried items that are no longer in the data."""
        return self._items.gone([*self.labels.labels(), *self.asked()])

    def _check_trials(self) -> None:
        """Refuse a strategy that tries out batches where there is nothing to try them on."""
        initial = self.settings.initial
        strategies = [self.settings.strategy, initial and initial.strategy]
        if not any(strategy and strategy.needs_trials for strategy in strategies):
            return
        if not self.settings.annotator.needs_known_labels or not self.learner.measures():
            raise ConfigurationError(
                "active_learning.strategy: it looks at true labels and test images, so it expects "
                "the annotator ground_truth, and test_data_path or test_fraction"
            )

    # -- A round ------------------------------------------------------------------------------

    def _open_round(self) -> int:
        last = self.rounds.last()
        if last is None:
            # Round 0 trains nothing: it chooses what is labeled first
            return 1 if self._items.training_labels() else 0
        round, state = last
        return round + 1 if state is State.INGEST else round

    def _go_through(self, round: int) -> bool:
        """Finish the round; return whether another follows."""
        if not self.rounds.is_finished(round, State.TRAIN):
            self._relabeler.settle(round)
        labels = self._items.training_labels()
        if self.learner.set_classes(self._items.classes_in(self.labels.labels().values())):
            self._outputs.begin(None)
        chosen = self.rounds.is_finished(round, State.SELECT)
        if chosen:  # a process may have been killed between recording that and this
            self._outputs.drop_files(self._round_folder(round))
        if labels and not chosen:
            self._once(round, State.TRAIN, lambda: self._train(round, labels))
            self._once(round, State.TEST, lambda: self._test(round))
            self._once(round, State.INFER, lambda: self._infer(round, labels))
        reason = self._reason_to_stop(labels)
        detail = None if reason is None else {"reason": reason}
        if detail is None and not chosen:
            detail = self._select(round, labels)
        if detail is not None:
            self._finish(round, detail)
            return False
        if not chosen:
            self._report(round)  # before the loop waits for an annotator
        self._ingest(round)
        return True

    def _finish(self, round: int, detail: dict[str, Any]) -> None:
        is_done = self.rounds.is_finished(round, State.DONE)
        if not is_done:
            self.rounds.finish(round, State.DONE, detail)
        self._outputs.drop_files(self._round_folder(round))
        if is_done:
            return
        self._report(round)
        logger.info("done: %s", detail["reason"])

    def _once(self, round: int, state: State, work: Callable[[], dict[str, Any]]) -> None:
        """Do the work of a state and record the detail it returns, unless it is recorded."""
        if self.rounds.is_finished(round, state):
            return
        self.hooks.on_point(f"{state.name} begun")
        started = time.perf_counter()
        detail = work()
        detail["seconds"] = time.perf_counter() - started
        self.hooks.on_point(f"{state.name} done")
        self.rounds.finish(round, state, detail)
        self.hooks.on_point(f"{state.name} recorded")

    def _train(self, round: int, labels: dict[str, str]) -> dict[str, Any]:
        folder = self._round_folder(round)
        make_folder(folder)
        metrics = self.learner.train(round, labels, folder)
        self._outputs.begin(round)
        return {
            "labels": self._relabeler.spent_on(labels),
            "objects": self._items.objects_in(labels.values()),
            "classes": self.learner.class_names(),
            "training": finite_numbers(metrics),
        }

    def _test(self, round: int) -> dict[str, Any]:
        self._outputs.have_model(round)
        outputs = self.learner.test()
        figures = test_figures(outputs, self.learner.class_names())
        return {
            "metrics": finite_metrics(figures.metrics),
            "confusion_matrix": figures.confusion_matrix,
            "classes": list(figures.classes),
            "unreadable": {} if outputs is None else dict(outputs.unreadable),
        }

    def _infer(self, round: int, labels: dict[str, str]) -> dict[str, Any]:
        outputs, needs = self._outputs_of_pool(round, labels), self._strategy(labels).needs
        metrics = self._figures.measure(
            round, labels, outputs, lambda: self._outputs.of_labeled(labels, needs)
        )
        metrics.update(self.audit.measure(self.labels.current(), outputs))
        return {
            "metrics": finite_metrics(metrics),
            "pool_size": len(outputs.ids),
            "unreadable": dict(outputs.unreadable),
        }

    def _select(self, round: int, labels: dict[str, str]) -> dict[str, Any] | None:
        """Choose and record a query; if nothing can be chosen, return why the run ends instead."""
        self.hooks.on_point("SELECT begun")
        started = time.perf_counter()
        strategy = self._strategy(labels)
        again = self._second_opinions(round, labels)
        selection, outputs = self._choose(round, labels, strategy, len(again))
        if not selection.ids and not again:
            left = counted(len(self._items.pool()), "item")
            reason = f"none of the {left} that are left can be read"
            return {"reason": reason, "unreadable": dict(outputs.unreadable)}
        names, predicts = self.learner.class_names(), self.learner.predicts_untrained()
        detail = {
            "seconds": time.perf_counter() - started,
            "peak_mb": selection.peak_bytes / _MEGABYTE,
            "pool_size": len(outputs.ids),
            "unreadable": dict(outputs.unreadable),
            "again": len(again),
            **query_detail(
                outputs.rows(selection.ids), names, bool(labels) or predicts, self.learner.task
            ),
        }
        if labels and "predicted" not in detail and self.settings.annotator.shows_drafts:
            self._outputs.have_model(round)
            detail["drafts"] = self.learner.drafts(selection.ids)
        classes = dict(enumerate(names))
        labeled = self._outputs.labeled_ids(labels, strategy.needs)
        queries = [
            Query(rank, id, float(score), named_reason(reason, classes, labeled))
            for rank, (id, score, reason) in enumerate(
                zip(selection.ids, selection.scores, selection.reasons, strict=True)
            )
        ]
        queries += [replace(query, rank=len(queries) + query.rank) for query in again]
        audited = self._audit_queries(len(queries))
        detail["audit"] = len(audited)
        self.hooks.on_point("SELECT done")
        # Recorded before the outputs go: a kill in between is repaired when the round resumes
        self.rounds.finish(round, State.SELECT, detail, [*queries, *audited])
        self._outputs.drop_files(self._round_folder(round))
        self.hooks.on_point("SELECT recorded")
        return None

    def _ingest(self, round: int) -> None:
        """Ask the annotator for labels and store them."""
        if self.rounds.is_finished(round, State.INGEST):
            return
        self.hooks.on_point("WAITING_FOR_LABELS begun")
        started = time.perf_counter()
        request = self._request(round)
        answers = self.settings.annotator.annotate(request)
        found = checked_answers(self.settings.annotator, request, answers)
        seconds = time.perf_counter() - started
        self.hooks.on_point("WAITING_FOR_LABELS done")
        # A kill may have come after this record and before that of INGEST
        if not self.rounds.is_finished(round, State.WAITING_FOR_LABELS):
            self.rounds.finish(round, State.WAITING_FOR_LABELS, {"seconds": seconds})
        self.hooks.on_point("WAITING_FOR_LABELS recorded")
        given = {label.id: label.label for label in found if label.label is not None}
        # Before the labels are stored, so that a class that is refused leaves no trace
        if self.learner.set_classes(self._items.classes_in(given.values())):
            self._outputs.begin(None)
        batch = (text for id, text in given.items() if id not in self.audit.held_out)
        names = Counter(name for text in batch for name in self._items.classes_in([text]))
        counts = dict(sorted(names.items()))
        answered = {answer.id for answer in found}
        detail = {
            "batch_classes": counts,
            "metrics": {"batch_class_entropy": class_entropy(counts)},
            "returned": [item.id for item in request.items if item.id not in answered],
        }
        self.hooks.on_point("INGEST begun")
        self.rounds.finish(round, State.INGEST, detail, labels=found)
        self.hooks.on_point("INGEST recorded")

    # -- Parts of a round ---------------------------------------------------------------------

    def _trained(self) -> list[int]:
        rounds = self.rounds.rounds()
        return [round for round in rounds if self.rounds.is_finished(round, State.TRAIN)]

    def _audit_queries(self, picks: int) -> list[Query]:
        """Return what is asked for with a query to measure the model, within the budget."""
        answered = self.labels.current()
        budget = self.settings.budget
        left = len(self._items) if budget is None else budget - self._relabeler.spent() - picks
        return self.audit.queries(answered, first_rank=picks, most=max(left, 0))

    def _strategy(self, labels: dict[str, str]) -> QueryStrategy:
        return self.settings.strategy if labels else self.settings.first_strategy(self.learner)

    def _query_size(self, labels: dict[str, str]) -> int:
        settings = self.settings
        size = settings.query_size
        if not labels and settings.initial is not None:
            size = settings.initial.size
        if settings.budget is None:
            return size
        waiting = len(self.audit.queries(self.labels.current(), 0, settings.budget))
        # At least one, should a grown audit take all that is left
        return max(1, min(size, settings.budget - self._relabeler.spent() - waiting))

    def _reason_to_stop(self, labels: dict[str, str]) -> str | None:
        budget = self.settings.budget
        if budget is not None and self._relabeler.spent() >= budget:
            return f"the budget of {budget} labels is spent"
        if not self._items.pool():
            return "there is nothing left to label"
        if not (labels and self.settings.stop):
            return None
        measured = [record for record in self.records() if record.labels]
        return first_reason(self.settings.stop, measured)

    def _needs_of_round(self, labels: dict[str, str]) -> frozenset[str]:
        """Return the outputs that this round needs, for the strategy, stop rules and metrics."""
        budget = self.settings.budget
        last = budget is not None and self._relabeler.spent() >= budget
        needs = frozenset[str]() if last else outputs_for(self.settings.strategy.needs)
        if self.settings.relabel is not None and not last:
            needs |= {"logits"}
        return needs | self._figures.needs()

    def _outputs_of_pool(self, round: int, labels: dict[str, str]) -> PoolOutputs:
        """Return the outputs of this round's model for the pool (round 0: of the initial one)."""
        if labels:
            self._outputs.have_model(round)
            needs = self._needs_of_round(labels)
        else:
            self._outputs.begin(None)
            needs = outputs_for(self._strategy(labels).needs)
        return self._outputs.of_pool(self._items.pool(), needs, self._round_folder(round))

    def _bring_back(self, round: int) -> None:
        """Restore the model of a round in the learner."""
        labels, folder = self._items.training_labels(), self._round_folder(round)
        if self.rounds.detail(round, State.TRAIN)["classes"] == self.learner.class_names():
            self.learner.restore(round, labels, folder)
        else:
            logger.info("round %d is trained again: there are other classes since", round)
            self.learner.train(round, labels, folder)

    def _second_opinions(self, round: int, labels: dict[str, str]) -> list[Query]:
        """Return the queries for second opinions, which take the place of new images."""
        if not labels or self.settings.relabel is None:
            return []
        outputs = self._outputs_of_pool(round, labels)
        return self._relabeler.second_opinions(outputs, self._query_size(labels))

    def _choose(
        self, round: int, labels: dict[str, str], strategy: QueryStrategy, again: int
    ) -> tuple[Selection, PoolOutputs]:
        """Return the selection among the readable items, and the outputs it was made from.

        It has `again` items fewer than the query, as many as there are second opinions.
        """
        outputs = self._outputs_of_pool(round, labels)
        size = self._query_size(labels) - again
        if not size:
            return Selection((), np.empty(0, np.float32), (), 0.0, 0), outputs
        if strategy.needs_trials:
            strategy = strategy.with_trial(lambda ids: self._trial_accuracy(ids, round))
        seed = item_seed(self._seed, round, "select") >> 1  # within a signed 64-bit integer
        while True:
            pool = self._outputs.strategy_pool(outputs, labels, strategy.needs)
            selection = selected(strategy, pool, size, seed)
            if strategy.needs_trials and labels:
                self._outputs.have_model(round)
            bad = self.learner.unreadable(selection.ids)
            if not bad:
                return selection, outputs
            # Strategies that need no outputs learn only now which images are unreadable
            left = outputs.rows([id for id in outputs.ids if id not in bad])
            outputs = replace(left, unreadable={**outputs.unreadable, **bad})

    def _trial_accuracy(self, ids: Sequence[str], round: int) -> float:
        """Return the test accuracy of a model that is also trained on `ids`, truly labeled."""
        labels = {**self._items.training_labels(), **self._items.true_labels(ids)}
        return self._outputs.trial_accuracy(round, labels, self._round_folder(round))

    def _request(self, round: int) -> LabelRequest:
        detail = self.rounds.detail(round, State.SELECT)
        queried = self.rounds.queries(round)
        answered = self.labels.current()
        done = self._relabeler.answered(queried, answered)
        queries = [query for query in queried if query.id not in done]
        ids = [query.id for query in queries]
        return LabelRequest(
            round=round,
            items=self._items.of(ids),
            queries=queries,
            classes=self.settings.classes or self.learner.data_classes() or None,
            folder=self.folder,
            predicted=_by_id(queried, detail.get("predicted", ())),
            probabilities=_by_id(queried, detail.get("probabilities", ())),
            drafts={id: (text, share) for id, (text, share) in detail.get("drafts", {}).items()},
            seen=self.learner.class_names(),
            # A table that was taken in before a kill had its flag then
            is_partial=self.is_partial or (self._round_folder(round) / KEPT_NAME).is_file(),
            labeled_by=self._relabeler.annotators_of(queries),
            dropped=done,
            task=self.learner.task,
        )

    def _round_folder(self, round: int) -> Path:
        return self.folder / "rounds" / f"{round:04d}"

    def _report(self, round: int) -> None:
        record = read_record(self.rounds, self.labels, round, self.learner.class_names())
        measured = headline(record.metrics)
        audited = audit_text(record.metrics)
        logger.info(
            "round %d: %s%d labels%s%s",
            round,
            "trained on " if record.labels else "",
            record.labels or self._relabeler.spent(),
            "" if measured is None else f", {measured[0]} {measured[1]:.4f}",
            "" if audited is None else f", accuracy {audited}",
        )
        target = target_accuracy(self.settings.stop)
        if record.labels and (audited is not None or target is not None):
            text = forecast_text(self.records(), target, self.labels.median_seconds())
            if text:
                logger.info("forecast: %s", text)
        self.hooks.on_round(record)


def _by_id(queries: Sequence[Query], values: Sequence[Any]) -> dict[str, Any]:
    """Return values by id; second opinions and audited images, which come last, have none."""
    return {query.id: value for query, value in zip(queries, values, strict=False)}

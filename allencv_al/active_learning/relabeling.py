"""Second opinions within the loop: images that another annotator is asked about again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Interval
from numpy.typing import NDArray

from allencv_al.active_learning.audit_sampling import RunAudit
from allencv_al.active_learning.corrections import DROPPED
from allencv_al.active_learning.corrections import SOURCE as CORRECTED
from allencv_al.active_learning.learners.base import Learner
from allencv_al.common.config.registrable import FromParams
from allencv_al.common.errors import ConfigurationError
from allencv_al.labels.consensus import (
    NONE,
    Floats,
    Ints,
    active_lab_scores,
    at_temperature,
    crowdlab,
    fitted_temperature,
    majority_labels,
)
from allencv_al.labels.database import Database
from allencv_al.labels.label_store import (
    OF_DATA,
    PER_ANNOTATOR,
    LabelEvent,
    LabelStore,
    NewLabel,
)
from allencv_al.labels.run_database import Query
from allencv_al.selection.pool.pool_outputs import PoolOutputs
from allencv_al.selection.strategies.shared.softmax import softmax
from allencv_al.tasks.base import label_task
from allencv_al.training.heads.held_out_predictions import held_out_probabilities

CONSENSUS = "consensus"
"""Annotator and source of the label that several annotators' labels of an image become."""

OPINIONS = "asked_before"
"""Key in the reason of a query for a second opinion: the number of annotators before."""

ONE_PERSON = (
    "a second opinion is another person's, and this annotator is one; ground_truth has `annotators`"
)
_LEAST = 1e-9  # of a probability: a class without a label yet is not impossible


class Relabeling(FromParams):
    """Second opinions: images with a label that another annotator is asked about.

    A query has the images, labeled or not, whose label one label more would make the most certain,
    by ActiveLab (arXiv:2301.11856); of those without a label only the number counts, and the
    strategy chooses which. An image with several labels is learned by their consensus: CROWDLAB's
    (arXiv:2210.06812), with the probabilities of models that did not learn from the image. So the
    encoder must not train, and the annotator be several people.

    Args:
        choose: "active_lab"; or "always", which asks about each image until it has
            `most_per_image` labels.
        consensus: "crowdlab", or "majority", of which a tie goes to the class given least often.
        most_per_image: Maximum number of labels of an image; with fewer annotators, as many as
            they are.
        share: Largest share of a query that is second opinions.
    """

    def __init__(
        self,
        choose: Literal["active_lab", "always"] = "active_lab",
        consensus: Literal["crowdlab", "majority"] = "crowdlab",
        most_per_image: Annotated[int, Ge(2)] = 5,
        share: Annotated[float, Interval(gt=0, le=1)] = 1.0,
    ) -> None:
        self.choose: Literal["active_lab", "always"] = choose
        self.consensus: Literal["crowdlab", "majority"] = consensus
        self.most_per_image = most_per_image
        self.share = share


class Relabeler:
    """Chooses the second opinions of a run, and keeps the consensus in force.

    The label in force of an image is its newest event. So the consensus is an event, too, where it
    is not the newest label: labels, tables and reports need not know of it.

    Args:
        settings: The block `relabel`; None asks for nothing.
        learner: The learner.
        database: The database of the run.
        audit: The audit sample, of which nothing is asked again.
        people: Number of annotators who can label one image; None for as many as come.
    """

    def __init__(
        self,
        settings: Relabeling | None,
        learner: Learner,
        database: Database,
        audit: RunAudit,
        people: int | None,
    ) -> None:
        self._settings = settings
        self._learner = learner
        self._newest = LabelStore(database)
        self._each = LabelStore(database, PER_ANNOTATOR)
        self._audit = audit
        self._people = people

    def check(self) -> None:
        """Check that the run can ask for second opinions.

        Raises:
            ConfigurationError: The labels, the encoder or the annotator do not allow it.
        """
        if self._settings is None:
            return
        problem = None
        if self._learner.task.name() != label_task().name():
            problem = "labels of several annotators are compared where an image has one class"
        elif not self._learner.embeddings_stay():
            problem = (
                "labels are weighed by models on kept embeddings, and this encoder trains; freeze "
                "it, with requires_grad: false"
            )
        elif self._people == 1:
            problem = ONE_PERSON
        if problem:
            raise ConfigurationError(f"active_learning.relabel: {problem}")

    def spent(self) -> int:
        """Return the number of labels so far, those of every annotator of an image."""
        if self._settings is None:
            return len(self._newest.labels())
        dropped = {id for id, event in self._newest.current().items() if event.source == DROPPED}
        opinions = self._opinions()
        return sum(one.label is not None and one.id not in dropped for one in opinions)

    def spent_on(self, ids: Collection[str]) -> int:
        """Return the number of labels of some labeled images."""
        if self._settings is None:
            return len(ids)
        found = self._by_annotator(ids).values()
        return sum(label is not None for given in found for label in given.values())

    def answered(
        self, queries: Sequence[Query], current: Mapping[str, LabelEvent]
    ) -> frozenset[str]:
        """Return the ids of the queries that have their answer.

        Args:
            queries: The queries of a round.
            current: The event in force by id.
        """
        done = {query.id for query in queries if query.id in current}
        before = {one.id: one.reason[OPINIONS] for one in queries if OPINIONS in one.reason}
        found = self._by_annotator(before) if before else {}
        waiting = {id for id, count in before.items() if len(found.get(id, ())) <= count}
        return frozenset(done - waiting)

    def annotators_of(self, queries: Sequence[Query]) -> dict[str, tuple[str, ...]]:
        """Return who has labeled the images of queries for a second opinion."""
        ids = [query.id for query in queries if OPINIONS in query.reason]
        found = self._by_annotator(ids) if ids else {}
        return {id: tuple(sorted(given)) for id, given in found.items()}

    def settle(self, round: int) -> None:
        """Put the consensus in force, where several annotators were asked about an image.

        The same labels give the same events, whose keys keep a second call from adding them again.

        Args:
            round: The round that learns from it.
        """
        opinions = self._to_compare()
        if self._settings is None or all(len(given) < 2 for given in opinions.values()):
            return
        names, given = self._table(opinions)
        labels = majority_labels(given, len(names))
        if self._settings.consensus == "crowdlab":
            labels = crowdlab(given, self._held_out(list(opinions), given, len(names))).labels
        in_force = self._newest.current()
        self._newest.add(
            [
                NewLabel(
                    *(id, names[label], CONSENSUS, round, CONSENSUS),
                    client_key=f"{CONSENSUS}:{round}:{id}",
                )
                for (id, asked), label in zip(opinions.items(), labels.tolist(), strict=True)
                # The label of one person stays: a model alone does not overrule it
                if len(asked) > 1 and in_force[id].label != names[label]
            ]
        )

    def second_opinions(self, outputs: PoolOutputs, size: int, rank: int = 0) -> list[Query]:
        """Return the queries for second opinions in a query of some size, the most urgent first.

        Args:
            outputs: The outputs of the round's model for the pool.
            size: Number of images of the whole query.
            rank: The rank of the first.
        """
        settings, opinions = self._settings, self._to_compare()
        if settings is None or not opinions:
            return []
        most = int(size * settings.share)
        asked = np.asarray([len(given) for given in opinions.values()])
        is_open = (asked < settings.most_per_image) & self._has_others(opinions)
        urgency = np.zeros(len(asked))
        if settings.choose == "active_lab":
            if outputs.logits is None:
                return []
            names, given = self._table(opinions)
            held_out = self._held_out(list(opinions), given, len(names))
            pool = _padded(softmax(outputs.logits, 1.0)[0], len(names))
            known, unknown = active_lab_scores(given, held_out, pool, temperature=1.0)
            urgency = 1 - known
            everything = np.concatenate([np.where(is_open, urgency, -np.inf), 1 - unknown])
            most = min(
                most, int((np.argsort(-everything, kind="stable")[:size] < len(known)).sum())
            )
        rows = [row for row in np.argsort(-urgency, kind="stable").tolist() if is_open[row]][:most]
        ids = list(opinions)
        return [
            Query(rank + place, ids[row], float(urgency[row]), {OPINIONS: int(asked[row])})
            for place, row in enumerate(rows)
        ]

    def _has_others(self, opinions: Mapping[str, Mapping[str, str | None]]) -> NDArray[np.bool_]:
        """Return whether an annotator is left who was not asked about an image, `[N]`."""
        if self._people is not None:
            return np.asarray([len(given) < self._people for given in opinions.values()])
        # As many as come: those who came so far, so that a round does not wait for one who does not
        seen = {who for given in opinions.values() for who in given} - {OF_DATA}
        return np.asarray([not seen <= given.keys() for given in opinions.values()])

    # -- The labels of each annotator ---------------------------------------------------------

    def _opinions(self) -> list[LabelEvent]:
        """Return the event in force of each annotator and image."""
        return [event for event in self._each.in_force() if event.source != CONSENSUS]

    def _by_annotator(self, ids: Collection[str]) -> dict[str, dict[str, str | None]]:
        """Return what each annotator said of some images, by id; None for no class."""
        kept, found = set(ids), dict[str, dict[str, str | None]]()
        for event in self._opinions():
            if event.id in kept:
                found.setdefault(event.id, {})[event.annotator] = event.label
        return found

    def _to_compare(self) -> dict[str, dict[str, str | None]]:
        """Return what each annotator said of the images with a label that may change.

        An image that was corrected by hand, or dropped, or that measures the model, has none.
        """
        if self._settings is None:
            return {}
        ids = [
            id
            for id, event in self._newest.current().items()
            if event.source not in (CORRECTED, DROPPED) and id not in self._audit.held_out
        ]
        found = self._by_annotator(ids)
        return {id: found[id] for id in ids if any(found.get(id, {}).values())}

    def _table(self, opinions: Mapping[str, Mapping[str, str | None]]) -> tuple[list[str], Ints]:
        """Return the class names and the class indices `[N, J]`, or `NONE`."""
        names = list(self._learner.class_names())
        index = {name: place for place, name in enumerate(names)}
        people = sorted({who for given in opinions.values() for who in given})
        table = np.full((len(opinions), len(people)), NONE)
        for row, given in enumerate(opinions.values()):
            for who, text in given.items():
                if text is not None:
                    table[row, people.index(who)] = index[text]
        return names, table

    def _held_out(self, ids: Sequence[str], given: Ints, classes: int) -> Floats:
        """Return probabilities `[N, C]` by models that did not learn from the image."""
        found = np.full((len(ids), classes), 1 / classes)
        outputs = self._learner.infer(ids, {"embeddings"}, None)
        assert outputs.embeddings is not None
        readable = np.isin(ids, outputs.ids)
        labels = majority_labels(given, classes)[readable]
        if len(np.unique(labels)) > 1:
            features = np.asarray(outputs.embeddings, np.float32)
            predicted = held_out_probabilities(features, labels, outputs.ids)
            found[readable] = _padded(predicted, classes)
        return at_temperature(found, fitted_temperature(given, found))


def _padded(probabilities: Floats, classes: int) -> Floats:
    """Return probabilities with a column for each class, also for those without a label yet."""
    found = np.full((len(probabilities), classes), _LEAST)
    found[:, : probabilities.shape[1]] += probabilities[:, :classes]
    padded: Floats = found / found.sum(axis=1, keepdims=True)
    return padded

"""The records of a run's rounds, put together from what its states have left in the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from allencv_al.active_learning.rounds.round_record import METRICS, Pick, RoundRecord
from allencv_al.labels.label_store import UNTOLD, LabelEvent, LabelStore
from allencv_al.labels.run_database import Query, RoundStore, State

_SECONDS = {
    "train": State.TRAIN,
    "test": State.TEST,
    "infer": State.INFER,
    "select": State.SELECT,
    "annotate": State.WAITING_FOR_LABELS,
}


def read_records(
    rounds: RoundStore, labels: LabelStore, classes: Sequence[str] = ()
) -> list[RoundRecord]:
    """Return the record of every round that has begun, the first first.

    Args:
        rounds: The states of the run.
        labels: Its labels.
        classes: The class names, for rounds that have trained nothing.
    """
    events = labels.current()
    return [_record(rounds, events, round, classes) for round in rounds.rounds()]


def read_record(
    rounds: RoundStore, labels: LabelStore, round: int, classes: Sequence[str] = ()
) -> RoundRecord:
    """Return the record of one round."""
    return _record(rounds, labels.current(), round, classes)


def _record(
    rounds: RoundStore, events: Mapping[str, LabelEvent], round: int, classes: Sequence[str]
) -> RoundRecord:
    details = {
        state: rounds.detail(round, state) for state in State if rounds.is_finished(round, state)
    }
    metrics: dict[str, float | None] = {}
    for detail in details.values():
        metrics.update(detail.get("metrics", {}))
    trained = details.get(State.TRAIN, {})
    test, selected = details.get(State.TEST, {}), details.get(State.SELECT, {})
    ingested = details.get(State.INGEST, {})
    inferred, done = details.get(State.INFER, {}), details.get(State.DONE, {})
    unreadable: dict[str, str] = {}
    for detail in (inferred, selected, done, test):
        unreadable.update(detail.get("unreadable", {}))
    return RoundRecord(
        round=round,
        labels=trained.get("labels", 0),
        metrics={**{name: metrics.get(name) for name in METRICS}, **metrics},
        confusion_matrix=test.get("confusion_matrix"),
        classes=tuple(test.get("classes") or trained.get("classes") or classes),
        batch_classes=ingested.get("batch_classes", {}),
        seconds={
            name: details[state]["seconds"] for name, state in _SECONDS.items() if state in details
        },
        select_peak_mb=selected.get("peak_mb"),
        picks=_picks(rounds.queries(round), events, selected, ingested.get("returned", ())),
        pool_size=selected.get("pool_size", inferred.get("pool_size", 0)),
        unreadable=unreadable,
        notes=(done["reason"],) if "reason" in done else (),
    )


def _picks(
    queries: Sequence[Query],
    events: Mapping[str, LabelEvent],
    selected: Mapping[str, Any],
    returned: Collection[str],
) -> tuple[Pick, ...]:
    predicted = selected.get("predicted") or [None] * len(queries)
    return tuple(
        Pick(
            query.id,
            query.score,
            query.reason,
            guess,
            # A later round may have asked for it again
            *((None, "returned") if query.id in returned else _outcome(events.get(query.id))),
        )
        for query, guess in zip(queries, predicted, strict=True)
    )


def _outcome(event: LabelEvent | None) -> tuple[str | None, str]:
    """Return the class that an item was given, and what the annotator did."""
    if event is None:
        return None, "waiting"
    if event.label == UNTOLD:
        return None, "untold"
    return event.label, event.kind.value

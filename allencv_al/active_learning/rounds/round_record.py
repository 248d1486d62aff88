"""`RoundRecord`: one round of a run, as its report and its files show it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from allencv_al.labels.label_store import UNTOLD, LabelEvent, LabelStore
from allencv_al.labels.run_database import Query, RoundStore, State
from allencv_al.metrics.accuracy_interval import AccuracyEstimate, wilson_interval

AUDIT_METRICS = ("audit_accuracy", "audit_low", "audit_high", "audit_labels")

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "roc_auc",
    "average_precision",
    "negative_log_likelihood",
    "expected_calibration_error",
    "mean_average_precision",
    "miou",
    "mean_dice",
    "pixel_accuracy",
    "pool_accuracy",
    "coverage_radius",
    "redundancy",
    "batch_class_entropy",
    "agreement",
    *AUDIT_METRICS,
    "mean_confidence",
)
"""The keys of `RoundRecord.metrics`, in the order in which they are shown."""

# The first one that was measured tells of a model in a line
_HEADLINES = {
    "miou": "mIoU",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    # Last: several classes have one, too, beside the figure that their thresholds are for
    "mean_average_precision": "mAP",
}


def headline(metrics: Mapping[str, float | None]) -> tuple[str, float] | None:
    """Return the name and the value of the metric that tells of a model in a line.

    Args:
        metrics: The metrics of a round.
    """
    for name, shown in _HEADLINES.items():
        value = metrics.get(name)
        if value is not None:
            return shown, value
    return None


def headline_metric(records: Iterable[RoundRecord]) -> str | None:
    """Return the key of the metric that tells of the models of rounds; None if none was measured.

    Args:
        records: Rounds of models of one kind.
    """
    measured = [record.metrics for record in records]
    found = (name for name in _HEADLINES if any(one.get(name) is not None for one in measured))
    return next(found, None)


def audit_text(metrics: Mapping[str, float | None]) -> str | None:
    """Return the accuracy of an audit as a sentence's end; None without one."""
    value, low, high, labels = (metrics.get(name) for name in AUDIT_METRICS)
    if value is None or low is None or high is None or labels is None:
        return None
    estimate = AccuracyEstimate(value, low, high, round(labels))
    return f"{estimate} by {estimate.labels} audited images"


@dataclass(frozen=True, slots=True)
class Pick:
    """One item of a round's query.

    Args:
        id: The item.
        score: Its score when it was picked; higher was more wanted.
        reason: Why, as the strategy says: JSON values, always with `rank`, from 0.
        predicted: The class that the model took it for; None in round 0.
        label: The class that it was given; None where it got none.
        outcome: The annotator's decision: `label`, `skip`, `unsure`, `unreadable`, or `waiting`; or
            `untold`: it is labeled, and only the learner knows how; or `returned`: the round went
            on without an answer, and the item went back to the pool.
    """

    id: str
    score: float
    reason: Mapping[str, Any] = field(default_factory=dict)
    predicted: str | None = None
    label: str | None = None
    outcome: str = "label"


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """One round: its training, its metrics and its query.

    Round 0 trains nothing: it only chooses the first items. There is none where labels come with
    the data. The last round asks for nothing.

    Args:
        round: Its number.
        labels: Number of labels that the model was trained on.
        metrics: The metrics in `METRICS` by name, None for one that was not measured;
            and further metrics that a pipeline reports.
        confusion_matrix: Counts on the test images `[C][C]`; row = class, column = prediction.
        classes: The names of the classes, in the order of the matrix.
        batch_classes: Number of labels of each class in the query.
        seconds: Duration of each state: `train`, `test`, `infer`, `select`, `annotate`.
        select_peak_mb: Growth of the peak memory during the selection, in MB.
        picks: The query of the round, in the order of picking.
        audit: The images of the audit sample that were asked for with it.
        pool_size: Number of items in the pool.
        unreadable: Items that could not be read so far, with the cause.
        notes: Remarks for the report, such as the reason why the run ended.
        objects: Number of objects in those labels: boxes, or the classes of images with several;
            0 where a label has none that are counted, as a mask.
    """

    round: int
    labels: int
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    confusion_matrix: Sequence[Sequence[int]] | None = None
    classes: Sequence[str] = ()
    batch_classes: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    select_peak_mb: float | None = None
    picks: Sequence[Pick] = ()
    audit: Sequence[Pick] = ()
    pool_size: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    objects: int = 0

    def test_accuracy(self) -> AccuracyEstimate | None:
        """Return the accuracy on the test images, with the interval that their number allows.

        It is that of Wilson for images like these. None where nothing was measured, or by a
        pipeline that does not tell the number of its images.
        """
        value = self.metrics.get("accuracy")
        images = sum(map(sum, self.confusion_matrix or ()))
        if value is None or not images:
            return None
        return AccuracyEstimate(value, *wilson_interval(value, images), images)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the record that `to_json` gave."""
        tuples = {name: tuple(value.get(name, ())) for name in ("classes", "notes")}
        items = {
            name: tuple(Pick(**pick) for pick in value.get(name, ())) for name in ("picks", "audit")
        }
        return cls(**{**value, **tuples, **items})


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
    """Return the records of all rounds that have begun, in order.

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
    queries = rounds.queries(round)
    chosen = len(queries) - selected.get("audit", 0)
    returned = ingested.get("returned", ())
    unreadable: dict[str, str] = {}
    # Later states overwrite the cause that an earlier one gave
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
        picks=_picks(queries[:chosen], events, selected, returned),
        audit=_picks(queries[chosen:], events, {}, returned),
        pool_size=selected.get("pool_size", inferred.get("pool_size", 0)),
        unreadable=unreadable,
        notes=(done["reason"],) if "reason" in done else (),
        objects=trained.get("objects", 0),
    )


def _picks(
    queries: Sequence[Query],
    events: Mapping[str, LabelEvent],
    selected: Mapping[str, Any],
    returned: Collection[str],
) -> tuple[Pick, ...]:
    # Second opinions come last, and the model was not asked what it takes them for
    predicted = selected.get("predicted") or []
    predicted = [*predicted, *[None] * (len(queries) - len(predicted))]
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
    """Return the label of an item, and the annotator's answer."""
    if event is None:
        return None, "waiting"
    if event.label == UNTOLD:
        return None, "untold"
    return event.label, event.kind.value

"""`RoundRecord`: what is known of one round of a run, as its report and its files show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "negative_log_likelihood",
    "expected_calibration_error",
    "mean_average_precision",
    "pool_accuracy",
    "coverage_radius",
    "redundancy",
    "batch_class_entropy",
    "agreement",
)
"""The keys of `RoundRecord.metrics`, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Pick:
    """One item that a round asked for.

    Args:
        id: The item.
        score: Its score when it was picked; higher was more wanted.
        reason: Why, as the strategy says: JSON values, always with `rank`, from 0.
        predicted: The class that the model took it for; None in round 0.
        label: The class that it was given; None where it got none.
        outcome: What the annotator did: `label`, `skip`, `unsure`, `unreadable`, or `waiting`; or
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
    """One round: trained on some labels, measured, and what it asked for next.

    Round 0 trains nothing: it only chooses the first items. There is none where labels come with
    the data. The last round asks for nothing.

    Args:
        round: Its number.
        labels: How many labels there were to train on.
        metrics: What was measured, by the names in `METRICS`, None where it could not be; and what
            else a pipeline measures itself by.
        confusion_matrix: Counts on the test images `[C][C]`; row = class, column = prediction.
        classes: The names of the classes, in the order of the matrix.
        batch_classes: How many items of the batch were labeled as which class.
        seconds: How long each state took: `train`, `test`, `infer`, `select`, `annotate`.
        select_peak_mb: By how much the peak memory grew while choosing, in MB.
        picks: What the round asked for, in the order of picking.
        pool_size: How many items could be chosen.
        unreadable: Items that could not be read so far, with the cause.
        notes: What a person should know: why the run ended, for one.
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
    pool_size: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the record that `to_json` gave."""
        tuples = {name: tuple(value.get(name, ())) for name in ("classes", "notes")}
        picks = tuple(Pick(**pick) for pick in value.get("picks", ()))
        return cls(**{**value, **tuples, "picks": picks})

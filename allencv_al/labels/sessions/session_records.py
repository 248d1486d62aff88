"""What a labeling holds, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from allencv_al.labels.label_store import LabelKind

PAGE, REVIEW = "page", "review"
"""The sources of events: somebody's answer, and the decision of a review."""


@dataclass(frozen=True, slots=True)
class LabelClass:
    """A class that can be chosen.

    Args:
        class_id: Its number, which stays when it is renamed.
        name: Its name.
        count: How many items it is the label of.
    """

    class_id: int
    name: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class ClassChange:
    """What was done to a class.

    Args:
        class_id: The class.
        old: Its name before; None where it was added.
        new: Its name afterwards; empty where it was removed.
        annotator: By whom.
        time: When, in seconds since 1970.
    """

    class_id: int
    old: str | None
    new: str
    annotator: str
    time: float


@dataclass(frozen=True)
class NewItem:
    """An image to be labeled.

    Args:
        id: Its id in the data.
        image: Its file, or its content where it is none.
        reason: Why it was picked, in one line.
        guess: What the model takes it for: class names with probabilities.
    """

    id: str
    image: Path | bytes
    reason: str | None = None
    guess: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """An image that is labeled.

    Args:
        item: Its number.
        id: Its id in the data.
        batch: The batch it belongs to.
        image: Its file, as it is stored; None where the database holds the picture.
        reason: Why it was picked.
        guess: What the model takes it for.
        answers: How many have said what it is.
        kind: What comes of it; None where nothing does yet.
        class_id: The class, where `kind` is LABEL.
        is_conflict: Whether as many say one thing as another.
    """

    item: int
    id: str
    batch: int
    image: str | None
    reason: str | None
    guess: tuple[tuple[str, float], ...]
    answers: int
    kind: LabelKind | None
    class_id: int | None
    is_conflict: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be labeled together.

    Args:
        batch: Its number.
        round: The round of the loop; None for a folder.
        labels_per_image: How many annotators look at each image.
        has_fixed_classes: Whether classes can be neither added nor renamed.
        is_open: Whether it still takes answers.
    """

    batch: int
    round: int | None
    labels_per_image: int
    has_fixed_classes: bool
    is_open: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody said of an item.

    Args:
        event_id: Its number; higher is later.
        item: The item's number.
        kind: What was said.
        class_id: The class, where `kind` is LABEL.
        annotator: By whom.
        source: `page` or `review`.
        seconds: How long it took.
        time: When, in seconds since 1970.
        is_in_force: Whether it still counts.
    """

    event_id: int
    item: int
    kind: LabelKind
    class_id: int | None
    annotator: str
    source: str
    seconds: float | None
    time: float
    is_in_force: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is.

    Args:
        total: The items.
        done: Those something has come of.
        mine: Those that this annotator has answered.
        skipped: Those that somebody has skipped and nothing has come of.
        unsure: Those of which nobody can say what they are.
        unreadable: Those that nobody can look at.
        conflicts: Those that only a review can decide.
        labels_per_minute: The pace of this annotator; None before there is one.
        seconds_left: How long the rest takes all who are at work now; None where nobody knows.
    """

    total: int
    done: int
    mine: int
    skipped: int
    unsure: int
    unreadable: int
    conflicts: int
    labels_per_minute: float | None
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """How far two annotators agree.

    Args:
        first: One.
        second: The other.
        both: The items that both have answered.
        agreed: Those of which both say the same.
        kappa: Cohen's kappa (1960): agreement beyond that of chance; None where chance alone
            would agree always, or there is nothing to compare.
    """

    first: str
    second: str
    both: int
    agreed: int
    kappa: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the annotators agree.

    Args:
        pairs: Each two with an item in common.
        answers: How many items each has answered.
        conflicts: The items that only a review can decide.
    """

    pairs: tuple[PairAgreement, ...]
    answers: dict[str, int]
    conflicts: int


@dataclass(frozen=True, slots=True)
class Reviewed:
    """An item with all that is said of it.

    Args:
        item: The item.
        answers: What each annotator says now.
        decision: What a review has decided.
    """

    item: Item
    answers: tuple[Answer, ...] = field(default=())
    decision: Answer | None = None

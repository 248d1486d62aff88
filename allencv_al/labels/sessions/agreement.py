"""The agreed label of an image, and how far two annotators agree."""

from __future__ import annotations

import sqlite3
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from allencv_al.labels.database import Database
from allencv_al.labels.sessions.schema import ANSWERS, REVIEW
from allencv_al.metrics.scores import cohen_kappa

NOT_UNDONE = (
    "e.kind != 'undo' AND NOT EXISTS (SELECT 1 FROM label_event u "
    "WHERE u.kind = 'undo' AND u.supersedes = e.event_id)"
)
"""SQL condition: the event `e` was not undone."""

Vote = tuple[str, int | None]  # kind, class_id


def agreed_label(
    answers: Sequence[Vote], decision: Vote | None, labels_per_image: int
) -> tuple[Vote | None, bool]:
    """Return the label that the answers agree on, if any, and whether they are in conflict.

    The decision of a review overrides all answers. Otherwise there must be as many answers as
    required, and the most frequent one must be unique.

    Args:
        answers: Kind and class of each annotator's answer, without skips.
        decision: Kind and class that a review decided.
        labels_per_image: The number of answers required.
    """
    if decision is not None:
        return decision, False
    if len(answers) < labels_per_image:
        return None, False
    ranked = Counter(answers).most_common(2)
    if len(ranked) == 2 and ranked[0][1] == ranked[1][1]:
        return None, True
    return ranked[0][0], False


def update_agreed_label(connection: sqlite3.Connection, item: int, labels_per_image: int) -> None:
    """Recompute the agreed label of an item from the events in force of its batch.

    Args:
        connection: In a transaction.
        item: The item's number.
        labels_per_image: The number of answers required.
    """
    answers = connection.execute(
        "SELECT s.kind, s.class_id FROM standing s JOIN item i ON i.item = s.item "
        "JOIN label_event e ON e.event_id = s.event_id "
        "WHERE s.item = ? AND s.kind != 'skip' AND e.round = i.batch",
        (item,),
    ).fetchall()
    decision = connection.execute(
        "SELECT e.kind, CAST(e.label AS INTEGER) FROM item i "  # noqa: S608  a constant
        "JOIN label_event e ON e.id = i.id AND e.round = i.batch WHERE i.item = ? AND e.source = ? "
        f"AND {NOT_UNDONE} ORDER BY e.event_id DESC LIMIT 1",
        (item, REVIEW),
    ).fetchone()
    agreed, is_conflict = agreed_label(answers, decision, labels_per_image)
    kind, class_id = (None, None) if agreed is None else agreed
    connection.execute(
        "UPDATE item SET answers = ?, kind = ?, class_id = ?, is_conflict = ? WHERE item = ?",
        (len(answers), kind, class_id, int(is_conflict), item),
    )


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Agreement of two annotators.

    Args:
        first: One annotator.
        second: The other annotator.
        both: Number of images that both have answered.
        agreed: Number of images that both gave the same answer.
        kappa: Cohen's kappa; None if it is undefined.
    """

    first: str
    second: str
    both: int
    agreed: int
    kappa: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of all annotators, over all batches.

    Args:
        pairs: Each two annotators with an image in common.
        answers: Number of answered images by annotator.
        conflicts: Number of images that need a review.
    """

    pairs: tuple[PairAgreement, ...]
    answers: dict[str, int]
    conflicts: int


def annotator_agreement(database: Database) -> Agreement:
    """Return how far each two annotators agree, over all batches; skips do not count."""
    answers: dict[str, dict[int, str]] = {}
    for annotator, item, kind, class_id in database.rows(
        "SELECT annotator, item, kind, class_id FROM standing WHERE kind != 'skip' "
        "ORDER BY annotator"
    ):
        answers.setdefault(annotator, {})[item] = f"{kind}{class_id}"
    found = []
    for (first, of_first), (second, of_second) in combinations(answers.items(), 2):
        both = sorted(of_first.keys() & of_second.keys())
        if both:
            sides = [of_first[item] for item in both], [of_second[item] for item in both]
            agreed = sum(one == other for one, other in zip(*sides, strict=True))
            kappa = cohen_kappa(*sides)
            found.append(PairAgreement(first, second, len(both), agreed, kappa))
    [(conflicts,)] = database.rows("SELECT coalesce(sum(is_conflict), 0) FROM item")
    return Agreement(tuple(found), {name: len(of) for name, of in answers.items()}, conflicts)


def class_numbers_given(database: Database) -> dict[str, dict[str, int]]:
    """Return the class that each annotator gave each image, by id and annotator.

    Images that a review decided about are left out, and answers that are no class.
    """
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for id, annotator, class_id in database.rows(
        "SELECT i.id, s.annotator, s.class_id FROM standing s JOIN item i ON i.item = s.item "  # noqa: S608
        "WHERE s.kind = 'label' AND NOT EXISTS (SELECT 1 FROM label_event e "
        f"WHERE e.id = i.id AND e.source = '{REVIEW}' AND {NOT_UNDONE}) "
        "ORDER BY i.item, s.annotator"
    ):
        found[id][annotator] = class_id
    return dict(found)


def median_seconds_by_annotator(database: Database) -> dict[str, float]:
    """Return the median time of an answer by annotator, in seconds, where it was measured."""
    times: dict[str, list[float]] = defaultdict(list)
    marks = ", ".join("?" * len(ANSWERS))
    for annotator, seconds in database.rows(
        "SELECT annotator, seconds FROM label_event "  # noqa: S608
        f"WHERE seconds IS NOT NULL AND source IN ({marks})",
        ANSWERS,
    ):
        times[annotator].append(seconds)
    return {name: statistics.median(of) for name, of in times.items()}

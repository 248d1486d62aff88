"""What comes of the answers to an item."""

from __future__ import annotations

import sqlite3
from collections import Counter

from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.session_records import REVIEW

NOT_UNDONE = (
    "e.kind != 'undo' AND NOT EXISTS (SELECT 1 FROM label_event u "
    "WHERE u.kind = 'undo' AND u.supersedes = e.event_id)"
)
"""What an event `e` is that was not taken back."""

Outcome = tuple[str, int | None]  # kind, class_id


def outcome_of(
    answers: list[Outcome], decision: Outcome | None, labels_per_image: int
) -> tuple[Outcome | None, bool]:
    """Return what comes of the answers, and whether they are in conflict.

    A decision counts before all answers. Else there must be as many answers as are wanted, and one
    must be more frequent than each other.

    Args:
        answers: Kind and class that each annotator gave; skips are none.
        decision: That of a review.
        labels_per_image: How many answers are wanted.
    """
    if decision is not None:
        return decision, False
    if len(answers) < labels_per_image:
        return None, False
    ranked = Counter(answers).most_common(2)
    if len(ranked) == 2 and ranked[0][1] == ranked[1][1]:
        return None, True
    return ranked[0][0], False


def renew(connection: sqlite3.Connection, item: int, labels_per_image: int) -> None:
    """Write what follows for an item from what is in force.

    Args:
        connection: In a transaction.
        item: The item's number.
        labels_per_image: How many answers are wanted.
    """
    answers = connection.execute(
        "SELECT kind, class_id FROM standing WHERE item = ? AND kind != 'skip'", (item,)
    ).fetchall()
    decision = connection.execute(
        "SELECT e.kind, e.label FROM label_event e "  # noqa: S608  a constant
        "WHERE e.id = (SELECT id FROM item WHERE item = ?) AND e.source = ? "
        f"AND {NOT_UNDONE} ORDER BY e.event_id DESC LIMIT 1",
        (item, REVIEW),
    ).fetchone()
    decided = None if decision is None else (decision[0], class_number(decision[1]))
    outcome, is_conflict = outcome_of(answers, decided, labels_per_image)
    kind, class_id = (None, None) if outcome is None else outcome
    connection.execute(
        "UPDATE item SET answers = ?, kind = ?, class_id = ?, is_conflict = ? WHERE item = ?",
        (len(answers), kind, class_id, int(is_conflict), item),
    )


def class_number(label: str | None) -> int | None:
    """Return the number of a class that an event names."""
    return None if label is None else int(label)


def is_said(kind: LabelKind) -> bool:
    """Return whether a kind says something of an item."""
    return kind in (LabelKind.LABEL, LabelKind.UNSURE, LabelKind.UNREADABLE)

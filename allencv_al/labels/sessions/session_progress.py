"""Progress and pace of a labeling session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from allencv_al.labels.database import Database
from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.schema import HANDED_OVER, PAGE

# Answers or pages: enough to even out single hard images, few enough to follow the pace
_PACE_STEPS = 20
_LONGEST_PAUSE = 60.0  # seconds; a longer pause was a break, not work
_AT_WORK_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class SessionProgress:
    """Progress of a batch, as an annotator sees it.

    Args:
        total: Number of images.
        done: Images with an agreed label.
        mine: Images that this annotator has answered.
        skipped: Images that were skipped and have no agreed label.
        unsure: Images agreed to be unsure.
        unreadable: Images agreed to be unreadable.
        conflicts: Images that need a review.
        handed_over: Images without an agreed label that another program is to label.
        labels_per_minute: Pace of this annotator; None before there is one.
        seconds_left: Estimated time to the end for all active annotators; None if unknown.
    """

    total: int
    done: int
    mine: int
    skipped: int
    unsure: int
    unreadable: int
    conflicts: int
    handed_over: int
    labels_per_minute: float | None
    seconds_left: float | None


class ProgressStore:
    """Counts images and answers.

    Args:
        database: Of the labeling.
        clock: The time in seconds since 1970.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def progress(self, batch: int, annotator: str) -> SessionProgress:
        """Return the progress of a batch, as an annotator sees it."""
        total = conflicts = left = 0
        kinds: Counter[str] = Counter()
        for kind, is_conflict, answers, wanted, count in self._database.rows(
            "SELECT i.kind, i.is_conflict, i.answers, b.labels_per_image, count(*) FROM batch b "
            "JOIN item i ON i.batch = b.batch WHERE b.batch = ? "
            "GROUP BY i.kind, i.is_conflict, i.answers",
            (batch,),
        ):
            total += count
            if kind is not None:
                kinds[kind] += count
            conflicts += count if is_conflict else 0
            if kind is None and not is_conflict:
                left += count * max(wanted - answers, 0)
        # CROSS JOIN makes SQLite begin with the answers, which are fewer than the items
        [(mine, skipped, handed_over)] = self._database.rows(
            "SELECT (SELECT count(*) FROM standing s CROSS JOIN item j ON j.item = s.item "
            "WHERE j.batch = :batch AND s.annotator = :who AND s.kind != 'skip'), "
            "(SELECT count(DISTINCT j.item) FROM standing s CROSS JOIN item j ON j.item = s.item "
            "WHERE s.kind = 'skip' AND j.batch = :batch AND j.kind IS NULL AND NOT j.is_conflict), "
            "(SELECT count(DISTINCT j.item) FROM standing s CROSS JOIN item j ON j.item = s.item "
            "CROSS JOIN label_event e ON e.event_id = s.event_id WHERE s.kind = 'skip' "
            "AND e.source = :handed AND j.batch = :batch AND j.kind IS NULL AND NOT j.is_conflict)",
            {"batch": batch, "who": annotator, "handed": HANDED_OVER},
        )
        paces = self._paces()
        together = sum(paces.values())
        return SessionProgress(
            total=total,
            done=kinds.total(),
            mine=mine,
            skipped=skipped - handed_over,
            unsure=kinds[LabelKind.UNSURE],
            unreadable=kinds[LabelKind.UNREADABLE],
            conflicts=conflicts,
            handed_over=handed_over,
            labels_per_minute=paces.get(annotator),
            seconds_left=60 * left / together if together else None,
        )

    def annotators(self) -> list[str]:
        """Return all annotators with an answer or a lease, in alphabetical order."""
        rows = self._database.rows(
            "SELECT annotator FROM standing UNION SELECT annotator FROM lease ORDER BY 1"
        )
        return [name for (name,) in rows]

    def _paces(self) -> dict[str, float]:
        """Return the answers per minute of each annotator active in the last minutes."""
        now = self._clock()
        steps: dict[str, dict[str, _Step]] = {}
        for annotator, time, event, key in self._database.rows(
            "SELECT annotator, time, event_id, client_key FROM label_event WHERE source = ? "
            "AND kind != 'undo' AND time BETWEEN ? AND ? ORDER BY event_id DESC LIMIT 1000",
            # Times in the future are excluded: the clock may have been set back
            (PAGE, now - _AT_WORK_SECONDS, now),
        ):
            group = (key or "").rpartition(":")[0] or str(event)  # one page of images is one step
            step = steps.setdefault(annotator, {}).setdefault(group, _Step(time))
            step.answers += 1
        found = {name: _pace(list(of.values())[:_PACE_STEPS]) for name, of in steps.items()}
        return {name: pace for name, pace in found.items() if pace is not None}


@dataclass
class _Step:
    """Answers of one moment, at the time of the last one."""

    time: float
    answers: int = 0


def _pace(steps: Sequence[_Step]) -> float | None:
    """Return answers per minute, given steps in descending order of time."""
    total = sum(
        min(max(later.time - earlier.time, 0.0), _LONGEST_PAUSE)
        for later, earlier in pairwise(steps)
    )
    # When the work on the earliest step began is not known
    answers = sum(step.answers for step in steps[:-1])
    return 60 * answers / total if total > 0 else None

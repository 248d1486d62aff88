"""How far a labeling is, how fast, and how far the annotators agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

from allencv_al.labels.database import Database
from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.session_records import PAGE, Agreement, PairAgreement, Progress
from allencv_al.metrics.scores import cohen_kappa

_PACE_ANSWERS = 20
_LONGEST_PAUSE = 60.0  # seconds; who takes longer has done something else
_AT_WORK_SECONDS = 300.0


class ProgressStore:
    """Counts what is done.

    Args:
        database: Of the labeling.
        clock: The time in seconds since 1970.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def progress(self, batch: int, annotator: str) -> Progress:
        """Return how far a batch is, as an annotator sees it."""
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
        # CROSS: SQLite is to begin with what was said, which is less than all items
        [(mine, skipped)] = self._database.rows(
            "SELECT (SELECT count(*) FROM standing s CROSS JOIN item j ON j.item = s.item "
            "WHERE j.batch = :batch AND s.annotator = :who AND s.kind != 'skip'), "
            "(SELECT count(DISTINCT j.item) FROM standing s CROSS JOIN item j ON j.item = s.item "
            "WHERE s.kind = 'skip' AND j.batch = :batch AND j.kind IS NULL AND NOT j.is_conflict)",
            {"batch": batch, "who": annotator},
        )
        paces = self._paces()
        together = sum(paces.values())
        return Progress(
            total=total,
            done=kinds.total(),
            mine=mine,
            skipped=skipped,
            unsure=kinds[LabelKind.UNSURE],
            unreadable=kinds[LabelKind.UNREADABLE],
            conflicts=conflicts,
            labels_per_minute=paces.get(annotator),
            seconds_left=60 * left / together if together else None,
        )

    def agreement(self) -> Agreement:
        """Return how far each two annotators agree, over all batches."""
        said: dict[str, dict[int, str]] = {}
        for annotator, item, kind, class_id in self._database.rows(
            "SELECT annotator, item, kind, class_id FROM standing WHERE kind != 'skip'"
        ):
            said.setdefault(annotator, {})[item] = f"{kind}{class_id}"
        pairs = [
            pair
            for first, second in combinations(sorted(said), 2)
            if (pair := _agreement(first, second, said[first], said[second])).both
        ]
        [(conflicts,)] = self._database.rows("SELECT coalesce(sum(is_conflict), 0) FROM item")
        return Agreement(
            tuple(pairs), {name: len(answers) for name, answers in sorted(said.items())}, conflicts
        )

    def annotators(self) -> list[str]:
        """Return all who have said something or look at something, in alphabetical order."""
        rows = self._database.rows(
            "SELECT annotator FROM standing UNION SELECT annotator FROM lease ORDER BY 1"
        )
        return [name for (name,) in rows]

    def _paces(self) -> dict[str, float]:
        """Return the answers per minute of each who has been at work in the last minutes."""
        now = self._clock()
        times: dict[str, list[float]] = {}
        for annotator, time in self._database.rows(
            "SELECT annotator, time FROM label_event WHERE source = ? AND kind != 'undo' "
            "AND time BETWEEN ? AND ? ORDER BY event_id DESC LIMIT 1000",
            # Nothing of the future: the clock may have been set back
            (PAGE, now - _AT_WORK_SECONDS, now),
        ):
            times.setdefault(annotator, []).append(time)
        found = {name: _pace(of[:_PACE_ANSWERS]) for name, of in times.items()}
        return {name: pace for name, pace in found.items() if pace is not None}


def _pace(times: Sequence[float]) -> float | None:
    """Return answers per minute; the newest time comes first."""
    pauses = [min(max(later - earlier, 0.0), _LONGEST_PAUSE) for later, earlier in pairwise(times)]
    total = sum(pauses)
    return 60 * len(pauses) / total if total > 0 else None


def _agreement(
    first: str, second: str, of_first: dict[int, str], of_second: dict[int, str]
) -> PairAgreement:
    both = sorted(of_first.keys() & of_second.keys())
    names = [of_first[item] for item in both], [of_second[item] for item in both]
    agreed = sum(one == other for one, other in zip(*names, strict=True))
    return PairAgreement(first, second, len(both), agreed, cohen_kappa(*names))

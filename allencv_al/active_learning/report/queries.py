"""The query of each round in a report, with thumbnails few and small enough to open quickly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from allencv_al.active_learning.rounds.round_record import Pick, RoundRecord
from allencv_al.reports import figure_formats as formats
from allencv_al.reports.pictures import picture_address

Thumbnails = Callable[[str], bytes | None]
"""Returns the PNG or JPEG bytes of the thumbnail of an item, or None if it has none."""

MOST_PER_ROUND = 24
_FEWEST_PER_ROUND = 4
_MOST_IN_ALL = 600
_MOST_CLASSES = 40
_WITHOUT_LABEL = {
    "returned": "back to the pool",
    "skip": "skipped",
    "unsure": "not sure",
    "unreadable": "unreadable",
    "waiting": "waiting for a label",
    "untold": "labeled by the pipeline",
}


@dataclass(frozen=True)
class ShownItem:
    """An item of a query, as the template shows it.

    Args:
        pick: The item.
        picture: The address of its thumbnail; None without one.
    """

    pick: Pick
    picture: Markup | None

    @property
    def name(self) -> str:
        """The name of its file."""
        return self.pick.id.replace("\\", "/").rpartition("/")[2] or self.pick.id

    @property
    def label(self) -> str:
        """Its label, or why it has none."""
        outcome = _WITHOUT_LABEL.get(self.pick.outcome, "no label")
        return outcome if self.pick.label is None else self.pick.label

    @property
    def is_wrong(self) -> bool:
        """Whether the prediction differs from the label."""
        return _is_judged(self.pick) and self.pick.label != self.pick.predicted

    @property
    def reason(self) -> str:
        """The strategy's reason, without the rank."""
        notes = self.pick.reason.items()
        return ", ".join(f"{key} {value}" for key, value in notes if key != "rank")


@dataclass(frozen=True)
class ShownQuery:
    """The query of one round, as the template shows it.

    Args:
        round: The number of the round.
        facts: Its figures.
        classes: Labels of the batch by class, the most frequent first.
        further_classes: Number of classes that are not in `classes`.
        items: The items that are shown, in the order of the query.
        further: Number of items that are not shown.
    """

    round: int
    facts: Sequence[str]
    classes: Sequence[tuple[str, int]]
    further_classes: int
    items: Sequence[ShownItem]
    further: int


def queries(records: Sequence[RoundRecord], thumbnail: Thumbnails | None) -> list[ShownQuery]:
    """Return the queries of the rounds that had one."""
    asked = [record for record in records if record.picks]
    # Few per round where there are many rounds, so that the page stays light
    most = max(_FEWEST_PER_ROUND, min(MOST_PER_ROUND, _MOST_IN_ALL // max(len(asked), 1)))
    return [_query(record, most, thumbnail) for record in asked]


def _query(record: RoundRecord, most: int, thumbnail: Thumbnails | None) -> ShownQuery:
    facts = [f"{formats.count(len(record.picks))} of {formats.count(record.pool_size)} picked"]
    if judged := [pick for pick in record.picks if _is_judged(pick)]:
        wrong = sum(pick.label != pick.predicted for pick in judged)
        facts.append(f"model wrong on {wrong} of {len(judged)}")
    if waiting := sum(pick.outcome == "waiting" for pick in record.picks):
        facts.append(f"{waiting} waiting for a label")
    if record.audit:
        facts.append(f"{formats.count(len(record.audit), 'image')} more to measure the model")
    # Ties by name, so that equal runs have equal reports
    classes = sorted(record.batch_classes.items(), key=lambda entry: (-entry[1], entry[0]))
    items = [
        ShownItem(pick, picture_address(thumbnail(pick.id)) if thumbnail else None)
        for pick in record.picks[:most]
    ]
    return ShownQuery(
        round=record.round,
        facts=facts,
        classes=classes[:_MOST_CLASSES],
        further_classes=max(0, len(classes) - _MOST_CLASSES),
        items=items,
        further=len(record.picks) - len(items),
    )


def _is_judged(pick: Pick) -> bool:
    return pick.label is not None and pick.predicted is not None

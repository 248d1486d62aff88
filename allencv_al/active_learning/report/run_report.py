"""`report.html` of one run: its curve, its rounds, what each asked for, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allencv_al.active_learning.report.confusion import confusion
from allencv_al.active_learning.report.round_sections import costs, machine_seconds, picks, results
from allencv_al.active_learning.report.run_lines import run_lines
from allencv_al.active_learning.report.thumbnails import Thumbnails
from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.reports import figure_formats as formats
from allencv_al.reports.html import Node, name_text, tag
from allencv_al.reports.html_tables import Column, table
from allencv_al.reports.report_parts import (
    Head,
    Section,
    details,
    origin,
    write_page,
)
from allencv_al.reports.svg_chart import ChartText, line_chart

FILE_NAME = "report.html"

_RETRAINING = {
    "cold": "Each round trained a new model from the start.",
    "warm": "Each round went on training the model of the round before.",
    "shrink_perturb": "Each round began with the shrunken and perturbed weights of the one before.",
}
_MOST_UNREADABLE = 200


@dataclass(frozen=True)
class RunContext:
    """What a report says of a run beside its rounds.

    Args:
        name: What the run is called: the name of its folder.
        strategy: What chose the items, in a few words.
        annotator: Who labeled them.
        retrain: How the model began each round: `cold`, `warm` or `shrink_perturb`.
        test_items: How many items it was measured on.
        config: The whole config.
        environment: Versions and hardware, as `describe_environment()` gives them; left out, those
            of this process.
    """

    name: str
    strategy: str = ""
    annotator: str = ""
    retrain: str = ""
    test_items: int | None = None
    config: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None


def write_run_report(
    folder: Path,
    records: Sequence[RoundRecord],
    context: RunContext,
    thumbnail: Thumbnails | None = None,
) -> Path:
    """Write `report.html`, which holds everything it shows, and return its path.

    Args:
        folder: The folder of the run.
        records: Its rounds so far; there may be none.
        context: What else is known of it.
        thumbnail: Gives the pictures of the picks; left out, they are shown by name.
    """
    ordered = sorted(records, key=lambda record: record.round)
    path = Path(folder) / FILE_NAME
    write_page(path, _head(ordered, context), _sections(ordered, context, thumbnail))
    return path


def _head(records: Sequence[RoundRecord], context: RunContext) -> Head:
    labels = max((record.labels for record in records), default=0)
    accuracy = _last(records, "accuracy")
    figures = {
        "Accuracy on the test set": "" if accuracy is None else formats.percent(accuracy),
        "Labels": formats.count(labels),
        "Rounds": formats.count(len([record for record in records if record.labels])),
        "Computing time": formats.duration(machine_seconds(records)) if records else "",
    }
    notes = [note for record in records for note in record.notes]
    return Head("Active-learning run", context.name, _lead(records, context), figures, notes)


def _lead(records: Sequence[RoundRecord], context: RunContext) -> list[Node]:
    if not records:
        return ["This run has finished no round yet."]
    sizes = [len(record.picks) for record in records if record.picks]
    parts: list[Node] = []
    if sizes:
        chooser: Node = name_text(context.strategy) if context.strategy else "The strategy"
        pool = max(record.pool_size for record in records)
        parts += [
            chooser,
            f" chose up to {formats.count(max(sizes), 'item')} at a time from a pool of "
            f"{formats.count(pool)}",
        ]
        parts += [", labeled by ", name_text(context.annotator)] if context.annotator else []
        parts.append(". ")
    parts.append(_RETRAINING.get(context.retrain, ""))
    return [*parts, _progress(records, context)]


def _progress(records: Sequence[RoundRecord], context: RunContext) -> str:
    measured = [record for record in records if record.metrics.get("accuracy") is not None]
    if not measured:
        return " Nothing was measured on a test set."
    first, last = measured[0], measured[-1]
    where = formats.count(context.test_items, "test item") if context.test_items else "test items"
    text = (
        f" With {formats.count(last.labels, 'label')} the model classifies "
        f"{formats.percent(last.metrics['accuracy'])} of the {where} right"
    )
    if first is last:
        return f"{text}."
    before = formats.percent(first.metrics["accuracy"])
    return f"{text}; with {formats.count(first.labels)} it was {before}."


def _sections(
    records: Sequence[RoundRecord], context: RunContext, thumbnail: Thumbnails | None
) -> list[Section]:
    if not records:
        return [origin(context.config, context.environment)]
    matrices = [record for record in records if record.confusion_matrix]
    found = [
        _curve(records),
        results(records),
        picks(records, thumbnail),
        Section("confusion", "Confusion", confusion(matrices[-1])) if matrices else None,
        _unreadable(records),
        costs(records),
        origin(context.config, context.environment),
    ]
    return [section for section in found if section is not None]


def _curve(records: Sequence[RoundRecord]) -> Section | None:
    lines = run_lines(records)
    if not lines:
        return None
    ends = "; ".join(
        f"{line.name}: from {line.y[0]:.1%} at {line.x[0]:.0f} labels to {line.y[-1]:.1%} at "
        f"{line.x[-1]:.0f}"
        for line in lines
    )
    chart = line_chart(lines, ChartText(f"Accuracy over labels. {ends}."))
    return Section("curve", "Learning curve", [tag("figure", chart)])


def _unreadable(records: Sequence[RoundRecord]) -> Section | None:
    found = {id: cause for record in records for id, cause in record.unreadable.items()}
    if not found:
        return None
    rows = [(name_text(id), cause) for id, cause in list(found.items())[:_MOST_UNREADABLE]]
    columns = (Column("Image", text=True), Column("Cause", text=True))
    count = formats.count(len(found), "image")
    caption = "Images that could not be read" + (
        f" (the first {_MOST_UNREADABLE})" if len(found) > _MOST_UNREADABLE else ""
    )
    return Section(
        "unreadable",
        "Unreadable images",
        [details(f"{count} could not be read and took no part", table(caption, columns, rows))],
    )


def _last(records: Sequence[RoundRecord], metric: str) -> float | None:
    values = [record.metrics.get(metric) for record in records]
    return next((value for value in reversed(values) if value is not None), None)

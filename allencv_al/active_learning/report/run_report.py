"""`report.html` of one run: its learning curve, its rounds, their queries, and its costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from allencv_al.active_learning.report.queries import Thumbnails, queries
from allencv_al.active_learning.report.round_tables import (
    machine_seconds,
    metric_table,
    time_table,
)
from allencv_al.active_learning.rounds.curves import curve_from_records
from allencv_al.active_learning.rounds.forecast import forecast_of_run, forecast_text
from allencv_al.active_learning.rounds.round_record import RoundRecord, audit_text, headline
from allencv_al.reports import figure_formats as formats
from allencv_al.reports.confusion_table import confusion_table
from allencv_al.reports.line_chart import ChartText, CurveLine, page_chart
from allencv_al.reports.page import TextTable, write_page
from allencv_al.selection.pool.pool_outputs import EncodingCost

FILE_NAME = "report.html"
CURVE_NAME = "learning_curve.png"

_RETRAINING = {
    "cold": "Each round trained a new model from the start.",
    "warm": "Each round continued the training of the model of the round before.",
    "shrink_perturb": "Each round began with the shrunken and perturbed weights of the one before.",
}
_LINES = {
    "accuracy": "test set",
    "mean_average_precision": "mAP on the test set",
    "miou": "mIoU on the test set",
    "pool_accuracy": "whole pool",
    "audit_accuracy": "audit sample",
}
# Names of the metrics that are the ends of a line's band
_BANDS = {
    "accuracy": ("accuracy_low", "accuracy_high"),
    "audit_accuracy": ("audit_low", "audit_high"),
}
_SECTIONS = {
    "curve": "Learning curve",
    "rounds": "Rounds",
    "queries": "What was labeled",
    "confusion": "Confusion",
    "unreadable": "Unreadable images",
    "costs": "Costs",
}
_MOST_UNREADABLE = 200


@dataclass(frozen=True)
class RunContext:
    """Facts of a run that its records lack.

    Args:
        name: The name of the run, which is that of its folder.
        strategy: The strategy, in a few words.
        annotator: The annotator.
        retrain: Start of each round's model: `cold`, `warm` or `shrink_perturb`.
        test_items: Number of test items.
        config: The whole config.
        environment: Versions and hardware, from `describe_environment()`; default: those of this
            process.
        target: The accuracy that a stop rule names, for the forecast; None without one.
        seconds_per_label: Median time that annotators spent on a label; None if unknown.
        encoding: Cost of the embeddings; None where images are encoded in every round.
    """

    name: str
    strategy: str = ""
    annotator: str = ""
    retrain: str = ""
    test_items: int | None = None
    config: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None
    target: float | None = None
    seconds_per_label: float | None = None
    encoding: EncodingCost | None = None


def write_run_report(
    folder: Path,
    records: Sequence[RoundRecord],
    context: RunContext,
    thumbnail: Thumbnails | None = None,
) -> Path:
    """Write `report.html`, which contains everything it shows, and return its path.

    Args:
        folder: The run directory.
        records: Its rounds so far; may be empty.
        context: Further facts of the run.
        thumbnail: Returns thumbnails; without it, items are shown by name.
    """
    ordered = sorted(records, key=lambda record: record.round)
    path = Path(folder) / FILE_NAME
    content = _content(ordered, thumbnail, context.target) if ordered else {}
    write_page(
        path,
        "active_learning/report/run_report.html.j2",
        context.config,
        context.environment,
        kind="Active-learning run",
        name=context.name,
        figures=_figures(ordered, context.encoding),
        notes=[note for record in ordered for note in record.notes],
        sections={name: title for name, title in _SECTIONS.items() if content.get(name)},
        run=context,
        has_rounds=bool(ordered),
        largest_query=max((len(record.picks) for record in ordered), default=0),
        pool_size=max((record.pool_size for record in ordered), default=0),
        retraining=_RETRAINING.get(context.retrain, ""),
        progress=_progress(ordered, context),
        forecast=forecast_text(
            ordered, context.target, context.seconds_per_label, says_why_not=True
        ),
        has_pictures=thumbnail is not None,
        **content,
    )
    return path


def run_lines(records: Sequence[RoundRecord], target: float | None = None) -> list[CurveLine]:
    """Return the lines of one run: accuracy on the test set, the whole pool and an audit sample.

    A metric that no round has gives no line. The bands are 95 % intervals: that of the audit, and
    that of the test set where the number of its images is known. A forecast is a line at the height
    of its target over the labels that the target needs.

    Args:
        records: The rounds.
        target: The target of the forecast; None for half of the errors in the audit, if any.
    """
    records = [_with_test_interval(record) for record in records]
    lines = []
    for metric, name in _LINES.items():
        curve = curve_from_records(records, name, seed=0, metric=metric)
        if curve is None:
            continue
        ends = (
            curve_from_records(records, end, seed=0, metric=end) for end in _BANDS.get(metric, ())
        )
        # A round without an interval, such as an older pipeline's, leaves the line without a band
        band = [
            end.values
            for end in ends
            if end is not None and np.array_equal(end.labels, curve.labels)
        ]
        x = curve.labels.astype(np.float64)
        lines.append(CurveLine(name, x, curve.values, *(band if len(band) == 2 else ())))
    return lines + _forecast_lines(records, target)


def _with_test_interval(record: RoundRecord) -> RoundRecord:
    """Return a record whose metrics have the ends of the test accuracy's interval, if known."""
    found = record.test_accuracy()
    if found is None:
        return record
    low, high = _BANDS["accuracy"]
    return replace(record, metrics={**record.metrics, low: found.low, high: found.high})


def _forecast_lines(records: Sequence[RoundRecord], target: float | None) -> list[CurveLine]:
    found = forecast_of_run(records, target)
    if found is None or found.labels is None or found.low is None:
        return []
    ends = (found.low, found.labels, found.labels if found.high is None else found.high)
    # Without repeats: a forecast without an upper end has its middle twice
    x = np.unique(np.asarray(ends, np.float64))
    return [CurveLine(f"forecast of {found.target:.1%}", x, np.full(len(x), found.target))]


def _content(
    records: Sequence[RoundRecord], thumbnail: Thumbnails | None, target: float | None
) -> dict[str, Any]:
    """Return the content of each section of the page; None or empty leaves a section out."""
    lines = run_lines(records, target)
    ends = "; ".join(
        f"{line.name}: from {line.y[0]:.1%} at {line.x[0]:.0f} labels to {line.y[-1]:.1%} at "
        f"{line.x[-1]:.0f}"
        for line in lines
        if not line.name.startswith("forecast")
    )
    matrix = next((record for record in reversed(records) if record.confusion_matrix), None)
    causes = {id: cause for record in records for id, cause in record.unreadable.items()}
    caption = "Images that could not be read"
    if len(causes) > _MOST_UNREADABLE:
        caption += f" (the first {_MOST_UNREADABLE})"
    rows = [*causes.items()][:_MOST_UNREADABLE]
    return {
        "curve": page_chart(lines, ChartText(), f"Accuracy over labels. {ends}.")
        if lines
        else None,
        "has_bands": any(line.low is not None for line in lines),
        "rounds": metric_table(records),
        "queries": queries(records, thumbnail),
        "confusion": confusion_table(matrix.confusion_matrix or (), matrix.classes)
        if matrix
        else None,
        "matrix_labels": matrix.labels if matrix else 0,
        "unreadable": TextTable(caption, ("Image", "Cause"), rows, texts=2) if causes else None,
        "unreadable_count": len(causes),
        "costs": time_table(records),
    }


def _figures(records: Sequence[RoundRecord], encoding: EncodingCost | None) -> dict[str, str]:
    measured = _measured(records)
    audited = _audited(records)
    return {
        "Accuracy on the test set": _accuracy_text(measured[-1]) if measured else "",
        "Audited accuracy": "" if audited is None else formats.percent(audited["audit_accuracy"]),
        "Labels": formats.count(max((record.labels for record in records), default=0)),
        "Rounds": formats.count(len([record for record in records if record.labels])),
        "Computing time": formats.duration(machine_seconds(records)) if records else "",
        "Images encoded": "" if encoding is None else _encoding_text(encoding),
    }


def _encoding_text(cost: EncodingCost) -> str:
    known = f", {formats.count(cost.known)} from the store" if cost.known else ""
    return f"{formats.count(cost.encoded)}{known}, in {formats.duration(cost.seconds)}"


def _audited(records: Sequence[RoundRecord]) -> Mapping[str, float | None] | None:
    """Return the metrics of the last round that was audited."""
    found = (record.metrics for record in reversed(records))
    return next((one for one in found if one.get("audit_accuracy") is not None), None)


def _measured(records: Sequence[RoundRecord]) -> list[RoundRecord]:
    return [record for record in records if record.metrics.get("accuracy") is not None]


def _accuracy_text(record: RoundRecord) -> str:
    """Return the accuracy on the test set, with its interval where that is known."""
    text, found = formats.percent(record.metrics["accuracy"]), record.test_accuracy()
    if found is None:
        return text
    return f"{text} ({formats.percent(found.low)} to {formats.percent(found.high)})"


def _headline_text(records: Sequence[RoundRecord], context: RunContext) -> str | None:
    """Return the progress of models that have no accuracy: of masks, boxes or several classes."""
    found = [(record, headline(record.metrics)) for record in records]
    measured = [(record.labels, one) for record, one in found if one is not None]
    if not measured:
        return None
    (fewest, (_, before)), (most, (name, value)) = measured[0], measured[-1]
    where = formats.count(context.test_items, "test item") if context.test_items else "test items"
    text = f"With {formats.count(most, 'label')} the {name} on the {where} is {value:.3f}"
    return f"{text}." if most == fewest else f"{text}; with {fewest} it was {before:.3f}."


def _progress(records: Sequence[RoundRecord], context: RunContext) -> str:
    audited = _audited(records)
    measured = _measured(records)
    if audited is not None and not measured:
        return f"The last model's accuracy is {audit_text(audited)}."
    if not measured:
        return _headline_text(records, context) or "Nothing was measured on a test set."
    first, last = measured[0], measured[-1]
    where = formats.count(context.test_items, "test item") if context.test_items else "test items"
    text = (
        f"With {formats.count(last.labels, 'label')} the model classifies "
        f"{formats.percent(last.metrics['accuracy'])} of the {where} correctly"
    )
    if first is not last:
        before = formats.percent(first.metrics["accuracy"])
        text += f"; with {formats.count(first.labels)} it was {before}"
    return f"{text}." if audited is None else f"{text}. In the audit it is {audit_text(audited)}."

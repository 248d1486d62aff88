"""Tables of a run: metrics and times of each round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.reports import figure_formats as formats
from allencv_al.reports.page import TextTable

_PHASES = ("train", "test", "infer", "select", "annotate")

# Head and explanation of each metric
_METRICS = {
    "accuracy": ("Accuracy", "Share of the test set that is classified correctly"),
    "balanced_accuracy": ("Balanced accuracy", "Mean of the recall over the classes"),
    "macro_f1": ("Macro F1", "Mean of the F1 score over the classes"),
    "roc_auc": ("ROC AUC", "Mean over the classes of the area under the ROC curve"),
    "average_precision": (
        "PR AUC",
        "Mean over the classes of the area under the precision-recall curve",
    ),
    "negative_log_likelihood": (
        "NLL",
        "Mean negative log likelihood of the true class: small is good",
    ),
    "expected_calibration_error": (
        "Calibration error",
        "Difference between predicted probabilities and observed frequencies: small is good",
    ),
    "mean_average_precision": ("mAP", "Mean average precision of the boxes in the test set"),
    "miou": ("mIoU", "Mean over the classes of intersection over union, of all test pixels"),
    "mean_dice": ("Mean Dice", "Mean over the classes of the Dice coefficient of all test pixels"),
    "pixel_accuracy": ("Pixel accuracy", "Share of the test pixels that have the right class"),
    "pool_accuracy": (
        "Pool accuracy",
        "Share of the whole pool that has the right class, given or predicted",
    ),
    "coverage_radius": (
        "Coverage radius",
        "Distance of the farthest item from its nearest labeled one",
    ),
    "redundancy": (
        "Distance in batch",
        "Mean distance of an item of the batch to the nearest other one: small means redundant",
    ),
    "batch_class_entropy": (
        "Entropy of batch",
        "Entropy of the classes of the batch in nats: large means that all classes occur",
    ),
    "agreement": (
        "Agreement",
        "Of the predictions with those of the round before, beyond chance (Cohen's kappa)",
    ),
    "audit_accuracy": (
        "Audited accuracy",
        "On random images of the pool that no model was trained on",
    ),
    "audit_low": ("At least", "Lower end of the interval of the audited accuracy"),
    "audit_high": ("At most", "Upper end of the interval of the audited accuracy"),
    "audit_labels": ("Audited images", "Labeled images that the audited accuracy rests on"),
    "mean_confidence": (
        "Confidence",
        "Accuracy that the model expects of itself on the pool; no label checks it",
    ),
}
# The other metrics are fractions, shown in percent
_FORMATS: Mapping[str, Callable[[float | None], str]] = {
    "negative_log_likelihood": formats.number,
    "coverage_radius": formats.significant,
    "redundancy": formats.significant,
    "batch_class_entropy": lambda value: formats.number(value, 2),
    "agreement": formats.number,
    "audit_labels": lambda value: formats.NONE if value is None else formats.count(round(value)),
}


def metric_table(records: Sequence[RoundRecord]) -> TextTable:
    """Return the metrics of each round; a metric that no round has gets no column."""
    known = [
        name for name in _METRICS if any(record.metrics.get(name) is not None for record in records)
    ]
    rows = [
        [
            str(record.round),
            formats.count(record.labels),
            *(_FORMATS.get(name, formats.percent)(record.metrics.get(name)) for name in known),
            formats.duration(machine_seconds([record])),
        ]
        for record in records
    ]
    return TextTable(
        "Metrics of each round",
        ["Round", "Labels", *(_METRICS[name][0] for name in known), "Time"],
        rows,
        hints={
            **dict(_METRICS.values()),
            "Time": "All phases of the round, without waiting for labels",
        },
        texts=0,
    )


def time_table(records: Sequence[RoundRecord]) -> TextTable:
    """Return the time of each phase, and the memory of the selection if measured."""
    phases = [phase for phase in _PHASES if any(phase in record.seconds for record in records)]
    columns = ["Round", *map(str.capitalize, phases), "In all"]
    rows = [
        [
            str(record.round),
            *(formats.duration(record.seconds.get(phase)) for phase in phases),
            formats.duration(sum(record.seconds.values())),
        ]
        for record in records
    ]
    sums = [sum(record.seconds.get(phase, 0.0) for record in records) for phase in phases]
    everything = sum(sum(record.seconds.values()) for record in records)
    rows.append(["All", *map(formats.duration, [*sums, everything])])
    peaks = [record.select_peak_mb for record in records]
    if any(peak is not None for peak in peaks):
        columns.append("Memory")
        texts = [formats.NONE if peak is None else f"{peak:,.0f} MB" for peak in peaks]
        rows = [[*row, memory] for row, memory in zip(rows, [*texts, ""], strict=True)]
    hints = {"Memory": "Growth of the peak memory during selection"}
    return TextTable("Time of each phase", columns, rows, hints, texts=0, style="with-sum")


def machine_seconds(records: Sequence[RoundRecord]) -> float:
    """Return the time of all phases together, without waiting for labels."""
    return sum(
        seconds
        for record in records
        for phase, seconds in record.seconds.items()
        if phase != "annotate"  # a person's time, in which the machine waits
    )

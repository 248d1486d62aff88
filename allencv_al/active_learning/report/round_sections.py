"""The sections of a run's report that go round by round: results, picks and costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from allencv_al.active_learning.report.thumbnails import (
    Thumbnails,
    shown_per_round,
    thumbnail_image,
)
from allencv_al.active_learning.rounds.round_record import Pick, RoundRecord
from allencv_al.reports import figure_formats as formats
from allencv_al.reports.html import Markup, Node, name_text, tag
from allencv_al.reports.html_tables import Column, table
from allencv_al.reports.report_parts import Section, details

_MOST_CLASSES = 40
_OUTCOMES = {
    "returned": "back to the pool",
    "skip": "skipped",
    "unsure": "not sure",
    "unreadable": "unreadable",
    "waiting": "waiting for a label",
    "untold": "labeled by the pipeline",
}

# Each metric with its head, what it means, and how it is written
_Format = Callable[[float | None], str]
_METRICS: Mapping[str, tuple[str, str, _Format]] = {
    "accuracy": (
        "Accuracy",
        "Share of the test set that is classified right",
        formats.percent,
    ),
    "balanced_accuracy": (
        "Balanced accuracy",
        "Mean over the classes of the share classified right",
        formats.percent,
    ),
    "macro_f1": ("Macro F1", "Mean over the classes of the F1 score", formats.percent),
    "negative_log_likelihood": (
        "NLL",
        "Mean negative log likelihood of the true class: small is good",
        formats.number,
    ),
    "expected_calibration_error": (
        "Calibration error",
        "How far stated probabilities are from the shares that come true: small is good",
        formats.percent,
    ),
    "mean_average_precision": (
        "mAP",
        "Mean average precision of the boxes that are found in the test set",
        formats.percent,
    ),
    "pool_accuracy": (
        "Pool accuracy",
        "Share of the whole pool that has the right class, given or predicted",
        formats.percent,
    ),
    "coverage_radius": (
        "Coverage radius",
        "Distance of the farthest item from its nearest labeled one",
        lambda value: formats.significant(value),
    ),
    "redundancy": (
        "Distance in batch",
        "Mean distance of an item of the batch to the nearest other one: small means redundant",
        lambda value: formats.significant(value),
    ),
    "batch_class_entropy": (
        "Entropy of batch",
        "Entropy of the classes of the batch in nats: large means that all classes occur",
        lambda value: formats.number(value, 2),
    ),
    "agreement": (
        "Agreement",
        "Of the predictions with those of the round before, beyond chance (Cohen's kappa)",
        formats.number,
    ),
}
_PHASES = ("train", "test", "infer", "select", "annotate")


def results(records: Sequence[RoundRecord]) -> Section:
    """Return the table of what was measured in each round; what no round has, it leaves out."""
    known = [
        name for name in _METRICS if any(record.metrics.get(name) is not None for record in records)
    ]
    columns = [
        Column("Round"),
        Column("Labels"),
        *(Column(_METRICS[name][0], _METRICS[name][1]) for name in known),
        Column("Time", "All phases of the round, without waiting for labels"),
    ]
    rows = [
        [
            str(record.round),
            formats.count(record.labels),
            *(_METRICS[name][2](record.metrics.get(name)) for name in known),
            formats.duration(_machine_seconds(record)),
        ]
        for record in records
    ]
    return Section("rounds", "Rounds", [table("What was measured in each round", columns, rows)])


def picks(records: Sequence[RoundRecord], thumbnail: Thumbnails | None) -> Section | None:
    """Return what each round asked for, the last one open; None where none asked for anything."""
    asked = [record for record in records if record.picks]
    if not asked:
        return None
    most = shown_per_round(len(asked))
    entries = [
        details(
            _picks_summary(record),
            _class_counts(record.batch_classes),
            tag(
                "ol",
                *(_pick(place, pick, thumbnail) for place, pick in enumerate(record.picks[:most])),
                class_="picks",
            ),
            _more(len(record.picks) - most),
            open_=record is asked[-1],
        )
        for record in asked
    ]
    explanation = tag(
        "p",
        "In the order of picking, with the score that each had then (higher was more wanted). "
        "“cat → dog” was predicted as cat and labeled as dog; ✓ was predicted right.",
        class_="hint",
    )
    return Section("picks", "What was labeled", [explanation, *entries])


def costs(records: Sequence[RoundRecord]) -> Section:
    """Return the table of how long each phase took."""
    phases = [phase for phase in _PHASES if any(phase in record.seconds for record in records)]
    measured = any(record.select_peak_mb is not None for record in records)
    columns = [
        Column("Round"),
        *(Column(phase.capitalize()) for phase in phases),
        Column("In all"),
        *(
            [Column("Memory", "By how much the peak memory grew while choosing")]
            if measured
            else ()
        ),
    ]
    rows: list[list[Node]] = []
    for record in records:
        cells = [formats.duration(record.seconds.get(phase)) for phase in phases]
        memory = (
            formats.NONE if record.select_peak_mb is None else f"{record.select_peak_mb:,.0f} MB"
        )
        total = formats.duration(sum(record.seconds.values()))
        rows.append([str(record.round), *cells, total, *([memory] if measured else ())])
    sums = [sum(record.seconds.get(phase, 0.0) for record in records) for phase in phases]
    everything = formats.duration(sum(sum(record.seconds.values()) for record in records))
    last = ["All", *map(formats.duration, sums), everything, *([""] if measured else ())]
    caption = "How long each phase took"
    return Section("costs", "Costs", [table(caption, columns, [*rows, last], class_="with-sum")])


def machine_seconds(records: Sequence[RoundRecord]) -> float:
    """Return how long all rounds took, without the wait for labels."""
    return sum(map(_machine_seconds, records))


def _machine_seconds(record: RoundRecord) -> float:
    return sum(seconds for phase, seconds in record.seconds.items() if phase != "annotate")


def _picks_summary(record: RoundRecord) -> Markup:
    facts = [f"{formats.count(len(record.picks))} of {formats.count(record.pool_size)} picked"]
    judged = [
        pick for pick in record.picks if pick.label is not None and pick.predicted is not None
    ]
    if judged:
        wrong = sum(pick.label != pick.predicted for pick in judged)
        facts.append(f"model wrong on {wrong} of {len(judged)}")
    waiting = sum(pick.outcome == "waiting" for pick in record.picks)
    if waiting:
        facts.append(f"{waiting} waiting for a label")
    return tag(
        "span",
        tag("strong", f"Round {record.round}"),
        *(tag("span", fact, class_="fact") for fact in facts),
    )


def _class_counts(counts: Mapping[str, int]) -> Markup | None:
    if not counts:
        return None
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    entries = [
        tag("li", name_text(name), " ", tag("b", formats.count(number)))
        for name, number in ordered[:_MOST_CLASSES]
    ]
    if len(ordered) > _MOST_CLASSES:
        entries.append(tag("li", f"and {len(ordered) - _MOST_CLASSES} more classes"))
    return tag("ul", *entries, class_="counts", aria_label="Labels of the batch by class")


def _pick(place: int, pick: Pick, thumbnail: Thumbnails | None) -> Markup:
    content = thumbnail(pick.id) if thumbnail is not None else None
    name = pick.id.replace("\\", "/").rpartition("/")[2] or pick.id
    wrong = None not in (pick.label, pick.predicted) and pick.label != pick.predicted
    reasons = ", ".join(f"{key} {value}" for key, value in pick.reason.items() if key != "rank")
    caption = tag(
        "figcaption",
        tag(
            "span",
            tag("b", f"#{place + 1}"),
            tag("span", formats.significant(pick.score), title="score"),
            class_="rank",
        ),
        _classes(pick),
        tag("span", name_text(name), class_="file", title=pick.id),
    )
    shown = thumbnail_image(content, alt=name)
    if shown is None and thumbnail is not None:
        shown = tag("div", "no picture", class_="no-picture")
    return tag(
        "li",
        tag("figure", shown, caption),
        class_="wrong" if wrong else None,
        title=reasons or None,
    )


def _classes(pick: Pick) -> Markup:
    given: Node = _OUTCOMES.get(pick.outcome, "no label")
    if pick.label is not None:
        given = name_text(pick.label)
    if pick.predicted is None:
        return tag("span", given, class_="classes")
    if pick.outcome == "untold":  # what the pipeline knows of it stays there
        return tag("span", name_text(pick.predicted), " predicted", class_="classes")
    if pick.label == pick.predicted:
        return tag("span", given, tag("span", " ✓", title="predicted right"), class_="classes")
    return tag("span", name_text(pick.predicted), " → ", given, class_="classes")


def _more(number: int) -> Markup | None:
    if number <= 0:
        return None
    return tag("p", f"and {formats.count(number, 'more pick')} not shown here", class_="hint")

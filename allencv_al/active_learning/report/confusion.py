"""The confusion matrix as a table, or its largest entries where there are too many classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.reports import figure_formats as formats
from allencv_al.reports.html import Markup, Node, name_text, tag
from allencv_al.reports.html_tables import Column, shaded, table

_MOST_CLASSES = 40
_MOST_PAIRS = 30


def confusion(record: RoundRecord) -> list[Node]:
    """Return the confusion matrix of a round that has one, with a line on how to read it."""
    matrix, classes = record.confusion_matrix or (), record.classes
    if len(classes) > _MOST_CLASSES:
        return [_pairs(matrix, classes)]
    hint = (
        f"After {formats.count(record.labels, 'label')}. Rows are true classes, columns predicted "
        "ones; the darker a cell, the larger its share of the row."
    )
    return [tag("p", hint, class_="hint"), _whole(matrix, classes)]


def _whole(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Markup:
    columns = [
        Column("true \\ predicted", text=True),
        *(Column(name) for name in classes),
        Column("right"),
    ]
    rows = []
    for place, (name, counts) in enumerate(zip(classes, matrix, strict=True)):
        total = sum(counts)
        cells = [
            shaded(
                formats.count(count) if count else "·",
                # A confusion of one in a hundred is worth seeing, so its root is shown
                math.sqrt(count / total) if total else 0.0,
                "right" if column == place else "wrong",
            )
            for column, count in enumerate(counts)
        ]
        recall = formats.percent(counts[place] / total if total else None)
        rows.append([name_text(name), *cells, recall])
    return table("Confusion matrix on the test set", columns, rows, class_="matrix")


def _pairs(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Markup:
    found = [
        (count, classes[row], classes[column], count / sum(counts))
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if row != column and count
    ]
    found.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    columns = (
        Column("True class", text=True),
        Column("Taken for", text=True),
        Column("Items"),
        Column("Share of the class"),
    )
    rows = [
        (
            name_text(true),
            name_text(predicted),
            formats.count(count),
            formats.percent(share),
        )
        for count, true, predicted, share in found[:_MOST_PAIRS]
    ]
    caption = f"The classes that are taken for each other most, of {formats.count(len(classes))}"
    return table(caption, columns, rows)

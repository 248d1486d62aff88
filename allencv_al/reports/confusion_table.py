"""The confusion matrix as a table of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from allencv_al.reports import figure_formats as formats
from allencv_al.reports.page import TextTable

MOST_CLASSES = 40
_MOST_PAIRS = 30


def confusion_table(
    matrix: Sequence[Sequence[int]],
    classes: Sequence[str],
    caption: str = "Confusion matrix on the test set",
    links: Mapping[tuple[int, int], str] | None = None,
) -> TextTable:
    """Return the confusion matrix, or its largest entries if it has more than 40 classes.

    Args:
        matrix: Counts; rows are true classes, columns predicted ones, `[C, C]`.
        classes: The names of the classes, by index.
        caption: Title of the whole matrix.
        links: The places in the page that entries lead to, by row and column of the matrix.
    """
    links = links or {}
    if len(classes) > MOST_CLASSES:
        return _confused_pairs(matrix, classes, links)
    rows: list[list[str]] = []
    shades: list[list[tuple[str, float] | None]] = []
    for place, (name, counts) in enumerate(zip(classes, matrix, strict=True)):
        total = sum(counts)
        recall = formats.percent(counts[place] / total if total else None)
        rows.append([name, *(formats.count(count) if count else "·" for count in counts), recall])
        # A confusion of one in a hundred is worth seeing, so the root of the share is shown
        shares = [math.sqrt(count / total) if total else 0.0 for count in counts]
        kinds = ["right" if column == place else "wrong" for column in range(len(counts))]
        shades.append([*zip(kinds, shares, strict=True), None])
    return TextTable(
        caption,
        ["true \\ predicted", *classes, "right"],
        rows,
        shades=shades,
        style="matrix",
        links={(row, column + 1): link for (row, column), link in links.items()},
    )


def _confused_pairs(
    matrix: Sequence[Sequence[int]],
    classes: Sequence[str],
    links: Mapping[tuple[int, int], str],
) -> TextTable:
    pairs = [
        (count, classes[row], classes[column], count / sum(counts), links.get((row, column)))
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if row != column and count
    ]
    # Ties by name, so that equal runs have equal reports
    pairs = sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))[:_MOST_PAIRS]
    return TextTable(
        f"Most frequent confusions among {formats.count(len(classes))} classes",
        ("True class", "Predicted class", "Items", "Share of the class"),
        [
            (true, predicted, formats.count(count), formats.percent(share))
            for count, true, predicted, share, _ in pairs
        ],
        texts=2,
        links={(row, 2): link for row, (*_, link) in enumerate(pairs) if link},
    )

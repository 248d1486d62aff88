"""The metrics of an evaluation as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CONFUSION_MATRIX = "confusion_matrix"
# What the table of classes says already
_OF_CLASSES = (CONFUSION_MATRIX, "per_class_accuracy")


def metrics_table(metrics: Mapping[str, Any], class_names: Sequence[str]) -> str:
    """Return the metrics, one a line, and what became of each class.

    Args:
        metrics: Metrics as JSON values.
        class_names: The classes, in the order of the confusion matrix.
    """
    matrix = metrics.get(CONFUSION_MATRIX) or ()
    has_classes = 0 < len(matrix) == len(class_names)
    left_out = _OF_CLASSES if has_classes else ()
    rows = [
        (name, _number(value))
        for key, found in metrics.items()
        if key not in left_out
        for name, value in _single_values(key, found)
    ]
    text = _aligned(rows, left=1)
    if has_classes:
        names = [_printable(name) for name in class_names]
        text += "\n" + _aligned(_class_rows(matrix, names), left=1)
    return text


def _class_rows(matrix: Sequence[Sequence[float]], names: Sequence[str]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("class", "images", "right", "most often taken for")]
    for index, (name, counts) in enumerate(zip(names, matrix, strict=True)):
        total = sum(counts)
        wrong = [0 if place == index else count for place, count in enumerate(counts)]
        worst = max(range(len(names)), key=wrong.__getitem__)
        rows.append(
            (
                name,
                f"{total:g}",
                f"{100 * counts[index] / total:.1f} %" if total else "-",
                f"{names[worst]} ({wrong[worst]:g})" if wrong[worst] else "-",
            )
        )
    return rows


def _single_values(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _single_values(f"{name}.{_printable(str(key))}", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _single_values(f"{name}.{index}", inner)
    else:
        yield name, value


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def _aligned(rows: Sequence[tuple[str, ...]], left: int) -> str:
    """Return rows in columns, the first `left` of them and the last aligned to the left."""
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    lines = (
        "  ".join(
            cell.ljust(width) if place < left or (place == last > left) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)

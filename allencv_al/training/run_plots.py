"""Pictures of a run: its curves and its confusion matrix. Matplotlib is imported when needed."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from allencv_al.common.figures import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from allencv_al.data.vocabulary import Vocabulary

TRAINING_CURVES = "training_curves.png"
CONFUSION_MATRIX = "confusion_matrix.png"

# Above this many classes the picture would be too large for names, and its cells for counts
_MOST_NAMED_CLASSES = 300
_MOST_COUNTED_CLASSES = 20
# Inches: of a class with a name of 10 points, of one of 7, and of what stands around them
_CLASS_SIDE, _FRAME_SIDE, _LARGE_SIDE = 0.45, 2.0, 16.0
_SMALL_CLASS_SIDE, _SMALL_FRAME_SIDE, _SMALL_NAME = 0.1, 3.0, 7
_MOST_LARGE_NAMES = 31
_LETTER_SIDE, _WIDTH_OF_FRAME, _LONGEST_NAME = 0.1, 8, 40
_MOST_PANELS = 6
_PREFIXES = {"training_": "tab:blue", "validation_": "tab:orange"}


def write_training_curves(path: Path, history: Sequence[Mapping[str, Any]]) -> bool:
    """Draw each metric over the epochs, training and validation in one panel.

    Args:
        path: The PNG file to write.
        history: The metrics of each epoch, with the keys `epoch`, `training_*`, `validation_*`.

    Returns:
        True if there was something to draw and it was drawn.
    """
    names = _panel_names(history)
    if not names:
        return False
    rows, columns = (len(names) + 2) // 3, min(len(names), 3)

    def draw(figure: Figure) -> None:
        for place, name in enumerate(names, start=1):
            _draw_panel(figure.add_subplot(rows, columns, place), history, name)

    return write_figure(path, draw, width=5.0 * columns, height=3.6 * rows)


def write_confusion_matrix(
    path: Path, matrix: ArrayLike, vocab: Vocabulary, title: str, namespace: str = "labels"
) -> bool:
    """Draw how many items of each true class were predicted as which.

    Args:
        path: The PNG file to write.
        matrix: Counts `[C, C]`; rows are true classes, columns predictions.
        vocab: Gives the classes their names.
        title: Its title.
        namespace: Namespace of the class names in the vocabulary.

    Returns:
        Whether it was drawn.
    """

    def draw(figure: Figure) -> None:
        counts = np.asarray(matrix, dtype=np.float64)
        names = _class_names(vocab.get_index_to_token_vocabulary(namespace), len(counts))
        room = _LETTER_SIDE * max(0, max(map(_width, names), default=0) - _WIDTH_OF_FRAME)
        side = _matrix_side(len(counts)) + room
        figure.set_size_inches(side + 1.0, side)
        axes = figure.add_subplot()
        axes.set(title=title, xlabel="predicted", ylabel="true")
        _draw_matrix(figure, axes, counts)
        if names:
            _name_classes(axes, names)
        else:
            axes.set_title(
                f"{title}: {len(counts)} classes; the counts are in metrics.json "
                f"(confusion_matrix), the names in vocabulary/{namespace}.txt"
            )

    return write_figure(path, draw)


def _matrix_side(classes: int) -> float:
    """Return the side of the picture in inches: it grows as long as there are names."""
    if classes <= _MOST_LARGE_NAMES:
        return max(3.5, _CLASS_SIDE * classes + _FRAME_SIDE)
    if classes > _MOST_NAMED_CLASSES:
        return _LARGE_SIDE
    return max(_LARGE_SIDE, _SMALL_CLASS_SIDE * classes + _SMALL_FRAME_SIDE)


def _class_names(known: Mapping[int, str], count: int) -> list[str]:
    """Return the class names for the picture; none where there are too many classes."""
    if count > _MOST_NAMED_CLASSES:
        return []
    return [_shortened(known.get(index, str(index))) for index in range(count)]


def _name_classes(axes: Axes, names: Sequence[str]) -> None:
    size = None if len(names) <= _MOST_LARGE_NAMES else _SMALL_NAME
    is_upright = len(names) > 5 or max(map(_width, names)) > _WIDTH_OF_FRAME
    # "$" would start a formula, and class names come from folder names
    texts = [name.replace("$", r"\$") for name in names]
    axes.set_xticks(range(len(names)), texts, rotation=90 if is_upright else 0, fontsize=size)
    axes.set_yticks(range(len(names)), texts, fontsize=size)


def _shortened(name: str) -> str:
    line = " ".join(name.split())
    half = _LONGEST_NAME // 2
    return line if len(line) <= _LONGEST_NAME else f"{line[:half]}…{line[1 - half :]}"


def _width(name: str) -> int:
    """Return the width of a name in columns; East Asian characters take two each."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name)


def _draw_matrix(figure: Figure, axes: Axes, counts: NDArray[np.float64]) -> None:
    # Colors are shares of the true class, so that a rare class is as visible as a common one
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class")
    if len(counts) > _MOST_COUNTED_CLASSES:
        return
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count:g}", ha="center", va="center", color=color, fontsize=8)


def _panel_names(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the metrics to draw: the loss first, then those that validation has too."""
    found: dict[str, int] = {}
    for metrics in history:
        for key, value in metrics.items():
            prefix = next((p for p in _PREFIXES if key.startswith(p)), None)
            if prefix is not None and isinstance(value, int | float):
                name = key.removeprefix(prefix)
                found[name] = found.get(name, 0) + 1
    for bookkeeping in ("epochs", "start_epoch"):
        found.pop(bookkeeping, None)
    order = sorted(found, key=lambda name: (name != "loss", -found[name]))
    return order[:_MOST_PANELS]


def _draw_panel(axes: Axes, history: Sequence[Mapping[str, Any]], name: str) -> None:
    for prefix, color in _PREFIXES.items():
        points = [
            (metrics.get("epoch", epoch), metrics[prefix + name])
            for epoch, metrics in enumerate(history)
            if isinstance(metrics.get(prefix + name), int | float)
        ]
        if points:
            epochs, values = zip(*points, strict=True)
            axes.plot(epochs, values, marker=".", color=color, label=prefix.rstrip("_"))
    best = history[-1].get("best_epoch")
    if best is not None:
        axes.axvline(best, color="gray", linestyle=":", label="best epoch")
    axes.set(title=name, xlabel="epoch")
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)
    axes.legend()

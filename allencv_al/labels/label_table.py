"""The table that an annotator fills in: CSV, one image per row, the column `label` empty.

The dataset reader `manifest` reads the filled table. Images that are labeled already may follow
with their labels, so that one file is the whole training set.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import write_bytes
from allencv_al.common.files.tables import csv_bytes, csv_text, read_table
from allencv_al.data.instance import Instance
from allencv_al.labels.audit_sample import AUDIT, USE, is_audit
from allencv_al.tasks.base import LabelTask

COLUMNS = ("path", "label", "id", "predicted", "probability", "score", "rank", "reason")
Overlay = Callable[[Image.Image], Image.Image]

CLASSES_IN_REASONS = ("predicted", "runner_up", "class")
"""The keys of a strategy's reason whose value is one of the model's classes."""

# The last column is never empty: Excel leaves out empty cells at the end of a row, and then rows
# differ in length.
_NO_OTHER_REASON = "its score"
_LABELED = "labeled already"
_TRAIN = "train"
# A spreadsheet reads a cell that begins with one of these as a formula
_FORMULA_STARTS = ("=", "+", "-", "@")


@dataclass(frozen=True)
class PickedImage:
    """A picked image with everything that a table or a contact sheet shows of it.

    Args:
        rank: Its place among the picks, from 1.
        instance: The image.
        score: The strategy's score when it was picked; higher is picked sooner.
        predicted: The most probable class; None without a classifier.
        probability: The probability of that class.
        reason: The strategy's reason, as JSON values.
        overlay: Draws the prediction over a copy of the image, where it has places.
        draft: The predicted label as text, where it is more than a class, and its probability.
    """

    rank: int
    instance: Instance
    score: float
    predicted: str | None = None
    probability: float | None = None
    reason: Mapping[str, Any] = field(default_factory=dict)
    overlay: Overlay | None = field(default=None, compare=False)
    draft: tuple[str, float] | None = None


def write_label_table(
    path: str | Path, picks: Sequence[PickedImage], labeled: Sequence[Instance] = ()
) -> None:
    """Write the picks with an empty label column, and below them the labeled images.

    Paths are in the form that the reader `manifest` reads: relative to the folder of the table if
    both lie in one tree, else absolute. An image without a file (a record of CIFAR) has an id only.
    A column `use` marks images of an audit sample, if there are any.
    Without picks, the columns about picks are left out.

    Args:
        path: The CSV file to write.
        picks: The images to label.
        labeled: Images with labels, all of one kind.
    """
    folder = Path(path).parent
    rows = [_pick_row(pick, folder) for pick in picks]
    rows += _labeled_rows(labeled, folder, {pick.instance.id for pick in picks})
    columns: Sequence[str] = COLUMNS
    if not picks:
        columns = [name for name in ("path", "id") if any(row[name] for row in rows)] or ["path"]
        columns.append("label")
    if any(is_audit(item) for item in labeled):
        # The last column is never empty: that of picks is the reason
        columns = [*columns[:-1], USE, columns[-1]] if picks else [*columns, USE]
    write_bytes(path, csv_bytes(csv_text(columns, rows)))


def has_place_in_table(instance: Instance) -> bool:
    """Return whether a table can hold the image's path: undecodable bytes cannot be written.

    Args:
        instance: Any image; one without a file needs no path.
    """
    if not isinstance(instance.image, str | Path):
        return True
    name = str(instance.image)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    # The reader strips its cells, and Python's CSV writer leaves a carriage return unquoted
    return name == name.rstrip() and "\r" not in name


def check_replaceable(path: str | Path, labels_are_kept: bool) -> None:
    """Raise if writing a new table would lose labels or other content of an existing file.

    Args:
        path: The table to be written.
        labels_are_kept: Whether the new table takes over all labels of the existing one.

    Raises:
        DataError: The file exists and is no such table, has labels, or has further columns.
    """
    path = Path(path)
    if not path.exists():
        return
    try:
        table = read_table(path, COLUMNS)
    except (DataError, OSError):
        table = None
    if table is None or "label" not in table.columns or any(row.problem for row in table.rows):
        raise DataError(f"{path}: a file is there that is no table of labels; name another one")
    further = sorted(set(table.columns).difference({*COLUMNS, USE}))
    if further:
        raise DataError(
            f"{path}: the table there has columns that the new one would not have "
            f"({', '.join(further)}); name another file"
        )
    labels = sum(bool(str(row.values.get("label") or "").strip()) for row in table.rows)
    if labels and not labels_are_kept:
        raise DataError(
            f"{path}: the table there has {labels} labels, which would be lost; name another file, "
            f"or take them over with --labeled {path}"
        )


def reason_text(reason: Mapping[str, Any]) -> str:
    """Return a reason in one line: `nearest_selected: dog/1.jpg; distance: 0.31`."""
    text = "; ".join(f"{key}: {_short(value)}" for key, value in reason.items())
    return text.replace("\r", " ")


def pick_text(pick: PickedImage, count: int) -> str:
    """Return the reason for a pick in one line: `pick 3 of 20, score 0.12; cluster: 4`.

    Annotators read it before they answer, so it names no class: what the model believes is hidden
    until they ask for its guess.

    Args:
        pick: The picked image.
        count: The number of picks.
    """
    hidden = {"rank", *CLASSES_IN_REASONS}
    more = reason_text({key: value for key, value in pick.reason.items() if key not in hidden})
    text = f"pick {pick.rank} of {count}, score {pick.score:.4g}"
    return f"{text}; {more}" if more else text


def _pick_row(pick: PickedImage, folder: Path) -> dict[str, Any]:
    return {
        "path": path_in_table(pick.instance, folder),
        "id": pick.instance.id,
        "predicted": pick.predicted,
        "probability": _short(pick.probability),
        "score": _short(pick.score),
        "rank": pick.rank,
        "reason": reason_text(pick.reason) or _NO_OTHER_REASON,
    }


def _labeled_rows(
    labeled: Sequence[Instance], folder: Path, taken: set[str]
) -> Iterator[dict[str, Any]]:
    task = LabelTask.of_instances(labeled)
    for instance in labeled:
        path = path_in_table(instance, folder)
        # The reader derives the id from the path: unique, unlike ids of several folders
        id = instance.id if not path or path in taken else ""
        if id in taken:
            id = f"labeled/{path}"
        use = AUDIT if is_audit(instance) else _TRAIN
        label = task.text_of(instance)
        yield {"path": path, "label": label, "id": id, "reason": _LABELED, USE: use}


def path_in_table(instance: Instance, folder: Path) -> str:
    """Return the path of an image as a table in a folder names it; empty without a file."""
    if not isinstance(instance.image, str | Path):
        return ""
    file = os.path.abspath(instance.image)  # noqa: PTH100  resolve() would follow links
    path = _relative(file, os.path.abspath(folder))  # noqa: PTH100
    if path is None:
        # ".." leaves a folder by its real parent, so links are followed here
        path = _relative(file, os.path.realpath(folder), upwards=True) or file
    return f"./{path}" if path.startswith(_FORMULA_STARTS) or path != path.lstrip() else path


def _relative(file: str, folder: str, upwards: bool = False) -> str | None:
    """Return the path relative to the folder, or None if the absolute path is clearer."""
    shared = os.path.commonpath([file, folder]) if Path(file).drive == Path(folder).drive else ""
    if not upwards and shared != folder:
        return None
    if shared == os.path.dirname(shared):  # noqa: PTH120  only the root in common, or nothing
        return None
    return Path(os.path.relpath(file, folder)).as_posix()


def _short(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)

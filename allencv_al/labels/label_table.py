"""The table that a person fills in: CSV, one image a row, the column `label` empty.

The dataset reader `manifest` reads the filled table as it is. What is labeled already can stand in
it too, with its labels, so that one file is the whole training set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import write_bytes
from allencv_al.common.files.tables import csv_bytes, csv_text, read_table
from allencv_al.data.instance import Instance
from allencv_al.labels.picked_image import PickedImage

COLUMNS = ("path", "label", "id", "predicted", "probability", "score", "rank", "reason")

# The last column is never empty: Excel leaves out empty cells at the end of a row, and then rows
# differ in length.
_NO_OTHER_REASON = "its score"
_LABELED = "labeled already"
# A spreadsheet takes a cell that begins so for a formula
_FORMULA_STARTS = ("=", "+", "-", "@")


def write_label_table(
    path: str | Path, picks: Sequence[PickedImage], labeled: Sequence[Instance] = ()
) -> None:
    """Write the picks for a person to label, and below them what is labeled already.

    Paths are as the reader `manifest` takes them: relative to the folder of the table where both
    lie in one tree, else absolute. An image that is no file (a record of CIFAR) has an id only.
    Without picks, there are no columns about picks.

    Args:
        path: The CSV file to write.
        picks: What was chosen.
        labeled: Images with labels.
    """
    folder = Path(path).parent
    rows = [_pick_row(pick, folder) for pick in picks]
    rows += _labeled_rows(labeled, folder, {pick.instance.id for pick in picks})
    columns: Sequence[str] = COLUMNS
    if not picks:  # then there is nothing to say of any pick
        columns = [name for name in ("path", "id") if any(row[name] for row in rows)] or ["path"]
        columns.append("label")
    write_bytes(path, csv_bytes(csv_text(columns, rows)))


def has_place_in_table(instance: Instance) -> bool:
    """Return whether a table can hold the image's path: bytes that are no text have no place there.

    Args:
        instance: An image of any kind; one that is no file needs no path.
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
    """Raise where writing a new table would destroy somebody's work.

    Args:
        path: Where the table is to be written; nothing may be there.
        labels_are_kept: Whether all labels of the table that is there come into the new one.

    Raises:
        DataError: A file is there that is no such table, has labels or has further columns.
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
    further = sorted(set(table.columns).difference(COLUMNS))
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


def pick_text(rank: int, count: int, score: float, reason: Mapping[str, Any]) -> str:
    """Return why an image was picked, in one line: `pick 3 of 20, score 0.12; cluster: 4`.

    Args:
        rank: Its place in the order of picking, from 0.
        count: How many were picked.
        score: Its score when it was picked.
        reason: What the strategy says besides.
    """
    more = reason_text({key: value for key, value in reason.items() if key != "rank"})
    text = f"pick {rank + 1} of {count}, score {score:.4g}"
    return f"{text}; {more}" if more else text


def _pick_row(pick: PickedImage, folder: Path) -> dict[str, Any]:
    return {
        "path": _path(pick.instance, folder),
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
    for instance in labeled:
        path = _path(instance, folder)
        # The reader makes an id of the path, which is unique; ids of several folders need not be.
        id = instance.id if not path or path in taken else ""
        if id in taken:
            id = f"labeled/{path}"
        yield {"path": path, "label": instance.label, "id": id, "reason": _LABELED}


def _path(instance: Instance, folder: Path) -> str:
    if not isinstance(instance.image, str | Path):
        return ""
    file = os.path.abspath(instance.image)  # noqa: PTH100  resolve() would follow links
    path = _relative(file, os.path.abspath(folder))  # noqa: PTH100
    if path is None:
        # ".." leaves a folder by its real parent, so links are followed here
        path = _relative(file, os.path.realpath(folder), upwards=True) or file
    return f"./{path}" if path.startswith(_FORMULA_STARTS) or path != path.lstrip() else path


def _relative(file: str, folder: str, upwards: bool = False) -> str | None:
    """Return the way from the folder to the file; None where there is none worth writing."""
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

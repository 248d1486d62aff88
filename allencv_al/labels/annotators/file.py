"""Labels from a table that an annotator fills in between two calls of the command."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from overrides import overrides

from allencv_al.common.errors import DataError, ImageDecodeError, raise_problems
from allencv_al.common.files.atomic_file import remove, write_bytes
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import counted, listed
from allencv_al.data.instance import Instance
from allencv_al.labels.annotators.base import (
    TO_ADD_A_CLASS,
    Annotator,
    LabelRequest,
    WaitingForLabels,
)
from allencv_al.labels.annotators.filled_table import (
    LABEL,
    WORDS,
    FilledTable,
    read_filled_table,
    without_typos,
)
from allencv_al.labels.contact_sheet import thumbnail_png_bytes
from allencv_al.labels.label_store import LabelKind, NewLabel
from allencv_al.labels.label_table import PickedImage, has_place_in_table, write_label_table

logger = logging.getLogger(__name__)

KEPT_NAME = "labeled.csv"
IMAGES_NAME = "images"

_NAME = "file"
_PICTURE_SIDE = 512
_LINES_SHOWN = 10
_CLASSES_SHOWN = 40


def _table_in_folder(path: str) -> Iterator[tuple[str, str]]:
    parts = PureWindowsPath(path)  # knows both separators, and drives
    if parts.anchor or PurePosixPath(path).is_absolute() or ".." in parts.parts:
        yield "path", f"expected a path within the folder of the run, found {repr_json(path)}"
    elif parts.suffix.lower() != ".csv" or parts.name == KEPT_NAME:
        expected = f"expected a name that ends in .csv (not {KEPT_NAME})"
        yield "path", f"{expected}, found {repr_json(path)}"


@Annotator.register("file")
class FileAnnotator(Annotator):
    """Writes a table of the images to label; the run continues when it is filled in.

        path,label,id,predicted,probability,score,rank,reason
        ../photos/0007.jpg,,0007.jpg,cat,0.52,-0.04,1,

    The first call of a round writes the table and stops the run with exit code 3. The annotator
    looks at the images and writes into the column `label` a class name, or `?skip`, `?unsure` or
    `?unreadable`, in a spreadsheet or an editor. The same command then continues. A partly filled
    table stays as it is, and the run lists the missing lines. A complete one is kept as
    `labeled.csv` in the folder of its round. An image without a file, such as a record of CIFAR, is
    drawn into the folder of the round.

    Args:
        path: The table, relative to the run directory; its name ends in `.csv`.
        annotator: The name that is stored with each label.

    Raises:
        ConfigurationError: `path` leads out of the run directory, or is not a `.csv`.
    """

    joint_rules = (_table_in_folder,)

    def __init__(self, path: str = "to_label.csv", annotator: str = _NAME) -> None:
        self.path = path
        self.annotator = annotator

    @overrides
    def annotate(self, request: LabelRequest) -> list[NewLabel]:
        path, kept = request.folder / self.path, request.round_folder / KEPT_NAME
        if not request.items:
            if request.dropped and path.is_file():  # every image of the table was dropped
                remove(path)
            return []
        # Before a table is written: an annotator would fill it in for nothing
        _check_names(request)
        if kept.is_file():  # a run was killed before it recorded the labels
            content = kept.read_bytes()
            labels = self._labels(kept, content, replace(request, is_partial=True))
        elif path.exists():
            content = path.read_bytes()
            labels = self._labels(path, content, request)
            # The table is removed before the loop records the labels: a kill in between finds these
            write_bytes(kept, content)
        else:
            folder = request.round_folder / IMAGES_NAME
            picks = [replace(pick, instance=_with_file(pick, folder)) for pick in request.picks()]
            write_label_table(path, picks)
            raise WaitingForLabels(_first_message(path, request))
        # A table that was edited while it was read stays: its changes were not taken in
        if path.is_file() and path.read_bytes() == content:
            remove(path)
        return labels

    def _labels(self, path: Path, content: bytes, request: LabelRequest) -> list[NewLabel]:
        table = read_filled_table(path, content, request, (request.folder / self.path).parent)
        if request.classes is None:
            # Without a list of classes any text is a class, also a slip of the keyboard
            table = without_typos(table, request.seen, request.task)
        left = len(request.items) - len(table.labels)
        if left and request.is_partial and table.labels:
            details = "".join(f"\n  {problem}" for problem in table.wrong)
            images = counted(left, "image goes", "images go")
            logger.warning("%s: %s back to the pool%s", path, images, details)
        elif table.wrong:
            raise_problems(path, table.wrong, _after_problems(table, request))
        elif table.empty:
            raise WaitingForLabels(_next_message(path, table, request))
        return [self._label(id, text, request.round) for id, text in table.labels.items()]

    def _label(self, id: str, text: str, round: int) -> NewLabel:
        is_word = text in WORDS
        return NewLabel(
            id=id,
            label=None if is_word else text,
            annotator=self.annotator,
            round=round,
            source=_NAME,
            kind=LabelKind(text.removeprefix("?")) if is_word else LabelKind.LABEL,
        )


def _with_file(pick: PickedImage, folder: Path) -> Instance:
    """Return the instance of a pick with an image file, drawn if it has none."""
    item = pick.instance
    if isinstance(item.image, str | Path) and has_place_in_table(item):
        return item
    # By rank, in the order of the table; the end of an id tells more than its beginning, a folder
    file = folder / f"{pick.rank:04d}-{re.sub(r'[^A-Za-z0-9._-]+', '_', item.id)[-60:]}.png"
    try:
        write_bytes(file, thumbnail_png_bytes(item, _PICTURE_SIDE))
    except ImageDecodeError as error:
        logger.warning("%s: cannot be shown: %s", item.id, error)
        return replace(item, image=b"")  # its cell stays empty
    return replace(item, image=file)


def _first_message(path: Path, request: LabelRequest) -> str:
    images = counted(len(request.items), "image")
    verb = "waits" if len(request.items) == 1 else "wait"
    return (
        f"{images} of round {request.round} {verb} for labels:\n"
        f"  1. Open {path} in a spreadsheet or an editor. Each row is an image; the column "
        f'"path" says where it is.\n'
        f'  2. Fill in the column "{LABEL}": {_choices(request)}.\n'
        "  3. Save it as CSV, and run the same command again: it continues from here."
    )


def _next_message(path: Path, table: FilledTable, request: LabelRequest) -> str:
    images = counted(len(request.items), "image")
    lines = f"{'line' if len(table.empty) == 1 else 'lines'} {listed(table.empty, _LINES_SHOWN)}"
    return (
        f"{path}: {len(table.labels)} of {images} of round {request.round} have a label, "
        f"{len(table.empty)} wait for one: {lines}.\n"
        f'Fill in the column "{LABEL}": {_choices(request)}. Then run the same command '
        f"again; what is filled in stays.{_offer(table)}"
    )


def _after_problems(table: FilledTable, request: LabelRequest) -> str:
    known = request.classes or request.seen
    classes = (
        f"The classes are {listed(known, _CLASSES_SHOWN)}; {TO_ADD_A_CLASS}. " if known else ""
    )
    return f"{classes}Correct the table and run the same command again.{_offer(table)}"


def _offer(table: FilledTable) -> str:
    if not table.labels:
        return ""
    return (
        f"\nOr add --partial to continue with {len(table.labels)} of them; the others return to "
        "the pool."
    )


def _choices(request: LabelRequest) -> str:
    classes, more = request.classes, request.task.writing
    known = (
        "the name of a class," if classes is None else f"one of {listed(classes, _CLASSES_SHOWN)};"
    )
    words = f"{', '.join(WORDS[:-1])} or {WORDS[-1]}"
    return f"{known}{f' or {more};' if more else ''} or {words}"


def _check_names(request: LabelRequest) -> None:
    clashes = [name for name in request.classes or () if name.strip() in WORDS]
    if clashes:
        raise DataError(
            f"a table cannot ask for the classes {', '.join(map(repr_json, clashes))}, because "
            "these words have a meaning of their own in it; give the classes other names"
        )
    broken = [item.id for item in request.items if "\r" in item.id]
    if broken:
        raise DataError(
            f"a table cannot hold the ids {', '.join(map(repr_json, broken))}, because a "
            "carriage return ends its row; give these images other names"
        )

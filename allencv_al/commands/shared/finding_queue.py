"""Findings of `allencv-al audit` as the images of a labeling, and the data with the answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.atomic_file import write_bytes
from allencv_al.common.files.tables import cell_text, csv_bytes, csv_text, read_table
from allencv_al.labels.label_store import LabelKind

if TYPE_CHECKING:
    from allencv_al.data.instance import Instance
    from allencv_al.data_audit.audited_images import AuditedImage
    from allencv_al.labels.sessions.items import NewItem
    from allencv_al.labels.sessions.labeling_store import LabelingStore

DROP = "(drop)"
"""The class that takes an image out of the data."""

CORRECTED_NAME = "corrected.csv"
ASKED_KINDS = (
    *("leak", "contradiction", "label_error", "second_opinion", "exact_duplicate"),
    *("near_duplicate", "outlier"),
    *("split_group", "blurred", "dark", "bright", "odd_size", "unreadable"),
    "chosen",  # on the map of a labeling
)
_OWNER = "the command line"
_COLUMNS = ("kind", "path", "id", "suggested_label", "score", "detail")
_SPLIT = "split"
_SIDE = 512


@dataclass(frozen=True)
class _Question:
    """The findings about one image."""

    reasons: list[str]
    guess: list[tuple[str, float]]


def fill_with_findings(store: LabelingStore, images: Sequence[AuditedImage], table: Path) -> None:
    """Ask for the images of a table of findings, in its order; answered ones stay answered.

    The classes are those of the data and `DROP`. The reason of an image is its label and what was
    found; its guess is the suggested label.

    Args:
        store: The labeling.
        images: The images of the data set.
        table: The table that `audit --output` wrote, as CSV or JSON lines.

    Raises:
        DataError: It is no such table, its images are not in the data set, or their labels are not
            one class.
    """
    if any(image.instance.is_labeled and image.instance.label is None for image in images):
        raise DataError(
            "--findings: asks for one class per image, and the data has several classes, boxes or "
            "masks; correct these in their own files, or by label --task"
        )
    by_id = {image.instance.id: image.instance for image in images}
    questions = _questions(table, by_id)
    labels = {image.instance.label for image in images}
    store.classes.add([*sorted(name for name in labels if name is not None), DROP], _OWNER)
    items = [_item(by_id[id], question) for id, question in questions.items()]
    known = store.items.numbers()
    batch = store.items.open_batch([item for item in items if item.id not in known])
    answered = store.items.answered()
    store.items.ask_first(batch.batch, [item for item in items if item.id not in answered])


def write_corrected(store: LabelingStore, images: Sequence[AuditedImage], path: Path) -> int:
    """Write the data as a table with the answers applied; return how many images they change.

    Dropped and unreadable images are left out; images without an answer stay as they are.

    Args:
        store: The labeling.
        images: The images of the data set.
        path: The CSV file; the reader `manifest` reads it, `::train` behind it one split.
    """
    batch = store.items.batch()
    agreed = [] if batch is None else store.agreed_labels(batch.batch)
    labels = {one.id: one.label for one in agreed if one.label is not None}
    # The page takes no class for an image that it cannot show
    labels |= {one.id: DROP for one in agreed if one.kind is LabelKind.UNREADABLE}
    rows = list(_rows(images, labels, path.parent))
    columns = ["path", "label", *([_SPLIT] if any(row[_SPLIT] for row in rows) else []), "id"]
    write_bytes(path, csv_bytes(csv_text(columns, rows)))
    given = {image.instance.id: image.instance.label for image in images}
    return sum(label != given.get(id) for id, label in labels.items())


def _rows(
    images: Sequence[AuditedImage], labels: Mapping[str, str], folder: Path
) -> Iterator[dict[str, Any]]:
    from allencv_al.labels.label_table import path_in_table

    for image in images:
        item = image.instance
        label = labels.get(item.id, item.label)
        if label != DROP:
            yield {
                "path": path_in_table(item, folder),
                "label": label,
                _SPLIT: image.split,
                "id": item.id,
            }


def _questions(table: Path, by_id: Mapping[str, Instance]) -> dict[str, _Question]:
    found = read_table(table, _COLUMNS)
    found.require(table, ["kind"], "; expected the table that audit --output writes")
    problems, questions = [], dict[str, _Question]()
    for row in found.rows:
        try:
            kind, _, id, suggested, score, detail = (
                str(row.values.get(name) or "") if name == "score" else cell_text(row.values, name)
                for name in _COLUMNS
            )
            if row.problem is not None or kind not in ASKED_KINDS:
                continue
            if id not in by_id:
                raise ValueError(f'the image "{id}" is not in the data; audit it again')
            question = questions.setdefault(id, _Question([], []))
            question.reasons.append(f"{kind.replace('_', ' ')}: {detail}")
            if suggested and not question.guess:
                question.guess.append((suggested, float(score or 0)))
        except ValueError as error:
            problems.append(f"{row.place}: {error}")
    raise_problems(table, problems)
    if not questions:
        raise DataError(f"{table}: there is no finding about an image in it")
    return questions


def _item(instance: Instance, question: _Question) -> NewItem:
    from allencv_al.labels.contact_sheet import thumbnail_png_bytes
    from allencv_al.labels.sessions.items import NewItem

    image = instance.image
    source: Path | bytes
    if isinstance(image, str | Path):
        source = Path(image)
    else:  # a record, which the page gets as a picture
        source = image if isinstance(image, bytes) else thumbnail_png_bytes(instance, _SIDE)
    label = "without a label" if instance.label is None else f"labeled {instance.label}"
    return NewItem(instance.id, source, "; ".join([label, *question.reasons]), question.guess)

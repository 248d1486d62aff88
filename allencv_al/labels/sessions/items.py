"""The batches of a labeling and their items, the images to label."""

from __future__ import annotations

import io
import json
import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.data.instance import Instance
from allencv_al.labels.database import Database, is_encodable
from allencv_al.labels.label_store import LabelConflict, LabelKind
from allencv_al.labels.label_table import PickedImage, pick_text
from allencv_al.labels.sessions.agreement import update_agreed_label
from allencv_al.labels.sessions.schema import HANDED_OVER

_COLUMNS = (
    *("item", "id", "batch", "image", "reason", "guess", "answers", "kind", "class_id"),
    "is_conflict",
)
SELECT_ITEM = f"SELECT {', '.join(f'i.{name}' for name in _COLUMNS)} FROM item i "  # noqa: S608
_SELECT_BATCH = "SELECT batch, round, labels_per_image, has_fixed_classes, is_open FROM batch "


@dataclass(frozen=True)
class NewItem:
    """An image to be labeled.

    Args:
        id: Its id in the data.
        image: Its file, or its content if it has none.
        reason: Why it was picked, in one line.
        guess: The model's prediction: texts of labels with probabilities.
    """

    id: str
    image: Path | bytes
    reason: str | None = None
    guess: Sequence[tuple[str, float]] = ()

    @classmethod
    def picked(cls, pick: PickedImage, count: int) -> NewItem:
        """Return the item of a picked image.

        Args:
            pick: The picked image.
            count: The number of picks.
        """
        guess = [] if pick.draft is None else [pick.draft]
        if pick.draft is None and pick.predicted is not None and pick.probability is not None:
            guess = [(pick.predicted, float(pick.probability))]
        return cls(pick.instance.id, _stored(pick.instance), pick_text(pick, count), guess)


@dataclass(frozen=True, slots=True)
class Item:
    """An image of a labeling.

    Args:
        item: Its number.
        id: Its id in the data.
        batch: The number of its batch.
        image: Its file, as stored; None if the database holds the content.
        reason: Why it was picked.
        guess: The model's prediction: texts of labels with probabilities.
        answers: Number of answers, without skips.
        kind: Kind of the agreed label; None if there is none yet.
        class_id: The class, if `kind` is LABEL.
        is_conflict: Whether the most frequent answer is not unique.
    """

    item: int
    id: str
    batch: int
    image: str | None
    reason: str | None
    guess: tuple[tuple[str, float], ...]
    answers: int
    kind: LabelKind | None
    class_id: int | None
    is_conflict: bool


@dataclass(frozen=True, slots=True)
class LabelBatch:
    """Images that are labeled together: the query of a round, or a folder.

    Args:
        batch: Its number.
        round: The round of the loop; None for a folder.
        labels_per_image: Number of annotators per image.
        has_fixed_classes: Whether classes can be neither added nor renamed.
        is_open: Whether it still takes answers.
    """

    batch: int
    round: int | None
    labels_per_image: int
    has_fixed_classes: bool
    is_open: bool


class ItemStore:
    """The batches and their items.

    Args:
        database: Of the labeling. Paths of images near its folder are stored relative to it, so
            that both can be moved together.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._folder = database.path.parent

    def open_batch(
        self,
        items: Sequence[NewItem],
        round: int | None = None,
        labels_per_image: int = 1,
        has_fixed_classes: bool = False,
        again: Collection[str] = (),
    ) -> LabelBatch:
        """Return the batch of a round or of a folder; create it if missing.

        An existing batch gets the items that it lacks, so that a folder may grow.

        Args:
            items: The images, in the order of asking.
            round: The round of the loop; None for a folder.
            labels_per_image: Number of annotators per image.
            has_fixed_classes: Whether classes can be neither added nor renamed.
            again: Ids of images of earlier batches that others are asked about once more; they move
                to this batch, in which the earlier answers do not count.

        Raises:
            DataError: An id or a path is no valid Unicode, or an id occurs twice.
            LabelConflict: Another id belongs to another batch.
        """
        _check(items)
        with self._database.transaction() as connection:
            # IS, not =: the batch of a folder has no round, and NULL equals nothing
            row = connection.execute(
                f"{_SELECT_BATCH} WHERE round IS ? ORDER BY batch DESC LIMIT 1", (round,)
            ).fetchone()
            if row is None:
                number = self._make_batch(connection, round, labels_per_image, has_fixed_classes)
                before = LabelBatch(number, round, labels_per_image, has_fixed_classes, True)
            else:
                before = _batch(row)
            batch = replace(
                before,
                labels_per_image=labels_per_image,
                has_fixed_classes=has_fixed_classes,
                is_open=before.is_open or round is None,  # a folder is never finished
            )
            if batch != before:
                connection.execute(
                    "UPDATE batch SET labels_per_image = ?, has_fixed_classes = ?, is_open = ? "
                    "WHERE batch = ?",
                    (labels_per_image, has_fixed_classes, batch.is_open, batch.batch),
                )
                # Another number of answers per image changes which labels are agreed
                for (item,) in connection.execute(
                    "SELECT item FROM item WHERE batch = ?", (batch.batch,)
                ).fetchall():
                    update_agreed_label(connection, item, labels_per_image)
            self._add_items(connection, batch.batch, items, frozenset(again))
        return batch

    def ask_first(self, batch: int, items: Sequence[NewItem]) -> None:
        """Move images before all other unanswered images of a batch, in the given order.

        Missing images are added. An answered image keeps its place.

        Args:
            batch: The batch.
            items: The images, with the reasons and guesses of the new order.

        Raises:
            DataError: An id or a path is no valid Unicode, or an id occurs twice.
            LabelConflict: An id belongs to another batch.
        """
        _check(items)
        with self._database.transaction() as connection:
            self._add_items(connection, batch, items)
            # Skipped images keep their place: who skipped one has seen it
            waiting = [
                number
                for (number,) in connection.execute(
                    "SELECT item FROM item i WHERE batch = ? AND kind IS NULL AND answers = 0 "
                    "AND NOT EXISTS (SELECT 1 FROM standing s WHERE s.item = i.item) ORDER BY rank",
                    (batch,),
                )
            ]
            numbers = dict(
                connection.execute("SELECT id, item FROM item WHERE batch = ?", (batch,))
            )
            # Behind all ranks that were given: answered images keep theirs, which reviews page by
            [(rank,)] = connection.execute("SELECT max(rank) FROM item WHERE batch = ?", (batch,))
            first = [numbers[item.id] for item in items]
            chosen = set(first)
            order = [*first, *(number for number in waiting if number not in chosen)]
            connection.executemany(
                "UPDATE item SET rank = ? WHERE item = ?",
                ((rank + place, number) for place, number in enumerate(order, start=1)),
            )
            connection.executemany(
                "UPDATE item SET reason = ?, guess = ? WHERE item = ?",
                ((item.reason, _json(item), numbers[item.id]) for item in items),
            )
            # Leases were given in the previous order
            connection.execute("DELETE FROM lease")

    def answered(self) -> set[str]:
        """Return the ids of the images with an answer, a skip or a decision."""
        return {
            id
            for (id,) in self._database.rows(
                "SELECT id FROM item i WHERE kind IS NOT NULL OR answers > 0 "
                "OR EXISTS (SELECT 1 FROM standing s WHERE s.item = i.item)"
            )
        }

    def handed_over(self) -> list[int]:
        """Return the numbers of images that another program is to label, in the order of asking."""
        rows = self._database.rows(
            "SELECT i.item FROM item i WHERE i.kind IS NULL AND EXISTS ("
            "SELECT 1 FROM standing s JOIN label_event e ON e.event_id = s.event_id "
            "WHERE s.item = i.item AND s.kind = 'skip' AND e.source = ?) ORDER BY i.batch, i.rank",
            (HANDED_OVER,),
        )
        return [item for (item,) in rows]

    def batch(self) -> LabelBatch | None:
        """Return the newest batch, if any."""
        rows = self._database.rows(f"{_SELECT_BATCH} ORDER BY batch DESC LIMIT 1")
        return _batch(rows[0]) if rows else None

    def item(self, number: int) -> Item:
        """Return an item.

        Raises:
            LabelConflict: There is no such item.
        """
        rows = self._database.rows(f"{SELECT_ITEM} WHERE i.item = ?", (number,))
        if not rows:
            raise LabelConflict(f"there is no item {number}")
        return item_of(rows[0])

    def items(self, batch: int) -> list[Item]:
        """Return the items of a batch, in the order of asking."""
        rows = self._database.rows(f"{SELECT_ITEM} WHERE i.batch = ? ORDER BY i.rank", (batch,))
        return [item_of(row) for row in rows]

    def numbers(self) -> dict[str, int]:
        """Return the number of each item by its id."""
        return dict(self._database.rows("SELECT id, item FROM item"))

    def image(self, item: Item) -> Path | bytes:
        """Return the file of an item, or its content if it has none."""
        if item.image is not None:
            return self._folder / item.image
        [(picture,)] = self._database.rows("SELECT picture FROM item WHERE item = ?", (item.item,))
        content: bytes = picture
        return content

    def _make_batch(
        self,
        connection: sqlite3.Connection,
        round: int | None,
        labels_per_image: int,
        has_fixed_classes: bool,
    ) -> int:
        connection.execute("UPDATE batch SET is_open = 0")  # one at a time
        number = connection.execute(
            "INSERT INTO batch (round, labels_per_image, has_fixed_classes) VALUES (?, ?, ?)",
            (round, labels_per_image, has_fixed_classes),
        ).lastrowid
        assert number is not None
        return number

    def _add_items(
        self,
        connection: sqlite3.Connection,
        batch: int,
        items: Sequence[NewItem],
        again: Collection[str] = (),
    ) -> None:
        # An image is in one batch at a time, as its label events carry the batch
        known = dict(connection.execute("SELECT id, batch FROM item"))
        others = [item for item in items if known.get(item.id, batch) != batch]
        foreign = [item.id for item in others if item.id not in again]
        if foreign:
            raise LabelConflict(
                f"{len(foreign)} items have been labeled in another batch, the first of them "
                f"{repr_json(foreign[0])}"
            )
        [(rank,)] = connection.execute(
            "SELECT coalesce(max(rank), -1) FROM item WHERE batch = ?", (batch,)
        )
        new = [item for item in items if item.id not in known]
        connection.executemany(
            "INSERT INTO item (id, batch, rank, image, picture, reason, guess) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (item.id, batch, rank + place, *self._place(item), item.reason, _json(item))
                for place, item in enumerate(new, start=1)
            ),
        )
        connection.executemany(
            "UPDATE item SET batch = ?, rank = ?, reason = ?, guess = ?, answers = 0, kind = NULL, "
            "class_id = NULL, is_conflict = 0 WHERE id = ?",
            (
                (batch, rank + len(new) + place, item.reason, _json(item), item.id)
                for place, item in enumerate(others, start=1)
            ),
        )

    def _place(self, item: NewItem) -> tuple[str | None, bytes | None]:
        if isinstance(item.image, bytes):
            return None, item.image
        path = os.path.abspath(item.image)  # noqa: PTH100  resolve() would follow links
        # Relative, so that a project that is moved as a whole finds its images again
        return (os.path.relpath(path, self._folder) if _is_near(path, self._folder) else path), None


def _stored(instance: Instance) -> Path | bytes:
    """Return the file of an image, or its content; arrays are encoded as PNG."""
    if isinstance(instance.image, str | Path):
        return Path(instance.image)
    if isinstance(instance.image, bytes):
        return instance.image
    from PIL import Image  # only here: records such as those of CIFAR

    from allencv_al.data.image_io import load_image

    buffer = io.BytesIO()
    Image.fromarray(load_image(instance.image)).save(buffer, "PNG")
    return buffer.getvalue()


def item_of(row: Sequence[Any]) -> Item:
    """Return the item in a row of `SELECT_ITEM`."""
    number, id, batch, image, reason, guess, answers, kind, class_id, is_conflict = row
    pairs = tuple((str(name), float(value)) for name, value in json.loads(guess or "[]"))
    return Item(
        *(number, id, batch, image, reason, pairs, answers),
        *(None if kind is None else LabelKind(kind), class_id, bool(is_conflict)),
    )


def _batch(row: Sequence[Any]) -> LabelBatch:
    return LabelBatch(row[0], row[1], row[2], bool(row[3]), bool(row[4]))


def _json(item: NewItem) -> str | None:
    return json.dumps([list(pair) for pair in item.guess]) if item.guess else None


def _is_near(path: str, folder: Path) -> bool:
    """Return whether a path lies below the folder that holds the folder of the database."""
    near = os.path.abspath(folder.parent)  # noqa: PTH100
    return os.path.commonpath([path, near]) == near


def _check(items: Sequence[NewItem]) -> None:
    problems = list(_problems(items))
    if problems:
        raise DataError("\n".join(["these images cannot be labeled here:", *problems[:10]]))


def _problems(items: Sequence[NewItem]) -> Iterator[str]:
    seen: set[str] = set()
    for item in items:
        # A file name that is no Unicode text (surrogates) cannot be stored in SQLite
        if not is_encodable(item.id) or not is_encodable(str(item.image)[:1_000]):
            yield f"{item.id!a}: expected Unicode text as a name"
        elif item.id in seen:
            yield f"{repr_json(item.id)}: the id is there twice"
        seen.add(item.id)

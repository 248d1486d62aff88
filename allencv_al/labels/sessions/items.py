"""Batches of images to label, and the images themselves."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.labels.database import Database, is_encodable
from allencv_al.labels.label_store import LabelConflict, LabelKind
from allencv_al.labels.sessions.outcomes import renew
from allencv_al.labels.sessions.session_records import Batch, Item, NewItem

_COLUMNS = (
    *("item", "id", "batch", "image", "reason", "guess", "answers", "kind", "class_id"),
    "is_conflict",
)
SELECT_ITEM = f"SELECT {', '.join(f'i.{name}' for name in _COLUMNS)} FROM item i "  # noqa: S608
_SELECT_BATCH = "SELECT batch, round, labels_per_image, has_fixed_classes, is_open FROM batch "


class ItemStore:
    """The batches and their items.

    Args:
        database: Where they are kept. Paths of images below its folder are kept relative to it, so
            that the folder can be moved.
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
    ) -> Batch:
        """Return the batch of a round, or of a folder, made where there is none.

        A batch that is there gets the items that it lacks, so that a folder may grow.

        Args:
            items: What is to be labeled, in the order of asking.
            round: The round of the loop; None for a folder.
            labels_per_image: How many annotators look at each image.
            has_fixed_classes: Whether classes can be neither added nor renamed.

        Raises:
            DataError: An id or a path is no text that can be stored.
            LabelConflict: An id belongs to another batch.
        """
        _check(items)
        with self._database.transaction() as connection:
            row = connection.execute(
                f"{_SELECT_BATCH} WHERE round IS ? ORDER BY batch DESC LIMIT 1", (round,)
            ).fetchone()
            if row is None:
                number = self._make_batch(connection, round, labels_per_image, has_fixed_classes)
                row = (number, round, labels_per_image, has_fixed_classes, 1)
            elif (row[2], bool(row[3])) != (labels_per_image, has_fixed_classes):
                connection.execute(
                    "UPDATE batch SET labels_per_image = ?, has_fixed_classes = ? WHERE batch = ?",
                    (labels_per_image, has_fixed_classes, row[0]),
                )
                for (item,) in connection.execute(
                    "SELECT item FROM item WHERE batch = ?", (row[0],)
                ).fetchall():
                    renew(connection, item, labels_per_image)
                row = (row[0], row[1], labels_per_image, has_fixed_classes, row[4])
            if round is None and not row[4]:  # a folder may always be labeled on
                connection.execute("UPDATE batch SET is_open = 1 WHERE batch = ?", (row[0],))
                row = (*row[:4], 1)
            self._add_items(connection, row[0], items)
        return _batch(row)

    def ask_first(self, batch: int, items: Sequence[NewItem]) -> None:
        """Put images before all other unanswered images of a batch, in their order.

        Images that the batch lacks are added. An answered image keeps its place.

        Args:
            batch: The batch.
            items: The images, with the reasons and guesses of the new order.

        Raises:
            DataError: An id or a path is no text that can be stored.
            LabelConflict: An id belongs to another batch.
        """
        _check(items)
        with self._database.transaction() as connection:
            self._add_items(connection, batch, items)
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
            # What pages hold was promised in the order of before
            connection.execute("DELETE FROM lease")

    def answered(self) -> set[str]:
        """Return the ids of the images that were answered, skipped or decided."""
        return {
            id
            for (id,) in self._database.rows(
                "SELECT id FROM item i WHERE kind IS NOT NULL OR answers > 0 "
                "OR EXISTS (SELECT 1 FROM standing s WHERE s.item = i.item)"
            )
        }

    def batch(self) -> Batch | None:
        """Return the newest batch, if there is one."""
        rows = self._database.rows(f"{_SELECT_BATCH} ORDER BY batch DESC LIMIT 1")
        return _batch(rows[0]) if rows else None

    def item(self, number: int) -> Item:
        """Return an item.

        Raises:
            LabelConflict: There is none of this number.
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
        """Return the file of an item, or its content where it is none."""
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
        self, connection: sqlite3.Connection, batch: int, items: Sequence[NewItem]
    ) -> None:
        known = dict(connection.execute("SELECT id, batch FROM item"))
        foreign = [item.id for item in items if known.get(item.id, batch) != batch]
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

    def _place(self, item: NewItem) -> tuple[str | None, bytes | None]:
        if isinstance(item.image, bytes):
            return None, item.image
        path = os.path.abspath(item.image)  # noqa: PTH100  resolve() would follow links
        return (os.path.relpath(path, self._folder) if _is_near(path, self._folder) else path), None


def item_of(row: Sequence[Any]) -> Item:
    """Return the item that `SELECT_ITEM` has found."""
    number, id, batch, image, reason, guess, answers, kind, class_id, is_conflict = row
    pairs = tuple((str(name), float(value)) for name, value in json.loads(guess or "[]"))
    return Item(
        *(number, id, batch, image, reason, pairs, answers),
        *(None if kind is None else LabelKind(kind), class_id, bool(is_conflict)),
    )


def _batch(row: Sequence[Any]) -> Batch:
    return Batch(row[0], row[1], row[2], bool(row[3]), bool(row[4]))


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
        if not is_encodable(item.id) or not is_encodable(str(item.image)[:1_000]):
            yield f"{item.id!a}: expected Unicode text as a name"
        elif item.id in seen:
            yield f"{repr_json(item.id)}: the id is there twice"
        seen.add(item.id)

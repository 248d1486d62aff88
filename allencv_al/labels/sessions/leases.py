"""Leases: reservations of images, so that no two annotators get the same one without need."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from allencv_al.labels.database import Database
from allencv_al.labels.sessions.items import SELECT_ITEM, Item, item_of

LEASE_SECONDS = 120.0

# Matches the conditions of the index `item_open`
_OPEN = "i.batch = :batch AND i.kind IS NULL AND i.is_conflict = 0 AND i.answers < :wanted "
_LEFT = f"SELECT count(*) FROM (SELECT 1 FROM item i WHERE {_OPEN} LIMIT :enough)"  # noqa: S608
_STANDING = "LEFT JOIN standing s ON s.item = i.item AND s.annotator = :who "
# Answers and leases of others do not yet add up to the required number
_IS_FREE = (
    "AND i.answers + (SELECT count(*) FROM lease l WHERE l.item = i.item AND l.annotator != :who) "
    "< :wanted "
)
_IS_MINE = "i.item IN (SELECT m.item FROM lease m WHERE m.annotator = :who)"
_MINE = f"{_OPEN.replace('i.batch', '+i.batch')} AND {_IS_MINE}"  # +: the few leases come first
_OTHERS = f"{_OPEN} AND NOT {_IS_MINE}"


class LeaseStore:
    """Hands out items with a lease of two minutes, which its holder can extend.

    Args:
        database: Of the labeling.
        clock: The time in seconds since 1970.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def next_items(
        self, annotator: str, count: int, skipped: bool = False, but: Sequence[int] = ()
    ) -> list[tuple[Item, float]]:
        """Lease items to an annotator; return each with the time when its lease ends.

        Items that the annotator holds already come first, so that a reloaded page shows the same
        image. If few are left, annotators share them.

        Args:
            annotator: The holder.
            count: Maximal number of items.
            skipped: Whether to return only items that this annotator has skipped.
            but: Items to leave out, because another page of the same annotator shows them.
        """
        now = self._clock()
        with self._database.transaction() as connection:
            # Within the transaction of the new leases, so that no image is free to two annotators
            connection.execute("DELETE FROM lease WHERE expires <= ?", (now,))
            # A longer lease means that the clock was set back, which must not lock images
            connection.execute(
                "UPDATE lease SET expires = :most WHERE expires > :most",
                {"most": now + LEASE_SECONDS},
            )
            open_batch = connection.execute(
                "SELECT batch, labels_per_image FROM batch WHERE is_open"
            ).fetchone()
            if open_batch is None:
                return []
            values = {"who": annotator, "batch": open_batch[0], "wanted": open_batch[1]}
            standing = "s.kind = 'skip'" if skipped else "s.kind IS NULL"
            elsewhere = f"AND i.item NOT IN ({', '.join(str(int(item)) for item in but)})"
            share = self._share(connection, count, values)
            rows: list[tuple[Any, ...]] = []
            # A page that is loaded again gets the images back that it holds already
            for which in (_MINE, _OTHERS):
                rows += connection.execute(
                    f"{SELECT_ITEM} {_STANDING} WHERE {which} AND {standing} {_IS_FREE} "
                    f"{elsewhere} ORDER BY i.rank LIMIT :left",
                    {**values, "left": share - len(rows)},
                )
            expires = now + LEASE_SECONDS
            connection.executemany(
                "INSERT OR REPLACE INTO lease VALUES (?, ?, ?)",
                ((row[0], annotator, expires) for row in rows),
            )
        return [(item_of(row), expires) for row in rows]

    def hold(self, annotator: str, item: int) -> None:
        """Lease an item to an annotator who returns to it."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO lease VALUES (?, ?, ?)",
                (item, annotator, self._clock() + LEASE_SECONDS),
            )

    def extend(self, annotator: str) -> None:
        """Extend the leases of an annotator whose page is still open."""
        now = self._clock()
        rows = self._database.rows(
            "SELECT min(expires) FROM lease WHERE annotator = ? AND expires > ?", (annotator, now)
        )
        first = rows[0][0]
        if first is None or now + LEASE_SECONDS / 2 < first <= now + LEASE_SECONDS:
            return  # no write: pages poll every few seconds
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE lease SET expires = ? WHERE annotator = ? AND expires > ?",
                (now + LEASE_SECONDS, annotator, now),
            )

    def _share(self, connection: sqlite3.Connection, count: int, values: Mapping[str, Any]) -> int:
        [(others,)] = connection.execute(
            "SELECT count(DISTINCT annotator) FROM lease WHERE annotator != :who", values
        )
        # Near the end of a batch no page may hold all that is left while the others wait
        people = 1 + int(others)
        [(left,)] = connection.execute(_LEFT, {**values, "enough": count * people})
        return min(count, max(1, int(left) // people))

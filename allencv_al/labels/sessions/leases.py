"""Leases: reservations of images, so that no two annotators get the same one without need."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from allencv_al.labels.database import Database
from allencv_al.labels.sessions.items import SELECT_ITEM, Item, item_of
from allencv_al.labels.sessions.schema import HANDED_OVER

LEASE_SECONDS = 120.0

# Matches the conditions of the index `item_open`
_OPEN = "i.batch = :batch AND i.kind IS NULL AND i.is_conflict = 0 AND i.answers < :wanted "
_LEFT = f"SELECT count(*) FROM (SELECT 1 FROM item i WHERE {_OPEN} LIMIT :enough)"  # noqa: S608
_STANDING = "LEFT JOIN standing s ON s.item = i.item AND s.annotator = :who "
# Answers and leases of others do not yet add up to the required number
_IS_FREE = (
    "AND i.answers + (SELECT count(*) FROM lease l WHERE l.item = i.item AND l.annotator != :who) "
    "< :wanted AND NOT EXISTS (SELECT 1 FROM standing h JOIN label_event e "
    "ON e.event_id = h.event_id WHERE h.item = i.item AND h.kind = 'skip' AND e.source = :handed) "
)
_IS_MINE = "i.item IN (SELECT m.item FROM lease m WHERE m.annotator = :who)"
_MINE = f"{_OPEN.replace('i.batch', '+i.batch')} AND {_IS_MINE}"  # +: the few leases come first
_OTHERS = f"{_OPEN} AND NOT {_IS_MINE}"
_FREE = f"SELECT i.item FROM item i {_STANDING} WHERE {_OPEN} AND s.kind IS NULL {_IS_FREE}"  # noqa: S608
_IN_LIST = "IN (SELECT value FROM json_each(?))"  # SQLite limits the number of parameters


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
            self._end_expired(connection)
            values = _values_of_open_batch(connection, annotator)
            if values is None:
                return []
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

    def free_items(self, annotator: str) -> list[int]:
        """Return the numbers of all items that may be leased to an annotator, in asking order."""
        with self._database.transaction() as connection:
            self._end_expired(connection)
            values = _values_of_open_batch(connection, annotator)
        if values is None:
            return []
        return [item for (item,) in self._database.rows(f"{_FREE} ORDER BY i.rank", values)]

    def take(
        self, annotator: str, items: Sequence[int], count: int, give_back: Sequence[int] = ()
    ) -> list[tuple[Item, float]]:
        """Lease the first items that are still free; return each with the end of its lease.

        If few are left, annotators share them.

        Args:
            annotator: The holder.
            items: The items to choose from, the most wanted first.
            count: Maximal number of items.
            give_back: Items that this annotator does not want any more.
        """
        expires = self._clock() + LEASE_SECONDS
        with self._database.transaction() as connection:
            self._end_expired(connection)
            connection.execute(
                f"DELETE FROM lease WHERE annotator = ? AND item {_IN_LIST}",  # noqa: S608
                (annotator, json.dumps(list(give_back))),
            )
            values = _values_of_open_batch(connection, annotator)
            if values is None:
                return []
            found = connection.execute(
                f"{SELECT_ITEM} {_STANDING} WHERE {_OPEN} AND s.kind IS NULL {_IS_FREE} "
                f"AND i.item {_IN_LIST.replace('?', ':items')}",
                {**values, "items": json.dumps(list(items))},
            )
            rows = {row[0]: row for row in found}
            share = self._share(connection, count, values)
            taken = [rows[item] for item in items if item in rows][:share]
            connection.executemany(
                "INSERT OR REPLACE INTO lease VALUES (?, ?, ?)",
                ((row[0], annotator, expires) for row in taken),
            )
        return [(item_of(row), expires) for row in taken]

    def hold(self, annotator: str, items: Sequence[int]) -> None:
        """Lease items to an annotator who returns to them."""
        expires = self._clock() + LEASE_SECONDS
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO lease VALUES (?, ?, ?)",
                ((item, annotator, expires) for item in items),
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

    def _end_expired(self, connection: sqlite3.Connection) -> None:
        now = self._clock()
        connection.execute("DELETE FROM lease WHERE expires <= ?", (now,))
        # A longer lease means that the clock was set back, which must not lock images
        connection.execute(
            "UPDATE lease SET expires = :most WHERE expires > :most", {"most": now + LEASE_SECONDS}
        )

    def _share(self, connection: sqlite3.Connection, count: int, values: Mapping[str, Any]) -> int:
        [(others,)] = connection.execute(
            "SELECT count(DISTINCT annotator) FROM lease WHERE annotator != :who", values
        )
        # Near the end of a batch no page may hold all that is left while the others wait
        people = 1 + int(others)
        [(left,)] = connection.execute(_LEFT, {**values, "enough": count * people})
        return min(count, max(1, int(left) // people))


def _values_of_open_batch(connection: sqlite3.Connection, annotator: str) -> dict[str, Any] | None:
    """Return the values that the conditions above name; None if no batch is open."""
    row = connection.execute("SELECT batch, labels_per_image FROM batch WHERE is_open").fetchone()
    if row is None:
        return None
    return {"who": annotator, "batch": row[0], "wanted": row[1], "handed": HANDED_OVER}

"""Which labeling a file holds, and in which order its images were put."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from allencv_al.labels.database import Database

# Beside the tables of the schema, and made at need: files of before this table go on as they are,
# and an older program passes it over.
_TABLE = (
    "CREATE TABLE IF NOT EXISTS labeling "
    "(one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, ordering TEXT)"
)


class LabelingIdentity:
    """The id of a labeling, drawn once, and the options that its images were ordered by.

    Args:
        database: Of the labeling.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._id: str | None = None

    def id(self) -> str:
        """Return the id: what a page that was loaded from another labeling does not know."""
        if self._id is None:
            self._id = str(self._row()[0])
        return self._id

    def ordering(self) -> dict[str, Any] | None:
        """Return the options that `set_ordering` was given last; None if there were none."""
        text = self._row()[1]
        return None if text is None else dict(json.loads(text))

    def set_ordering(self, options: Mapping[str, Any]) -> None:
        """Keep the options that the images are ordered by."""
        self._row()
        with self._database.transaction() as connection:
            connection.execute("UPDATE labeling SET ordering = ?", (json.dumps(dict(options)),))

    def _row(self) -> tuple[Any, ...]:
        known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'labeling'"
        rows = []
        if self._database.rows(known):
            rows = self._database.rows("SELECT id, ordering FROM labeling")
        if rows:
            return rows[0]
        with self._database.transaction() as connection:
            connection.execute(_TABLE)
            connection.execute(
                "INSERT OR IGNORE INTO labeling VALUES (1, ?, NULL)", (uuid.uuid4().hex,)
            )
        return self._database.rows("SELECT id, ordering FROM labeling")[0]

"""`AuditStore`: images that measure a model and are never trained on, drawn at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from allencv_al.data.id_hash import id_hashes
from allencv_al.data.instance import Instance
from allencv_al.labels.database import Database

USE, AUDIT = "use", "audit"
"""The column of a table that marks the images of an audit sample, and the word in it."""

# Not part of the schema: databases of older versions lack the table, and older versions ignore it
_CREATE = (
    "CREATE TABLE IF NOT EXISTS audit (id TEXT PRIMARY KEY, is_drawn INTEGER NOT NULL) "
    "WITHOUT ROWID"
)
_EXISTS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'audit'"


class AuditStore:
    """The audit sample of a run or of a labeling; an image in it stays in it.

    The images are drawn by a seeded hash of their ids: the sample is every image whose hash is at
    most a threshold, which only ever rises. So it is uniform at each time, whatever strategies have
    chosen meanwhile: a larger sample keeps the images of the smaller one, and images that come
    later join in the same proportion.

    Args:
        database: The database of the run or of the labeling.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def ids(self) -> set[str]:
        """Return the ids of the sample."""
        return set(self._rows())

    def add(self, ids: Sequence[str]) -> None:
        """Add images that were drawn elsewhere, such as those that a table marks."""
        self._add(ids, is_drawn=False)

    def draw(self, candidates: Sequence[str], size: int, seed: int) -> list[str]:
        """Extend the sample to `size` images, and by new candidates in proportion.

        Args:
            candidates: The ids of all images that the sample is to stand for, chosen ones included.
            size: Number of images; all candidates if there are fewer.
            seed: Seed of the draw; another one would end the uniformity.

        Returns:
            The new images, in the order of their hashes.
        """
        known = self._rows()
        given = {id for id, is_drawn in known.items() if not is_drawn}
        # A uniform sample of what a uniform sample has left makes one uniform sample with it
        ids = [id for id in candidates if id not in given]
        size = min(size - len(given), len(ids))
        hashes = id_hashes((f"{AUDIT}/{id}" for id in ids), seed)
        order = np.argsort(hashes, kind="stable")
        drawn = np.fromiter((known.get(id, False) for id in ids), bool, len(ids))
        limits = [int(hashes[drawn].max())] if drawn.any() else []
        limits += [int(hashes[order[size - 1]])] if size > 0 else []
        if not limits:
            return []
        new = [
            ids[place]
            for place in order.tolist()
            if int(hashes[place]) <= max(limits) and ids[place] not in known
        ]
        self._add(new, is_drawn=True)
        return new

    def _rows(self) -> dict[str, bool]:
        if not self._database.rows(_EXISTS):
            return {}
        rows = self._database.rows("SELECT id, is_drawn FROM audit")
        return {id: bool(is_drawn) for id, is_drawn in rows}

    def _add(self, ids: Sequence[str], is_drawn: bool) -> None:
        if not ids:
            return
        with self._database.transaction() as connection:
            connection.execute(_CREATE)
            connection.executemany(
                "INSERT OR IGNORE INTO audit VALUES (?, ?)", ((id, is_drawn) for id in ids)
            )


def is_audit(instance: Instance) -> bool:
    """Return whether a table marks an image as part of an audit sample."""
    return is_marked(instance.metadata)


def is_marked(values: Mapping[str, Any]) -> bool:
    """Return whether the values of a row, by column, mark an image of an audit sample."""
    return str(values.get(USE) or "").strip().casefold() == AUDIT


def marked(metadata: Mapping[str, Any], is_audited: bool) -> dict[str, Any]:
    """Return metadata of an image, with the mark of an audit sample or without it."""
    others = {name: value for name, value in metadata.items() if name != USE}
    return {**others, USE: AUDIT} if is_audited else others

"""`VectorStore`: a short vector for each image of a labeling, so that like images are found.

It also keeps the places of the images on maps that take long to compute.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from allencv_al.labels.database import Database

# Groups of 24 nearest neighbors were as pure with 64 axes as with 1,280 (docs/results/bulk.md)
_MOST_AXES = 64
_MOST_FITTED = 5_000  # images that the axes are computed from

# Not part of the schema: files of older versions lack the tables, and older versions ignore them
_CREATE = (
    "CREATE TABLE IF NOT EXISTS vector_space (one INTEGER PRIMARY KEY CHECK (one = 1), "
    "model TEXT NOT NULL, width INTEGER NOT NULL, mean BLOB NOT NULL, axes BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS vector (item INTEGER PRIMARY KEY REFERENCES item (item), "
    "value BLOB NOT NULL)",
)
_CREATE_TEXT_MODEL = (
    "CREATE TABLE IF NOT EXISTS text_model (one INTEGER PRIMARY KEY CHECK (one = 1), "
    "model TEXT NOT NULL, source TEXT NOT NULL)"
)
_CREATE_LAYOUT = (
    "CREATE TABLE IF NOT EXISTS layout "
    "(name TEXT PRIMARY KEY, digest TEXT NOT NULL, places BLOB NOT NULL)"
)
_EXISTS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"


@dataclass(frozen=True)
class ItemVectors:
    """Vectors of items; the product of two is their cosine.

    Args:
        items: Numbers of the items, ascending, int64 `[N]`.
        values: float32 `[N, D]`, of length 1.
    """

    items: NDArray[np.int64]
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def digest(self) -> str:
        """A fingerprint of items and values."""
        return hashlib.sha256(self.items.tobytes() + self.values.tobytes()).hexdigest()


_NONE = ItemVectors(np.empty(0, np.int64), np.empty((0, 1), np.float32))


class VectorStore:
    """Embeddings of images on their principal axes, in half precision: 128 bytes an image.

    Args:
        database: Of the labeling.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: tuple[object, ...] = ()
        self._loaded = _NONE

    def missing(self, model: str) -> list[str]:
        """Return the ids of the images that have no vector of a model, in the order of asking."""
        is_here = self._is_here() and self._model() == model
        without = "WHERE item NOT IN (SELECT item FROM vector)" if is_here else ""
        return [
            id
            for (id,) in self._database.rows(f"SELECT id FROM item {without} ORDER BY batch, rank")  # noqa: S608
        ]

    def add(self, model: str, ids: Sequence[str], embeddings: NDArray[np.float32]) -> None:
        """Store vectors of images; those of another model are deleted.

        The axes are those of the first call for a model. Ids that are no images of this labeling
        are left out.

        Args:
            model: A fingerprint of the model.
            ids: The images.
            embeddings: `[N, D]`.
        """
        if not len(ids):
            return
        with self._database.transaction() as connection:
            for statement in _CREATE:
                connection.execute(statement)
            mean, axes = self._space(connection, model, embeddings)
            vectors = unit_rows(((embeddings - mean) @ axes).astype(np.float32)).astype(np.float16)
            numbers = dict(connection.execute("SELECT id, item FROM item"))
            connection.executemany(
                "INSERT OR REPLACE INTO vector VALUES (?, ?)",
                (
                    (numbers[id], vector.tobytes())
                    for id, vector in zip(ids, vectors, strict=True)
                    if id in numbers
                ),
            )

    def load(self) -> ItemVectors:
        """Return all vectors; from memory if none came since the last call."""
        if not self._is_here():
            return _NONE
        [seen] = self._database.rows(
            "SELECT count(*), max(item), (SELECT model FROM vector_space) FROM vector"
        )
        if seen != self._seen:
            rows = self._database.rows("SELECT item, value FROM vector ORDER BY item")
            self._loaded = _NONE if not rows else _vectors(rows)
            self._seen = seen
        return self._loaded

    def keep_text_model(self, model: str, source: str) -> None:
        """Keep where the text part of the vectors' model is, in place of that of another model.

        Args:
            model: The fingerprint of the model.
            source: Whatever finds it again.
        """
        with self._database.transaction() as connection:
            connection.execute(_CREATE_TEXT_MODEL)
            connection.execute(
                "INSERT OR REPLACE INTO text_model VALUES (1, ?, ?)", (model, source)
            )

    def text_model(self) -> str | None:
        """Return where the text part of the vectors' model is; None where it has none."""
        if not self._is_here("text_model") or not self._is_here():
            return None
        rows = self._database.rows(
            "SELECT source FROM text_model t JOIN vector_space v ON v.model = t.model"
        )
        return str(rows[0][0]) if rows else None

    def on_axes(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a vector of the model on the axes of the images, `[D]`, at length 1.

        Its mean is not that of the images, and the difference is the same for all of them.

        Args:
            vector: As the model makes it, `[width]`.
        """
        [(width, axes)] = self._database.rows("SELECT width, axes FROM vector_space")
        rows = (vector @ np.frombuffer(axes, np.float32).reshape(width, -1))[None]
        found: NDArray[np.float32] = unit_rows(rows)[0]
        return found

    def layouts(self) -> dict[str, NDArray[np.float32]]:
        """Return the kept places of the items that have vectors, float32 `[N, 2]`, by layout."""
        if not self._is_here("layout"):
            return {}
        rows = self._database.rows(
            "SELECT name, places FROM layout WHERE digest = ? ORDER BY name", (self.load().digest,)
        )
        return {name: np.frombuffer(places, np.float32).reshape(-1, 2) for name, places in rows}

    def keep_layout(self, name: str, digest: str, places: NDArray[np.float32]) -> None:
        """Keep the places of the items on a map, in place of an older layout of this name.

        Args:
            name: The layout.
            digest: Of the vectors that it was computed from; with others it counts no more.
            places: `[N, 2]`, in the order of these vectors.
        """
        with self._database.transaction() as connection:
            connection.execute(_CREATE_LAYOUT)
            connection.execute(
                "INSERT OR REPLACE INTO layout VALUES (?, ?, ?)",
                (name, digest, places.astype(np.float32).tobytes()),
            )

    def _is_here(self, table: str = "vector") -> bool:
        return bool(self._database.rows(_EXISTS, (table,)))

    def _model(self) -> str | None:
        rows = self._database.rows("SELECT model FROM vector_space")
        return str(rows[0][0]) if rows else None

    def _space(
        self, connection: sqlite3.Connection, model: str, embeddings: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return mean and axes of a model; make them from embeddings if there are none yet."""
        width = embeddings.shape[1]
        row = connection.execute("SELECT model, width, mean, axes FROM vector_space").fetchone()
        if row is not None and row[:2] == (model, width):
            mean, axes = (np.frombuffer(part, np.float32) for part in row[2:])
            return mean, axes.reshape(width, -1)
        mean, axes = _principal_axes(embeddings[:_MOST_FITTED])
        connection.execute("DELETE FROM vector")
        connection.execute(
            "INSERT OR REPLACE INTO vector_space VALUES (1, ?, ?, ?, ?)",
            (model, width, mean.tobytes(), axes.tobytes()),
        )
        return mean, axes


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows divided by their lengths; a row of zeros stays one."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _principal_axes(
    embeddings: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean = embeddings.mean(axis=0)
    _, _, axes = np.linalg.svd(embeddings - mean, full_matrices=False)
    return mean.astype(np.float32), np.ascontiguousarray(axes[:_MOST_AXES].T, np.float32)


def _vectors(rows: Iterable[tuple[int, bytes]]) -> ItemVectors:
    items, values = zip(*rows, strict=True)
    matrix = np.frombuffer(b"".join(values), np.float16).reshape(len(items), -1)
    return ItemVectors(np.array(items, np.int64), matrix.astype(np.float32))

"""`PoolMap`: the images of a labeling as points of a plane, and the values that color them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.item_vectors import ItemVectors
from allencv_al.labels.sessions.label_values import SINGLE_LABEL
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.selection.page_groups import ItemPredictions, PageGroups
from allencv_al.selection.projections import LAYOUTS, Layout, principal_plane, projected

MOST_POINTS = 200_000
"""Images of a map; of more a random sample is shown, the same one each time."""

_LARGEST = 65_535  # of a coordinate: 16 bits are enough for a screen, magnified 30 times


class PointState(IntEnum):
    """State of an image on the map."""

    WAITING = 0
    LABELED = 1
    UNSURE = 2
    UNREADABLE = 3
    CONFLICT = 4


_STATES = {
    LabelKind.LABEL.value: PointState.LABELED,
    LabelKind.UNSURE.value: PointState.UNSURE,
    LabelKind.UNREADABLE.value: PointState.UNREADABLE,
}


@dataclass(frozen=True)
class MapPoints:
    """The places of images.

    Args:
        items: Numbers of the items, ascending, `[N]`.
        places: uint16 `[N, 2]`, the same scale on both axes, the middle in the middle.
    """

    items: NDArray[np.int64]
    places: NDArray[np.uint16]


@dataclass(frozen=True)
class MapValues:
    """The values of the images of a map, `[N]` each, in the order of its points.

    Args:
        classes: Names, which `labels` and `predicted` count from 1; 0 is none.
        batches: Numbers of the batches that the images were asked for in.
        labels: The agreed class.
        predicted: The most probable class; none for images that are labeled without a prediction.
        probabilities: Of that class; 0 without one.
        states: A `PointState` each.
    """

    classes: Sequence[str]
    batches: NDArray[np.int64]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    states: NDArray[np.int64]


class PoolMap:
    """The map of a labeling: all images that have a vector.

    Args:
        store: The labeling.
        groups: Whose predictions are shown.
    """

    def __init__(self, store: LabelingStore, groups: PageGroups) -> None:
        self._store = store
        self._groups = groups
        self._lock = threading.Lock()  # one request computes, others wait for its result
        self._plane: tuple[str, NDArray[np.float32]] | None = None
        self._values: tuple[str, MapValues] | None = None

    @property
    def version(self) -> str:
        """Changes with the images of the map; empty without any."""
        vectors = self._store.vectors.load()
        return vectors.digest[:16] if len(vectors) else ""

    def layouts(self) -> list[Layout]:
        """Return the layouts that can be shown at once, the best one first."""
        kept = self._store.vectors.layouts()
        return [name for name in reversed(LAYOUTS) if name in kept or name == "pca"]

    def items(self) -> NDArray[np.int64]:
        """Return the numbers of the items on the map, ascending."""
        vectors = self._store.vectors.load()
        return vectors.items[_shown(len(vectors))]

    def points(self, layout: Layout) -> MapPoints | None:
        """Return the places of the images; None if this layout has not been computed."""
        vectors = self._store.vectors.load()
        places = self._places(vectors, layout)
        if places is None:
            return None
        rows = _shown(len(vectors))
        return MapPoints(vectors.items[rows], _scaled(places[rows]))

    def values(self) -> tuple[str, MapValues]:
        """Return the values of the images, with a tag that changes with them."""
        with self._lock:
            tag = self._tag()
            if self._values is None or self._values[0] != tag:
                self._values = tag, self._read_values()
            return self._values

    def prediction(self, item: int) -> tuple[str, float] | None:
        """Return the prediction of an image as the map shows it: none where it would bias."""
        items, (_, values) = self.items(), self.values()
        place = int(np.searchsorted(items, item))
        if place == len(items) or items[place] != item or not values.predicted[place]:
            return None
        return values.classes[values.predicted[place] - 1], float(values.probabilities[place])

    def compute(self, layout: Layout) -> bool:
        """Compute and keep a layout unless it is there; return whether there is one to keep.

        Raises:
            ConfigurationError: Its library is not installed.
        """
        vectors = self._store.vectors.load()
        if not len(vectors) or layout == "pca":
            return False
        if layout not in self._store.vectors.layouts():
            places = projected(vectors.values, layout)
            self._store.vectors.keep_layout(layout, vectors.digest, places)
        return True

    def _places(self, vectors: ItemVectors, layout: Layout) -> NDArray[np.float32] | None:
        if layout != "pca":
            return self._store.vectors.layouts().get(layout)
        with self._lock:  # in memory only: to compute it is as quick as to read it
            if self._plane is None or self._plane[0] != vectors.digest:
                self._plane = vectors.digest, principal_plane(vectors.values)
            return self._plane[1]

    def _tag(self) -> str:
        """Return a text that changes with everything that values depend on."""
        [counts] = self._store.database.rows(
            "SELECT (SELECT max(event_id) FROM label_event), "
            "(SELECT max(sequence) FROM class_change), max(batch), max(rank), "
            "sum(guess IS NOT NULL) FROM item"
        )
        parts = (*counts, self.version, *sorted(self._groups.unseen()))
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def _read_values(self) -> MapValues:
        store, items = self._store, self.items()
        found = self._groups.predictions()
        numbers = store.classes.names() if store.values.task_name == SINGLE_LABEL else {}
        of_model = [] if found is None else found.classes
        classes = list(dict.fromkeys([*numbers.values(), *of_model]))
        order = {name: place for place, name in enumerate(classes, start=1)}
        of_class = {number: order[name] for number, name in numbers.items()}
        rows = store.database.rows(
            "SELECT item, batch, class_id, kind, is_conflict FROM item ORDER BY item"
        )
        all_items = np.array([row[0] for row in rows], np.int64)
        columns = np.array(
            [
                (batch, of_class.get(class_id, 0), _state(kind, is_conflict))
                for _, batch, class_id, kind, is_conflict in rows
            ],
            np.int64,
        ).reshape(-1, 3)
        batches, labels, states = columns[np.searchsorted(all_items, items)].T
        predicted, probabilities = self._predicted(items, found, order)
        return MapValues(classes, batches, labels, predicted, probabilities, states)

    def _predicted(
        self, items: NDArray[np.int64], found: ItemPredictions | None, order: dict[str, int]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        predicted, probabilities = np.zeros(len(items), np.int64), np.zeros(len(items))
        if found is None:
            return predicted, probabilities
        best = found.probabilities.argmax(axis=1)
        highest = found.probabilities[np.arange(len(best)), best]
        codes = np.array([order[name] for name in found.classes])[best]
        _, mine, theirs = np.intersect1d(items, found.items, True, return_indices=True)
        has_one = highest[theirs] > 0
        mine, theirs = mine[has_one], theirs[has_one]
        predicted[mine], probabilities[mine] = codes[theirs], highest[theirs]
        unseen = np.isin(items, list(self._groups.unseen()))
        predicted[unseen], probabilities[unseen] = 0, 0
        return predicted, probabilities


def _state(kind: str | None, is_conflict: int) -> PointState:
    if is_conflict:
        return PointState.CONFLICT
    return PointState.WAITING if kind is None else _STATES.get(kind, PointState.WAITING)


def _shown(count: int) -> NDArray[np.int64]:
    """Return the rows that a map shows, ascending."""
    if count <= MOST_POINTS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, MOST_POINTS, replace=False))


def _scaled(places: NDArray[np.float32]) -> NDArray[np.uint16]:
    if not len(places):
        return places.astype(np.uint16)
    low, high = places.min(axis=0), places.max(axis=0)
    span = float((high - low).max()) or 1.0
    centered = (places - (low + high) / 2) / span + 0.5
    scaled: NDArray[np.uint16] = np.rint(centered * _LARGEST).clip(0, _LARGEST).astype(np.uint16)
    return scaled

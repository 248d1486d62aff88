"""`PageGroups`: the images of a labeling that are labeled together on one page."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from allencv_al.labels.sessions.items import Item
from allencv_al.labels.sessions.label_values import SINGLE_LABEL
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.selection.image_groups import (
    class_probabilities,
    most_alike,
    nearest,
    surest,
)
from allencv_al.selection.text_search import TextSearch

GroupKind = Literal["class", "alike", "text", "order"]

_LEAST_OF_CLASS = 2  # labels of each class before the classes of the others are predicted
_PAGES_OF_CLASS = 2  # or so many pages for each class, where one of them does not come up
_SPARE = 2  # candidates per wanted image: others may take some before they are leased


@dataclass(frozen=True)
class GroupRequest:
    """The wish for a page of images.

    Args:
        count: Maximal number of images.
        by: `class` for the surest images of one class, `alike` for images that look alike, `order`
            for those that come next, `text` for those nearest to a text; None for what promises the
            fewest odd ones.
        text: The text, with `text`.
        class_name: The class, with `class`; by default the surest one.
        like: The number of the item that the others are to be like.
        among: The only items to choose from, such as those chosen on the map; None for all.
        but: Items to leave out.
        denied: Classes that an item was taken out of, by its number. It comes up again for another
            class, and not at all after two.
        give_back: Leased items that are not wanted any more.
    """

    count: int
    by: GroupKind | None = None
    text: str | None = None
    class_name: str | None = None
    like: int | None = None
    among: Collection[int] | None = None
    but: Collection[int] = ()
    denied: Mapping[int, Collection[str]] = field(default_factory=dict)
    give_back: Sequence[int] = ()


@dataclass(frozen=True)
class PageGroup:
    """Images that belong together, leased to the annotator who asked.

    Args:
        items: The images, those that belong together most first, with the ends of their leases.
        by: Why they are together.
        class_name: The class that they are predicted to be of, with `class`.
    """

    items: Sequence[tuple[Item, float]]
    by: GroupKind
    class_name: str | None = None


@dataclass(frozen=True)
class Arrangement:
    """An order of labeled images by what the model predicts, and a selection among them.

    Args:
        predicted: Only images that are predicted to be of this class.
        disagrees: Only images whose label is another class than the prediction.
        sort: `surest` or `least`: by the probability of the predicted class; None keeps the order.
        like: The number of an item: the images that are most like it come first.
    """

    predicted: str | None = None
    disagrees: bool = False
    sort: Literal["surest", "least"] | None = None
    like: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it changes nothing."""
        return self == Arrangement()


@dataclass(frozen=True)
class ItemPredictions:
    """The most probable class of each item.

    Args:
        items: The items' numbers, ascending, `[N]`.
        classes: Class names, by index.
        probabilities: `[N, C]`; where only the best class of a model is known, its column alone.
    """

    items: NDArray[np.int64]
    classes: Sequence[str]
    probabilities: NDArray[np.float64]

    def best(self) -> dict[int, tuple[str, float]]:
        """Return class and probability by item; an item without a prediction is left out."""
        index = self.probabilities.argmax(axis=1)
        highest = self.probabilities[np.arange(len(index)), index]
        return {
            item: (self.classes[best], value)
            for item, best, value in zip(
                self.items.tolist(), index.tolist(), highest.tolist(), strict=True
            )
            if value > 0
        }


class PageGroups:
    """Groups the images of a labeling that wait for a label.

    The predictions of a model that came with the images go first. Without them a linear model on
    the images' vectors learns from the labels given so far, anew for each page; the audit sample
    is left out of both, so that its images are labeled one by one and unseen.

    Args:
        store: The labeling.
    """

    def __init__(self, store: LabelingStore) -> None:
        self._store = store
        self._texts = TextSearch(store)
        self._guesses: tuple[object, ItemPredictions | None] = (None, None)

    def group(self, annotator: str, request: GroupRequest) -> PageGroup:
        """Return the next page, leased to an annotator; without images where none is left."""
        free = self._free(annotator, request.but)
        if request.among is not None:
            among = set(request.among)
            free = [item for item in free if item in among]
        by, name, items = self._chosen(free, request)
        taken = self._store.leases.take(
            annotator, items[: _SPARE * request.count], request.count, request.give_back
        )
        return PageGroup(taken, by, name)

    def predictions(self) -> ItemPredictions | None:
        """Return the predictions of all items of the newest batch; None without any."""
        if self._store.values.task_name != SINGLE_LABEL:
            return None
        return self._of_model() or self._of_labels()

    def arranged(
        self, items: Sequence[int], wish: Arrangement
    ) -> tuple[list[int], dict[int, tuple[str, float]]]:
        """Return items in another order, and the predicted class and probability of each.

        Args:
            items: The items' numbers.
            wish: The order; an item without a prediction is left out where it needs one.
        """
        found = self.predictions()
        best = {} if found is None else found.best()
        names, labels = self._store.classes.names(), self._labels()
        chosen = [
            item
            for item in items
            if (wish.predicted is None or best.get(item, ("",))[0] == wish.predicted)
            and not (wish.disagrees and _agrees(best.get(item), names.get(labels.get(item, 0))))
        ]
        if wish.sort is not None:
            sign = -1 if wish.sort == "surest" else 1
            chosen = sorted(
                (item for item in chosen if item in best), key=lambda item: sign * best[item][1]
            )
        if wish.like is not None:
            chosen = self._like(wish.like, chosen, len(chosen))
        return chosen, best

    def sure(self, annotator: str, threshold: float) -> dict[int, tuple[int, float]]:
        """Return class and probability of the images that wait, from a probability on.

        Args:
            annotator: The annotator to whom they are free.
            threshold: The lowest probability.
        """
        found = self.predictions()
        if found is None:
            return {}
        best, free = found.best(), self._free(annotator, ())
        numbers = {name: number for number, name in self._store.classes.names().items()}
        return {
            item: (numbers[best[item][0]], best[item][1])
            for item in free
            if item in best and best[item][1] >= threshold and best[item][0] in numbers
        }

    def kinds(self) -> list[GroupKind]:
        """Return the groups that this labeling allows."""
        found: list[GroupKind] = ["order"]
        if len(self._store.vectors.load()):
            found.insert(0, "alike")
        if self._texts.is_offered():
            found.insert(-1, "text")
        if self.predictions() is not None:
            found.insert(0, "class")
        return found

    def unseen(self) -> set[int]:
        """Return the items that are labeled one by one, without a prediction in sight."""
        return {*self._audited(), *self._store.acceptances.being_checked()}

    def _free(self, annotator: str, but: Collection[int]) -> list[int]:
        left_out = {*but, *self.unseen()}
        return [item for item in self._store.leases.free_items(annotator) if item not in left_out]

    def _audited(self) -> set[int]:
        ids = json.dumps(list(self._store.audit.ids()))
        rows = self._store.database.rows(
            "SELECT item FROM item WHERE id IN (SELECT value FROM json_each(?))", (ids,)
        )
        return {item for (item,) in rows}

    def _chosen(
        self, free: Sequence[int], request: GroupRequest
    ) -> tuple[GroupKind, str | None, list[int]]:
        if request.like is not None:
            return "alike", None, self._like(request.like, free, _SPARE * request.count)
        if request.by == "text":
            page = self._nearest_to(request.text, free) if self._texts.is_offered() else []
            return "text", None, page[: _SPARE * request.count]
        if request.by in (None, "class"):
            name, page = self._surest(free, request)
            if page or request.by is not None:
                return "class", name, page
        undenied = [item for item in free if item not in request.denied]
        if request.by in (None, "alike"):
            page = self._alike(undenied, request)
            if page or request.by is not None:
                return "alike", None, page
        return "order", None, undenied

    # -- By class --------------------------------------------------------------------------------

    def _surest(self, free: Sequence[int], request: GroupRequest) -> tuple[str | None, list[int]]:
        found = self._of_model() or self._of_labels(is_rough=request.by == "class")
        if found is None:
            return request.class_name, []
        rows = _rows_of(found.items, free)
        indices = {name: index for index, name in enumerate(found.classes)}
        probabilities = found.probabilities.copy()
        for item, names in request.denied.items():
            for row in _rows_of(found.items, [item]).tolist():
                known = [indices[name] for name in names if name in indices]
                # Twice wrong: this one is for the single view
                probabilities[row, known if len(names) < 2 else slice(None)] = 0
        if request.class_name is not None and request.class_name not in indices:
            return request.class_name, []
        index = None if request.class_name is None else indices[request.class_name]
        page, best = surest(probabilities, rows, _SPARE * request.count, index)
        name = request.class_name if best < 0 else found.classes[best]
        return name, [int(item) for item in found.items[page]]

    def _of_model(self) -> ItemPredictions | None:
        """Return the predictions that came with the images, if most waiting ones have one."""
        key = self._store.database.rows(
            "SELECT count(*), max(rank), max(batch), sum(guess IS NOT NULL) FROM item"
        )
        if self._guesses[0] != key:
            self._guesses = (key, self._read_guesses())
        return self._guesses[1]

    def _read_guesses(self) -> ItemPredictions | None:
        rows = self._store.database.rows(
            "SELECT item, guess, kind IS NULL FROM item "
            "WHERE batch = (SELECT max(batch) FROM batch) ORDER BY item"
        )
        waiting = [guess for _, guess, is_open in rows if is_open]
        if 2 * sum(guess is not None for guess in waiting) < len(waiting) or not rows:
            return None
        best = [json.loads(guess)[0] if guess else None for _, guess, _ in rows]
        names = sorted({pair[0] for pair in best if pair is not None})
        if not names:
            return None
        columns = {name: column for column, name in enumerate(names)}
        probabilities = np.zeros((len(rows), len(names)))
        for row, pair in enumerate(best):
            if pair is not None:
                probabilities[row, columns[pair[0]]] = pair[1]
        return ItemPredictions(np.array([row[0] for row in rows]), names, probabilities)

    def _of_labels(self, is_rough: bool = True) -> ItemPredictions | None:
        """Return predictions learned from the labels; None before there are enough.

        Args:
            is_rough: Whether labels of two classes are enough.
        """
        vectors = self._store.vectors.load()
        labels = self._labels()
        rows = _rows_of(vectors.items, list(labels))
        of = [labels[item] for item in vectors.items[rows].tolist()]
        names = self._store.classes.names()
        counts = [of.count(number) for number in names]
        if sum(count > 0 for count in counts) < 2:
            return None
        many = _PAGES_OF_CLASS * len(names) * 24
        if not is_rough and min(counts) < _LEAST_OF_CLASS and len(of) < many:
            return None
        order = {number: index for index, number in enumerate(names)}
        targets = np.array([order[number] for number in of])
        probabilities = class_probabilities(vectors.values, rows, targets, len(names))
        return ItemPredictions(vectors.items, list(names.values()), probabilities)

    def _labels(self) -> dict[int, int]:
        """Return the agreed class of each labeled item outside the audit sample."""
        audited = self._audited()
        rows = self._store.database.rows(
            "SELECT item, class_id FROM item WHERE class_id IS NOT NULL"
        )
        return {item: class_id for item, class_id in rows if item not in audited}

    # -- By likeness -----------------------------------------------------------------------------

    def _alike(self, free: Sequence[int], request: GroupRequest) -> list[int]:
        vectors = self._store.vectors.load()
        rows = _rows_of(vectors.items, free)
        known = _rows_of(vectors.items, list(self._labels()))
        page = most_alike(vectors.values, rows, request.count, len(known), known)
        return [int(item) for item in vectors.items[page]]

    def _nearest_to(self, text: str | None, free: Sequence[int]) -> list[int]:
        """Return the items nearest to a text; those without a vector are left out."""
        if text is None:
            return []
        cosines, vectors = self._texts.cosines(text), self._store.vectors.load()
        rows = _rows_of(vectors.items, free)
        return [
            int(item) for item in vectors.items[rows[np.argsort(-cosines[rows], kind="stable")]]
        ]

    def _like(self, item: int, free: Sequence[int], most: int) -> list[int]:
        vectors = self._store.vectors.load()
        found = _rows_of(vectors.items, [item])
        if not len(found):
            return []
        rows = _rows_of(vectors.items, free)
        page = nearest(vectors.values, int(found[0]), rows, most)
        return [int(number) for number in vectors.items[page]]


def _agrees(prediction: tuple[str, float] | None, label: str | None) -> bool:
    """Return whether a prediction and a label name the same class, or one of them is missing."""
    return prediction is None or label is None or prediction[0] == label


def _rows_of(items: NDArray[np.int64], wanted: Sequence[int]) -> NDArray[np.int64]:
    """Return the places of items in an ascending array; items that are not in it are left out."""
    numbers = np.array(wanted, np.int64)
    places = np.searchsorted(items, numbers)
    places = np.minimum(places, max(len(items) - 1, 0))
    if not len(items) or not len(numbers):
        return np.empty(0, np.int64)
    found: NDArray[np.int64] = places[items[places] == numbers]
    return found

"""`PoolConditions`: a labeled data set made harder or smaller, for experiments about strategies."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated

from annotated_types import Ge

from allencv_al.common.config.registrable import FromParams
from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.id_hash import canonical_order
from allencv_al.data.instance import Instance
from allencv_al.tasks.base import LabelTask

logger = logging.getLogger(__name__)

UNKNOWN = "unknown"
"""The label of images of unknown classes."""

COPY_MARK = "#copy"
"""Mark between the id of an image and the number of its copy."""


class PoolConditions(FromParams):
    """Changes of a labeled data set, to see what a strategy does where data are not clean.

    All are drawn by `seed` and the ids, so every run of a comparison has the same data. Test images
    change only where said. For wrong labels see `noise` of the annotator `ground_truth`.

    Args:
        size: Number of images of the pool, drawn in equal shares of its classes, before the other
            changes; null: all.
        test_size: Number of test images, likewise.
        imbalance: Images of the most frequent class for one of the rarest: the classes, in random
            order, get shares that fall geometrically (Cui et al. 2019, arXiv:1901.05555). 1 leaves
            the classes as they are.
        duplicates: Copies in the pool, as a share of its images: 0.5 adds one for every second.
            Each copy costs a label of its own.
        unknown_classes: Number of classes that are in the pool only: their images are labeled
            `unknown`, and none of them is a test image.
        seed: Random seed.
    """

    def __init__(
        self,
        size: Annotated[int, Ge(1)] | None = None,
        test_size: Annotated[int, Ge(1)] | None = None,
        imbalance: Annotated[float, Ge(1)] = 1.0,
        duplicates: Annotated[float, Ge(0)] = 0.0,
        unknown_classes: Annotated[int, Ge(0)] = 0,
        seed: int = 0,
    ) -> None:
        self.size = size
        self.test_size = test_size
        self.imbalance = imbalance
        self.duplicates = duplicates
        self.unknown_classes = unknown_classes
        self.seed = seed

    def pool(self, dataset: Dataset, task: LabelTask) -> Dataset:
        """Return the changed pool.

        Args:
            dataset: The images.
            task: The kind of labels; equal groups of labels take the place of classes.

        Raises:
            DataError: Fewer than two classes would be known, or one is called `unknown`.
        """
        items = list(dataset)
        # Drawn from the whole data: the size of the pool must not change which classes are unknown
        unknown = self._unknown_of(items, task)
        if self.size is not None:
            items = self._in_equal_shares(items, self.size, task)
        if self.imbalance > 1:
            items = list(self._imbalanced(items, task))
        items = [
            task.labeled(item, UNKNOWN) if task.text_of(item) in unknown else item for item in items
        ]
        items = [*items, *self._copies(items)]
        logger.info("conditions: %d of %d images make the pool", len(items), len(dataset))
        return _with(dataset, items)

    def test(self, dataset: Dataset, pool: Dataset, task: LabelTask) -> Dataset:
        """Return the changed test images.

        Args:
            dataset: The test images.
            pool: The pool before its changes, which says what the classes are.
            task: As in `pool`.
        """
        unknown = self._unknown_of(list(pool), task)
        items = [item for item in dataset if task.text_of(item) not in unknown]
        if self.test_size is not None:
            items = self._in_equal_shares(items, self.test_size, task)
        return _with(dataset, items)

    def _unknown_of(self, items: Sequence[Instance], task: LabelTask) -> frozenset[str]:
        if not self.unknown_classes:
            return frozenset()
        if task.problem(UNKNOWN) is not None:
            raise DataError(
                "active_learning.conditions.unknown_classes: expected 0 where an image has not one "
                f"class, found {self.unknown_classes}"
            )
        texts = (task.text_of(item) for item in items)
        names = self._shuffled({text for text in texts if text is not None}, "unknown")
        if len(names) - self.unknown_classes < 2:
            raise DataError(
                "active_learning.conditions.unknown_classes: expected at most "
                f"{len(names) - 2}, as two of the {len(names)} classes must stay known, found "
                f"{self.unknown_classes}"
            )
        if UNKNOWN in names:
            raise DataError(
                f'active_learning.conditions.unknown_classes: "{UNKNOWN}" is a class of the data; '
                "rename it"
            )
        return frozenset(names[: self.unknown_classes])

    def _in_equal_shares(
        self, items: Sequence[Instance], size: int, task: LabelTask
    ) -> list[Instance]:
        """Return `size` items, as many of each class as there are; in the order given."""
        turns: list[tuple[int, int, int]] = []
        for number, places in enumerate(self._by_class(items, task).values()):
            turns += [(turn, number, place) for turn, place in enumerate(places)]
        # In turns over the classes: one that runs out leaves its share to the others
        kept = sorted(place for _, _, place in sorted(turns)[:size])
        return [items[place] for place in kept]

    def _imbalanced(self, items: Sequence[Instance], task: LabelTask) -> Iterator[Instance]:
        by_class = self._by_class(items, task)
        names = self._shuffled(by_class, "imbalance")
        # The first class keeps all, the last 1/imbalance; a class with fewer images keeps those
        most = max(len(places) for places in by_class.values())
        last = max(len(names) - 1, 1)
        kept: set[int] = set()
        for rank, name in enumerate(names):
            count = max(1, round(most * self.imbalance ** (-rank / last)))
            kept.update(by_class[name][:count])
        yield from (item for place, item in enumerate(items) if place in kept)

    def _by_class(self, items: Sequence[Instance], task: LabelTask) -> dict[str, list[int]]:
        """Return the places of each class, in the random order of the ids; classes by name."""
        found: dict[str, list[int]] = {}
        for place in canonical_order((f"kept/{item.id}" for item in items), self.seed).tolist():
            text = task.text_of(items[place])
            found.setdefault("" if text is None else task.stratum(text), []).append(place)
        return dict(sorted(found.items()))

    def _copies(self, items: Sequence[Instance]) -> Iterator[Instance]:
        order = canonical_order((f"copied/{item.id}" for item in items), self.seed).tolist()
        for number in range(round(self.duplicates * len(items)) if items else 0):
            # A share above 1 copies each image once before any is copied twice
            turn, place = divmod(number, len(items))
            item = items[order[place]]
            yield replace(item, id=f"{item.id}{COPY_MARK}{turn + 1}")

    def _shuffled(self, names: Iterable[str], salt: str) -> list[str]:
        ordered = sorted(names)
        order = canonical_order((f"{salt}/{name}" for name in ordered), self.seed)
        return [ordered[place] for place in order.tolist()]


def _with(dataset: Dataset, items: Sequence[Instance]) -> Dataset:
    return Dataset(dataset.reader, items, dataset.skipped, dataset.unreadable)

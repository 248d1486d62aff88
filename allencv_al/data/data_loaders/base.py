"""The base of all data loaders: the order of the batches, and the way to the device."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.config.registrable import Registrable
from allencv_al.common.errors import DataError
from allencv_al.data import batch as batches_and_tensors
from allencv_al.data.batch import Batch, UnreadableImage

if TYPE_CHECKING:
    from allencv_al.data.dataset_readers.base import Dataset

logger = logging.getLogger(__name__)

_SEED_BITS = (1 << 64) - 1

_MOST_SHOWN = 5
_MOST_LOGGED = 20  # the trainer writes the whole list to the run's folder


@dataclass(frozen=True, slots=True)
class BatchSlot:
    """The place of one batch.

    Args:
        index: Its number in the epoch, from 0.
        pass_index: Number of the pass over the dataset, from 0; it seeds the augmentation of its
            items.
        positions: The positions of its items in the dataset, int64 `[B]`.
        repeats: Number of times that each item stood in the pass before, int64 `[B]`; it seeds,
            too. None where every item stands once.
    """

    index: int
    pass_index: int
    positions: NDArray[np.int64]
    repeats: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """The order of an endless stream of passes over a dataset, cut into batches and epochs.

    Every pass has an order of its own, f(seed, pass), in which every item stands once, unless
    `quotas` say otherwise. An epoch is one pass, or, with `batches_per_epoch`, so many batches of
    the stream: the next epoch continues where it ended.

    Args:
        size: Number of items.
        batch_size: Items per batch; the last batch of a pass may have fewer.
        shuffle: Whether a pass is in random order, else in the dataset's.
        seed: Decides the order.
        drop_last: Whether to leave out a last batch with fewer items.
        batches_per_epoch: Batches in an epoch; None for one pass.
        merge_single: Whether a last batch of one item joins the batch before it.
        quotas: Positions of the items of each class, and how many items of it a pass draws, `size`
            in all. None draws every item once.
    """

    size: int
    batch_size: int
    shuffle: bool = True
    seed: int = 0
    drop_last: bool = False
    batches_per_epoch: int | None = None
    merge_single: bool = False
    quotas: Sequence[tuple[NDArray[np.int64], int]] | None = field(default=None, compare=False)

    @property
    def batches_per_pass(self) -> int:
        """The number of batches in one pass over the dataset."""
        if self.drop_last or self._merges:
            return self.size // self.batch_size
        return -(-self.size // self.batch_size)

    @property
    def _merges(self) -> bool:
        is_single = self.batch_size > 1 and self.size % self.batch_size == 1
        return self.merge_single and not self.drop_last and is_single and self.size > 1

    def __len__(self) -> int:
        if self.batches_per_epoch is not None:
            return self.batches_per_epoch
        return self.batches_per_pass

    def slots(self, epoch: int, start: int = 0) -> Iterator[BatchSlot]:
        """Yield the places of the batches of an epoch, from batch `start` on.

        Raises:
            ValueError: There is no such epoch or batch.
        """
        length, per_pass = len(self), self.batches_per_pass
        if epoch < 0 or not 0 <= start <= length:
            raise ValueError(
                f"no batch {start} in epoch {epoch}: expected epoch >= 0 and 0 <= start <= {length}"
            )
        return self._slots(epoch * length, length, start, per_pass)

    def _slots(self, offset: int, length: int, start: int, per_pass: int) -> Iterator[BatchSlot]:
        order, of_pass = np.empty(0, np.int64), -1
        repeats: NDArray[np.int64] | None = None
        for index in range(start, length):
            # Passes follow one another in one stream, wherever epochs end
            pass_index, place = divmod(offset + index, per_pass)
            if pass_index != of_pass:
                order, of_pass = self.order(pass_index), pass_index
                repeats = None if self.quotas is None else _repeats(order)
            first = place * self.batch_size
            end = first + self.batch_size
            if self._merges and place == per_pass - 1:
                end = self.size
            rows = slice(first, end)
            part = None if repeats is None else repeats[rows]
            yield BatchSlot(index, pass_index, order[rows], part)

    def order(self, pass_index: int) -> NDArray[np.int64]:
        """Return the positions of all items in the order of one pass.

        A random key per item is sorted, rather than `Generator.permutation` called: NumPy promises
        that the bits of PCG64 stay the same in every version, but not what its methods make of
        them.
        """
        if not self.shuffle:
            return np.arange(self.size, dtype=np.int64)
        bits = np.random.PCG64(np.random.SeedSequence([self.seed & _SEED_BITS, pass_index]))
        if self.quotas is None:
            return _permutation(bits, self.size)
        drawn = np.concatenate([_drawn(bits, *quota) for quota in self.quotas])
        return drawn[_permutation(bits, len(drawn))]


def class_quotas(labels: Sequence[str | None], power: float) -> list[tuple[NDArray[np.int64], int]]:
    """Return the items of each class, and how many of them a pass over all items draws.

    A class of n items gets a share proportional to n to the power; the rest of the rounding goes to
    the classes with the largest fractions.

    Args:
        labels: The label of each item.
        power: 0 gives each class the same share, 1 its own.
    """
    members: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        members.setdefault(label or "", []).append(place)
    names = sorted(members)
    sizes = np.array([len(members[name]) for name in names])
    exact = len(labels) * sizes**power / (sizes**power).sum()
    counts = np.floor(exact).astype(np.int64)
    rest = len(labels) - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:rest]] += 1
    places = [np.array(members[name], np.int64) for name in names]
    return list(zip(places, counts.tolist(), strict=True))


def _permutation(bits: np.random.PCG64, size: int) -> NDArray[np.int64]:
    return np.argsort(bits.random_raw(size), kind="stable").astype(np.int64, copy=False)


def _drawn(bits: np.random.PCG64, items: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return so many items: all of them as often as it takes, and a random part of them once."""
    times = -(-count // len(items))
    rows = [items[_permutation(bits, len(items))] for _ in range(times)]
    return np.concatenate([np.empty(0, np.int64), *rows])[:count]


def _repeats(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each entry stands before its place."""
    by_item = np.argsort(order, kind="stable")
    ordered = order[by_item]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[begins, len(order)])
    repeats = np.empty_like(order)
    repeats[by_item] = np.arange(len(order)) - np.repeat(begins, lengths)
    return repeats


class DataLoader(Registrable):
    """Make the batches of a dataset.

    A loader has no position: `batches(epoch, start)` determines the batches, so that a resumed run
    gets the same batches as an uninterrupted one.

    Args:
        dataset: The instances of a reader.
    """

    builtin: ClassVar[dict[str, str]] = dict.fromkeys(
        ("multiprocess", "basic"), "allencv_al.data.data_loaders.multiprocess"
    )
    default_implementation: ClassVar[str | None] = "multiprocess"
    injected: ClassVar[tuple[str, ...]] = ("dataset", "vocab", "seed", "evaluating", "targets")

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.unreadable: dict[str, UnreadableImage] = {
            id: UnreadableImage(id, error.source, error.cause)
            for id, error in dataset.unreadable.items()
        }
        """Every image left out so far, by id."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches in an epoch."""

    @abstractmethod
    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from batch `start` on.

        The same arguments give the same batches, bit for bit. Items that cannot be read are left
        out of their batch, and a batch without readable items is passed over; `Batch.index` numbers
        the batches with those, so that `start = batch.index + 1` continues after a batch.

        Args:
            epoch: Number of the epoch, from 0; decides order and augmentation.
            start: Number of the first batch. The batches before it are not decoded.

        Raises:
            DataError: More images are unreadable than the reader's `max_unreadable` allows, or
                images do not fit into one batch.
            ImageDecodeError: An image is unreadable and the reader's `on_error` is "raise".
        """

    def to_device(
        self,
        batch: Batch,
        device: torch.device,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> dict[str, Any]:
        """Return the tensors of `batch` on `device`, the image as float32.

        See `allencv_al.data.batch.to_device`; the normalization is that of the dataset's reader.
        """
        deferred = self.dataset.reader.deferred
        return batches_and_tensors.to_device(batch, device, deferred, memory_format)

    def avoid_single_items(self) -> None:
        """Merge a last batch of one item into the batch before it, in every pass.

        For models that cannot learn from one item. A loader that has no say in it does nothing.
        """

    def close(self) -> None:
        """Free what the loader holds besides the dataset, such as processes."""

    def note_unreadable(self, found: Iterable[UnreadableImage]) -> None:
        """Record images that were left out, each once.

        Raises:
            DataError: They are more than the reader's `max_unreadable` allows.
        """
        new = [image for image in found if image.id not in self.unreadable]
        for image in new:
            self.unreadable[image.id] = image
            level = logging.WARNING if len(self.unreadable) <= _MOST_LOGGED else logging.DEBUG
            logger.log(level, "left out, cannot be read: %s", image)
        # With those that an eager reader has left out already
        total = len(self.dataset) + len(self.dataset.unreadable)
        limit = self.dataset.reader.max_unreadable
        if new and len(self.unreadable) > limit * total:
            raise DataError(_too_many(list(self.unreadable.values()), total, limit))


class OrderedLoader(DataLoader):
    """A loader whose batches are those of a `BatchOrder`.

    Args:
        dataset: The instances of a reader.
        order: The assignment of items to batches.
    """

    def __init__(self, dataset: Dataset, order: BatchOrder) -> None:
        super().__init__(dataset)
        self.order = order

    @property
    def shuffle(self) -> bool:
        """Whether every pass is in a new random order."""
        return self.order.shuffle

    @shuffle.setter
    def shuffle(self, shuffle: bool) -> None:
        self.order = replace(self.order, shuffle=shuffle)

    @overrides
    def avoid_single_items(self) -> None:
        self.order = replace(self.order, merge_single=True)

    @overrides
    def __len__(self) -> int:
        return len(self.order)


def _too_many(unreadable: list[UnreadableImage], total: int, limit: float) -> str:
    lines = [
        f"{len(unreadable)} of {total} images cannot be read, more than max_unreadable = {limit:g} "
        "of the dataset reader allows; remove or replace the files, set max_unreadable higher, or "
        'set on_error to "raise" to stop at the first:',
        *(f"  {image}" for image in unreadable[:_MOST_SHOWN]),
    ]
    if len(unreadable) > _MOST_SHOWN:
        lines.append(f"  ... and {len(unreadable) - _MOST_SHOWN} more")
    return "\n".join(lines)

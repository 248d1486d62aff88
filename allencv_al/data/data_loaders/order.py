"""Assignment of items to batches: arithmetic on the seed, without state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SEED_BITS = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class BatchSlot:
    """The place of one batch.

    Args:
        index: Its number in the epoch, from 0.
        pass_index: Which pass over the dataset it belongs to, from 0: what the augmentation of its
            items is seeded with.
        positions: The positions of its items in the dataset, int64 `[B]`.
    """

    index: int
    pass_index: int
    positions: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """The order of an endless stream of passes over a dataset, cut into batches and epochs.

    Every pass has an order of its own, f(seed, pass), in which every item stands once. An epoch is
    one pass, or, with `batches_per_epoch`, so many batches of the stream: the next epoch
    continues where it ended.

    Args:
        size: Number of items.
        batch_size: Items per batch; the last batch of a pass may have fewer.
        shuffle: Whether a pass is in random order, else in the dataset's.
        seed: Decides the order.
        drop_last: Whether to leave out a last batch with fewer items.
        batches_per_epoch: Batches in an epoch; None for one pass.
        merge_single: Whether a last batch of one item joins the batch before it.
    """

    size: int
    batch_size: int
    shuffle: bool = True
    seed: int = 0
    drop_last: bool = False
    batches_per_epoch: int | None = None
    merge_single: bool = False

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
        for index in range(start, length):
            pass_index, place = divmod(offset + index, per_pass)
            if pass_index != of_pass:
                order, of_pass = self.order(pass_index), pass_index
            first = place * self.batch_size
            end = first + self.batch_size
            if self._merges and place == per_pass - 1:
                end = self.size
            yield BatchSlot(index, pass_index, order[first:end])

    def order(self, pass_index: int) -> NDArray[np.int64]:
        """Return the positions of all items in the order of one pass.

        A random key per item is sorted, rather than `Generator.permutation` called: NumPy promises
        that the bits of PCG64 stay the same in every version, but not what its methods make of
        them.
        """
        if not self.shuffle:
            return np.arange(self.size, dtype=np.int64)
        bits = np.random.PCG64(np.random.SeedSequence([self.seed & _SEED_BITS, pass_index]))
        return np.argsort(bits.random_raw(self.size), kind="stable").astype(np.int64, copy=False)

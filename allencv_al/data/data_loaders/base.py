"""The base of all data loaders: batches by epoch and number, and the way to the device."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from allencv_al.common.config.registrable import Registrable
from allencv_al.common.errors import DataError
from allencv_al.data import batch as batches_and_tensors
from allencv_al.data.batch import Batch, UnreadableImage

if TYPE_CHECKING:
    from allencv_al.data.dataset_readers.base import Dataset

logger = logging.getLogger(__name__)

_MOST_SHOWN = 5
_MOST_LOGGED = 20  # the trainer writes the whole list to the run's folder


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
    injected: ClassVar[tuple[str, ...]] = ("dataset", "vocab", "seed", "evaluating")

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
        total = len(self.dataset) + len(self.dataset.unreadable)
        limit = self.dataset.reader.max_unreadable
        if new and len(self.unreadable) > limit * total:
            raise DataError(_too_many(list(self.unreadable.values()), total, limit))


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


__all__ = ["DataLoader"]

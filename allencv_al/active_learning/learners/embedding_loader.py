"""Batches of embeddings in place of images, in the order of a configured loader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from overrides import overrides
from torch import Tensor

from allencv_al.data.batch import Batch
from allencv_al.data.data_loaders.base import BatchOrder, DataLoader


class EmbeddingLoader(DataLoader):
    """The batches of a loader, with embeddings in place of its images.

    Args:
        loader: The configured loader of the same items; it gives the order only.
        embeddings: One row per item, in the order of the loader's data set, float32 `[N, D]`.
        labels: Class indices `[N]`, int64.
    """

    def __init__(self, loader: DataLoader, embeddings: Tensor, labels: Tensor) -> None:
        super().__init__(loader.dataset)
        self._embeddings = embeddings
        self._labels = labels
        self._ids: Sequence[str] = [instance.id for instance in loader.dataset]
        order = getattr(loader, "order", None)  # a user's loader may have none
        self._order = order if isinstance(order, BatchOrder) else BatchOrder(len(self._ids), 32)

    @property
    def shuffle(self) -> bool:
        """Whether every pass is in a new random order."""
        return self._order.shuffle

    @shuffle.setter
    def shuffle(self, shuffle: bool) -> None:
        self._order = replace(self._order, shuffle=shuffle)

    @overrides
    def avoid_single_items(self) -> None:
        self._order = replace(self._order, merge_single=True)

    @overrides
    def __len__(self) -> int:
        return len(self._order)

    @overrides
    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for slot in self._order.slots(epoch, start):
            places = torch.from_numpy(slot.positions)
            tensors = {
                "embedding": self._embeddings.index_select(0, places),
                "label": self._labels.index_select(0, places),
            }
            ids = [self._ids[place] for place in slot.positions.tolist()]
            yield Batch(tensors, ids, index=slot.index)

    @overrides
    def to_device(
        self,
        batch: Batch,
        device: torch.device,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> dict[str, Any]:
        return {name: tensor.to(device) for name, tensor in batch.tensors.items()}

"""Batches of embeddings in place of images, in the order of a configured loader."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from overrides import overrides
from torch import Tensor

from allencv_al.data.batch import Batch, TargetTable, UnreadableImage
from allencv_al.data.data_loaders.base import BatchOrder, DataLoader, OrderedLoader
from allencv_al.data.instance import Instance
from allencv_al.models.embedding_scaling import EmbeddingScaling
from allencv_al.models.model import Model
from allencv_al.models.precision import Precision
from allencv_al.predictors.image_predictor import ImagePredictor
from allencv_al.selection.pool.embedding_store import EmbeddingStore
from allencv_al.selection.pool.pool_scorer import ScoringOptions
from allencv_al.selection.pool.stored_outputs import stored_embeddings


class EmbeddingLoader(OrderedLoader):
    """The batches of a loader, with embeddings in place of its images.

    Args:
        loader: The configured loader of the same items; it gives the order, and notes which images
            cannot be read.
        embeddings: One row per item, in the order of the loader's data set, float32 `[N, D]`.
        targets: Entries of a batch that the labels of the items make.
        scaling: The model's scaling, where the embeddings are those before it.
        unreadable: The ids of items that have no embedding: they are left out of their batches.
    """

    def __init__(
        self,
        loader: DataLoader,
        embeddings: Tensor,
        targets: TargetTable,
        scaling: EmbeddingScaling | None = None,
        unreadable: Collection[str] = (),
    ) -> None:
        # A user's loader may have no such order: its items come in batches of 32 then
        if isinstance(loader, OrderedLoader):
            order = loader.order
        else:
            order = BatchOrder(len(loader.dataset), 32)
        super().__init__(loader.dataset, order)
        self.unreadable = loader.unreadable
        self._embeddings = embeddings
        self._targets = targets
        self._scaling = scaling
        self._ids: Sequence[str] = [instance.id for instance in loader.dataset]
        self._is_readable = np.array([id not in unreadable for id in self._ids], bool)

    @overrides
    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for slot in self.order.slots(epoch, start):
            positions = slot.positions[self._is_readable[slot.positions]]
            if not len(positions):
                continue
            places = torch.from_numpy(positions)
            tensors = {"embedding": self._embeddings.index_select(0, places)}
            tensors |= self._targets.shared(places)
            ids = [self._ids[place] for place in positions.tolist()]
            yield Batch(tensors, ids, index=slot.index)

    @overrides
    def to_device(
        self,
        batch: Batch,
        device: torch.device,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> dict[str, Any]:
        moved = {name: tensor.to(device) for name, tensor in batch.tensors.items()}
        if self._scaling is not None:
            moved["embedding"] = self._scaling(moved["embedding"])
        return moved


def stored_loader(
    loader: DataLoader, model: Model, store: EmbeddingStore | None, precision: Precision
) -> DataLoader:
    """Return a loader of embeddings, of which the store has some or gets all; or the loader itself.

    The loader itself comes back where embeddings cannot take the place of images: without a store,
    for a model that does not take them, with random transforms, for images with masks, boxes or
    keypoints, and where no image can be read or the first that cannot is an error (`on_error:
    "raise"`). Else images that cannot be read are left out and counted, as the loader does.

    Args:
        loader: The loader.
        model: The model, on its device.
        store: The store.
        precision: Number format of the encoder.

    Raises:
        DataError: More images are unreadable than the reader's `max_unreadable` allows.
    """
    items = list(loader.dataset)
    reader = loader.dataset.reader
    is_plain = all(
        one.mask is None and one.boxes is None and one.keypoints is None for one in items
    )
    is_random = any(transform.is_random for transform in reader.pipeline.transforms)
    if store is None or not items or not model.takes_embeddings or is_random or not is_plain:
        return loader
    options = ScoringOptions(description="encoding", precision=precision)
    found = stored_embeddings(ImagePredictor(model, reader), items, store, options)
    if found.embeddings is None or not len(found.ids):
        return loader
    if found.unreadable and reader.on_error == "raise":
        return loader
    loader.note_unreadable(
        UnreadableImage(item.id, _place(item), found.unreadable[item.id])
        for item in items
        if item.id in found.unreadable
    )
    embeddings = np.array(found.embeddings)
    if found.unreadable:
        readable = [item.id not in found.unreadable for item in items]
        whole = np.zeros((len(items), embeddings.shape[1]), np.float32)
        whole[readable] = embeddings
        embeddings = whole
    rows = torch.from_numpy(embeddings)
    targets = TargetTable(items, model.vocab, model.task.target)
    return EmbeddingLoader(loader, rows, targets, model.embedding_scaling, found.unreadable)


def _place(instance: Instance) -> str:
    image = instance.image
    return str(image) if isinstance(image, str | Path) else instance.id

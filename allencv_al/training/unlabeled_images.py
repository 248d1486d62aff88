"""Images that need no label: those of `pool_data_path`, and unlabeled ones among the others."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from allencv_al.common.errors import DataError, TrainingError
from allencv_al.common.files.paths import expanded
from allencv_al.common.names import counted, listed
from allencv_al.data.data_loaders import DataLoader
from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
from allencv_al.data.dataset_readers.image_files import count_images
from allencv_al.data.instance import Instance, encodable
from allencv_al.labels.audit_sample import is_audit
from allencv_al.models.model import Model, flushed_denormals
from allencv_al.training.datasets import Datasets
from allencv_al.training.heads.label_spreading import PoolEmbeddings

logger = logging.getLogger(__name__)


def read_pool(reader: DatasetReader, path: str, keeps_labels: bool = False) -> Dataset:
    """Return the images at `pool_data_path`; of a folder all image files, for any reader.

    Args:
        reader: The reader of training images.
        path: A folder with images at any depth, or what the reader reads.
        keeps_labels: Whether the images have the labels that the reader finds.

    Raises:
        DataError: No image is there.
    """
    folder = expanded(path)
    # A reader of class folders would take the folders of a pool for classes
    if not keeps_labels and folder.is_dir():
        names, skipped = count_images(folder)
        if names:
            logger.info("%s: %d images; skipped: %s", folder, len(names), skipped)
            return Dataset(reader, [Instance(encodable(name), folder / name) for name in names])
    dataset = reader.read(path)
    if keeps_labels:
        return dataset
    instances = [instance.unlabeled() for instance in dataset]
    return Dataset(reader, instances, dataset.skipped, dataset.unreadable)


def unlabeled_images(
    found: Datasets, pool: Dataset | None, reader: DatasetReader
) -> Dataset | None:
    """Return what a model may learn from without a label; None if there is no image.

    These are the rows of a table whose label is still empty, and the images at `pool_data_path`
    that no data set has. An image that measures, in an audit too, is none of them.

    Args:
        found: All images of the data sets.
        pool: The images at `pool_data_path`.
        reader: The reader that decodes them: that of images without random transforms.

    Raises:
        DataError: An id means two images.
    """
    bare = [item for item in found.train if not item.is_labeled and not is_audit(item)]
    if pool is not None:
        pool = without_images_of(found.train, "train_data_path", pool)
        check_distinct(found.train, pool)
        bare += pool
    images = Dataset(reader, bare)
    for name, measuring in (("validation", found.validation), ("test", found.test)):
        if measuring is not None:
            images = without_images_of(measuring, f"{name}_data_path", images)
    return images or None


def without_images_of(other: Dataset, name: str, pool: Dataset) -> Dataset:
    """Return the pool without the images of another data set, such as files that a table lists.

    Args:
        other: The data set.
        name: The key of the config that names it.
        pool: The images at `pool_data_path`.
    """
    same = set(shared_images(other, pool))
    if not same:
        return pool
    logger.info(
        "pool_data_path: left out %s at %s too",
        counted(len(same), "image that is", "images that are"),
        name,
    )
    kept = [instance for instance in pool if instance.id not in same]
    return Dataset(pool.reader, kept, pool.skipped, pool.unreadable)


def check_distinct(train: Iterable[Instance], pool: Iterable[Instance]) -> None:
    """Raise where an id means an image at `train_data_path` and another at `pool_data_path`.

    Raises:
        DataError: It names such ids.
    """
    known = {instance.id for instance in train}
    twice = [instance.id for instance in pool if instance.id in known]
    if twice:
        raise DataError(
            f"pool_data_path: {counted(len(twice), 'id is', 'ids are')} at train_data_path too: "
            f"{listed(twice)}; rename the files, or put them into a folder of their own there"
        )


def shared_images(first: Iterable[Instance], second: Iterable[Instance]) -> list[str]:
    """Return the ids in `second` of images that are in `first`, too."""
    places = {place for item in first if (place := _place(item)) is not None}
    return [item.id for item in second if _place(item) in places]


def _place(instance: Instance) -> str | None:
    """Return a key that is equal for two instances of one image; None if there is none."""
    image = instance.image
    if isinstance(image, str | Path):
        return str(Path(image).resolve())
    if isinstance(image, np.ndarray):  # of two data sets, ids alone may be the same by chance
        digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).hexdigest()
        return f"{digest} {instance.id}"
    return None


def pool_images(datasets: Datasets, reader: DatasetReader) -> Dataset | None:
    """Return all images to learn from, labeled ones too, without labels.

    Args:
        datasets: The data sets; without unlabeled images the result is None.
        reader: The reader that decodes the images.
    """
    if not datasets.unlabeled:
        return None
    labeled = [item.unlabeled() for item in datasets.train]
    return Dataset(reader, [*labeled, *datasets.unlabeled])


class TrainingPool:
    """The embeddings of all images that a model may learn from, labeled or not.

    They are computed when a trainer asks for them first, and only once.

    Args:
        data_loader: Gives each image once.
        model: The model; its encoder does not train.
        seed: See `PoolEmbeddings`.
        encoded: Returns a loader of embeddings in place of one of images.
    """

    def __init__(
        self,
        data_loader: DataLoader,
        model: Model,
        seed: int,
        encoded: Callable[[DataLoader], DataLoader] | None = None,
    ) -> None:
        self._model = model
        self._data_loader = data_loader
        self._seed = seed
        self._encoded = encoded
        self._embeddings: PoolEmbeddings | None = None

    @classmethod
    def of(
        cls,
        data_loader: DataLoader | None,
        model: Model,
        seed: int,
        encoded: Callable[[DataLoader], DataLoader] | None = None,
    ) -> TrainingPool | None:
        """Return the pool of a loader; None where there is no loader."""
        return None if data_loader is None else cls(data_loader, model, seed, encoded)

    def __call__(self) -> PoolEmbeddings:
        """Return the embeddings; the first call encodes the images."""
        if self._embeddings is None:
            loader = self._data_loader
            ids, embeddings = embed_images(
                self._model, loader if self._encoded is None else self._encoded(loader)
            )
            logger.info("the pool: %d images, labeled or not", len(ids))
            self._embeddings = PoolEmbeddings(ids, embeddings, self._scale, self._seed)
        return self._embeddings

    def _scale(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        scaling = self._model.embedding_scaling
        if scaling is None:
            return embeddings
        with torch.no_grad():
            rows = torch.from_numpy(embeddings).to(scaling.mean.device)
            scaled: NDArray[np.float32] = scaling(rows).cpu().numpy()
        return scaled


def embed_images(model: Model, data_loader: DataLoader) -> tuple[list[str], NDArray[np.float32]]:
    """Return ids and embeddings `[N, D]`, those before the model's `embedding_scaling`.

    Args:
        model: The model, in any mode; it stays on its device.
        data_loader: Images, or embeddings in place of them.
    """
    device = next(model.parameters(), torch.empty(0)).device
    scaling, was_training = model.embedding_scaling, model.training
    ids: list[str] = []
    found: list[NDArray[np.float32]] = []
    model.eval()
    try:
        with (
            torch.no_grad(),
            flushed_denormals(),
            nullcontext() if scaling is None else scaling.bypassed(),
        ):
            for batch in data_loader.batches(0):
                tensors = data_loader.to_device(batch, device)
                rows = tensors.get("embedding")
                rows = embed_batch(model, tensors["image"]) if rows is None else rows
                ids += batch.ids
                found.append(rows.float().cpu().numpy())
    finally:
        model.train(was_training)
    return ids, np.concatenate(found) if found else np.empty((0, 0), np.float32)


def embed_batch(model: Model, images: torch.Tensor) -> torch.Tensor:
    """Return the embeddings `[B, D]` of a batch, in parts if it does not fit into the memory.

    Args:
        model: The model, in evaluation mode.
        images: `[B, C, H, W]`, on its device.

    Raises:
        TrainingError: One image alone does not fit.
    """
    size = len(images)
    while True:
        try:
            return torch.cat([model.embed(part) for part in torch.split(images, size)])
        except torch.OutOfMemoryError as error:
            if size == 1:
                message = f"one image does not fit into the GPU's memory: {error}"
                raise TrainingError(message) from error
            size //= 2
            torch.cuda.empty_cache()

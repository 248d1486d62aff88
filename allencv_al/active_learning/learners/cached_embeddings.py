"""Embeddings of a frozen encoder, computed once per experiment, and model outputs from them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.loop_data import LoopData
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.models.model import Model, flushed_denormals
from allencv_al.predictors.image_predictor import ImagePredictor
from allencv_al.selection.pool.fingerprints import (
    decoding_fingerprint,
    digest,
    embedding_fingerprint,
)
from allencv_al.selection.pool.mc_dropout import ConsistentDropout
from allencv_al.selection.pool.pool_outputs import PoolOutputs
from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.scoring import ScoringOptions, compute_outputs
from allencv_al.selection.pool.unlabeled_pool import FloatArray


class EmbeddingCache:
    """Embeddings on disk, keyed by weights, transforms, path and image id, not by file content.

    They are those before the model's `embedding_scaling`, whose statistics come from them.

    Args:
        folder: Folder of the embeddings; several runs may share it.
        model: The model, whose encoder does not train.
    """

    def __init__(self, folder: Path, model: Model) -> None:
        self._folder = folder
        self._model = model
        with unscaled_embeddings(model):
            self._encoder = embedding_fingerprint(model)

    def embed(self, dataset: Dataset, path: str) -> PoolOutputs:
        """Return the embeddings of a data set, computing missing ones.

        Args:
            dataset: The images.
            path: The path they were read from: ids of different paths may be equal.
        """
        place = str(Path(path).expanduser().absolute())
        key = digest(self._encoder, decoding_fingerprint(dataset.reader), place)[:16]
        predictor = ImagePredictor(self._model, dataset.reader)
        options = ScoringOptions(description=f"encoding {Path(place).name}")
        with unscaled_embeddings(self._model):
            known = compute_outputs(predictor, dataset, {"embeddings"}, self._folder / key, options)
        unreadable = {id: str(error) for id, error in dataset.unreadable.items()}
        return PoolOutputs(
            known.ids, embeddings=known.embeddings, unreadable={**unreadable, **known.unreadable}
        )


class CachedEmbeddings:
    """The embeddings of all data sets of a run, before the model's `embedding_scaling`.

    Args:
        cache: The cache of the encoder.
        data: The data sets.
        experiment: The experiment, with the paths of the data sets.
    """

    def __init__(
        self, cache: EmbeddingCache, data: LoopData, experiment: ActiveLearningExperiment
    ) -> None:
        paths = [experiment.paths["train"], experiment.settings.pool_data_path]
        self._sources = [
            cache.embed(source, path or "")
            for source, path in zip(data.sources, paths, strict=False)
        ]
        self._places = {
            id: (number, row)
            for number, source in enumerate(self._sources)
            for row, id in enumerate(source.ids)
        }
        self._unreadable = {
            id: cause for source in self._sources for id, cause in source.unreadable.items()
        }
        held_out = experiment.settings.test_fraction is not None
        path = experiment.paths["train" if held_out else "test"] or ""
        self.validation = self.test = None
        if data.validation is not None:
            self.validation = cache.embed(data.validation, experiment.paths["validation"] or "")
        if data.test is not None and data.test_is_validation:
            self.test = self.validation
        elif data.test is not None:
            self.test = cache.embed(data.test, path)

    def pool(self) -> PoolOutputs:
        """Return the embeddings of all items that may be labeled, labeled ones too."""
        if len(self._sources) == 1:
            return self._sources[0]  # a memory map, of which nothing is copied
        return self.rows(list(self._places))

    def has(self, id: str) -> bool:
        """Return whether an item that may be labeled could be read."""
        return id in self._places

    def rows(self, ids: Sequence[str]) -> PoolOutputs:
        """Return the embeddings of the items that could be read, in this order."""
        known = [id for id in ids if id in self._places]
        unreadable = {id: self._unreadable.get(id, "") for id in ids if id not in self._places}
        places = np.asarray([self._places[id] for id in known], np.int64).reshape(-1, 2)
        return PoolOutputs(known, embeddings=self._take(places), unreadable=unreadable)

    def _take(self, places: NDArray[np.int64]) -> FloatArray:
        arrays = [source.embeddings for source in self._sources if source.embeddings is not None]
        if len(arrays) == 1 or not len(places):
            return np.asarray(arrays[0][places[:, 1]])
        taken = np.empty((len(places), arrays[0].shape[1]), np.float32)
        for number, array in enumerate(arrays):
            here = places[:, 0] == number
            taken[here] = array[places[here, 1]]
        return taken


@contextmanager
def unscaled_embeddings(model: Model) -> Iterator[None]:
    """Bypass the model's scaling of embeddings within this context."""
    scaling = model.embedding_scaling
    with nullcontext() if scaling is None else scaling.bypassed():
        yield


def scaled_embeddings(model: Model, embeddings: FloatArray) -> FloatArray:
    """Return what the last linear layer sees of embeddings `[N, D]` before the model's scaling."""
    scaling = model.embedding_scaling
    if scaling is None:
        return embeddings
    scaled = np.empty(embeddings.shape, np.float32)
    with torch.no_grad():
        for part in slices(len(embeddings), _ROWS_AT_A_TIME):
            rows = torch.from_numpy(np.array(embeddings[part], dtype=np.float32))
            scaled[part] = scaling(rows.to(scaling.mean.device)).cpu().numpy()
    return scaled


_ROWS_AT_A_TIME = 8192  # memory-mapped rows are copied in blocks


def outputs_of_embeddings(
    model: Model,
    known: PoolOutputs,
    needs: Collection[str],
    mc_samples: int = 20,
    seed: int = 0,
) -> PoolOutputs:
    """Return the outputs that scoring the images would give, without decoding them.

    Args:
        model: A model that `takes_embeddings`.
        known: The items with their `embeddings` before the model's scaling.
        needs: Some of `logits`, `mc_logits`, `embeddings`.
        mc_samples: Number of members of `mc_logits`.
        seed: Seed of their dropout masks.
    """
    assert known.embeddings is not None
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), flushed_denormals(), ConsistentDropout(model, seed) as dropout:
            logits = _logits(model, known) if "logits" in needs else None
            members = []
            for member in range(mc_samples if "mc_logits" in needs else 0):
                dropout.use(member)
                members.append(_logits(model, known))
    finally:
        model.train(was_training)
    return PoolOutputs(
        known.ids,
        logits=logits,
        mc_logits=np.stack(members, axis=1) if members else None,
        embeddings=scaled_embeddings(model, known.embeddings) if "embeddings" in needs else None,
        unreadable=known.unreadable,
    )


def _logits(model: Model, known: PoolOutputs) -> NDArray[np.float32]:
    assert known.embeddings is not None
    device = next(model.parameters(), torch.empty(0)).device
    blocks = []
    for part in slices(len(known.ids), _ROWS_AT_A_TIME):
        rows = np.array(scaled_embeddings(model, known.embeddings[part]), dtype=np.float32)
        outputs = model(embedding=torch.from_numpy(rows).to(device))
        blocks.append(outputs["logits"].float().cpu().numpy())
    if not blocks:
        return np.empty((0, model.vocab.get_vocab_size()), np.float32)
    return np.concatenate(blocks)

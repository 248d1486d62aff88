"""Embeddings of all images of a run, whose encoder does not train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.loop_data import LoopData
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.models.model import Model
from allencv_al.predictors.image_predictor import ImagePredictor
from allencv_al.selection.pool.embedding_store import EmbeddingStore
from allencv_al.selection.pool.pool_outputs import EncodingCost, PoolOutputs
from allencv_al.selection.pool.pool_scorer import ScoringOptions
from allencv_al.selection.pool.stored_outputs import scaled_embeddings, stored_embeddings
from allencv_al.selection.pool.unlabeled_pool import FloatArray


class CachedEmbeddings:
    """The embeddings of all data sets of a run, before and after the model's `embedding_scaling`.

    Args:
        model: The model, whose encoder does not train.
        data: The data sets.
        experiment: The experiment, with the paths of the data sets.
        store: The store of embeddings.
        options: Options of the computation.
    """

    def __init__(
        self,
        model: Model,
        data: LoopData,
        experiment: ActiveLearningExperiment,
        store: EmbeddingStore,
        options: ScoringOptions,
    ) -> None:
        self._model = model
        self._store = store
        self._options = options
        self.cost = EncodingCost()
        paths = [experiment.paths["train"], experiment.pool_data_path]
        self._sources = [
            self._embedded(source, path or "")
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
            self.validation = self._embedded(data.validation, experiment.paths["validation"] or "")
        if data.test is not None and data.test_is_validation:
            self.test = self.validation
        elif data.test is not None:
            self.test = self._embedded(data.test, path)
        every = [*self._sources, *(part for part in (self.validation, self.test) if part)]
        size = sum(part.embeddings.nbytes for part in every if part.embeddings is not None)
        self._scaled = _Scaled(model, size <= options.memory_limit_mb * 2**20)

    def _embedded(self, dataset: Dataset, path: str) -> PoolOutputs:
        """Return the embeddings of a data set, of which the store has some or all."""
        options = replace(self._options, description=f"encoding {Path(path).name}")
        predictor = ImagePredictor(self._model, dataset.reader)
        known = stored_embeddings(predictor, list(dataset), self._store, options)
        self.cost += known.cost or EncodingCost()
        unreadable = {id: str(error) for id, error in dataset.unreadable.items()}
        return PoolOutputs(
            known.ids, embeddings=known.embeddings, unreadable={**unreadable, **known.unreadable}
        )

    def pool(self) -> PoolOutputs:
        """Return the unscaled embeddings of all items that may be labeled, labeled ones too."""
        if len(self._sources) == 1:
            return self._sources[0]  # a memory map, of which nothing is copied
        places = list(self._places.values())
        return PoolOutputs(list(self._places), embeddings=self._take(self._arrays(), places))

    def has(self, id: str) -> bool:
        """Return whether an item that may be labeled could be read."""
        return id in self._places

    def rows(self, ids: Sequence[str]) -> PoolOutputs:
        """Return the scaled embeddings of the items that could be read, in this order."""
        known = [id for id in ids if id in self._places]
        unreadable = {id: self._unreadable.get(id, "") for id in ids if id not in self._places}
        places = [self._places[id] for id in known]
        if self._scaled.keeps:
            rows = self._take([self._scaled.of(array) for array in self._arrays()], places)
        else:
            rows = scaled_embeddings(self._model, self._take(self._arrays(), places))
        return PoolOutputs(known, embeddings=rows, unreadable=unreadable)

    def scaled(self, outputs: PoolOutputs) -> PoolOutputs:
        """Return the scaled embeddings of the validation or test images."""
        assert outputs.embeddings is not None
        rows = self._scaled.of(outputs.embeddings)
        return PoolOutputs(outputs.ids, embeddings=rows, unreadable=outputs.unreadable)

    def _arrays(self) -> list[FloatArray]:
        return [source.embeddings for source in self._sources if source.embeddings is not None]

    def _take(self, arrays: Sequence[FloatArray], pairs: Sequence[tuple[int, int]]) -> FloatArray:
        """Return rows: pairs of the number of a source and a row of its array."""
        places: NDArray[np.int64] = np.asarray(pairs, np.int64).reshape(-1, 2)
        if len(arrays) == 1 or not len(places):
            return np.asarray(arrays[0][places[:, 1]])
        taken = np.empty((len(places), arrays[0].shape[1]), np.float32)
        for number, array in enumerate(arrays):
            # Source by source: a row of a memory-mapped array is read from the disk where it lies
            here = places[:, 0] == number
            taken[here] = array[places[here, 1]]
        return taken


class _Scaled:
    """Embeddings after the model's scaling, kept for the rounds to come: they stay the same.

    Args:
        model: The model.
        keeps: Whether there is room for a second copy of the embeddings.
    """

    def __init__(self, model: Model, keeps: bool) -> None:
        self.keeps = keeps
        self._model = model
        self._statistics: list[bytes] = []
        self._kept: dict[int, tuple[FloatArray, FloatArray]] = {}

    def of(self, embeddings: FloatArray) -> FloatArray:
        """Return the rows of a data set as the last layer sees them, read-only where kept."""
        if not self.keeps or self._model.embedding_scaling is None:
            return scaled_embeddings(self._model, embeddings)
        # A run that resumes may restore a model with other statistics
        statistics = [
            value.cpu().numpy().tobytes() for value in self._model.embedding_scaling.buffers()
        ]
        if statistics != self._statistics:
            self._statistics, self._kept = statistics, {}
        if id(embeddings) not in self._kept:
            rows = scaled_embeddings(self._model, embeddings)
            rows.flags.writeable = False
            # With the unscaled ones, whose id then stays theirs
            self._kept[id(embeddings)] = embeddings, rows
        return self._kept[id(embeddings)][1]

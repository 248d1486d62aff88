"""The embeddings of a run: those of its pool by id, and those of the images that measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.learners.embedding_cache import EmbeddingCache
from allencv_al.active_learning.loop_data import LoopData
from allencv_al.selection.pool.pool_outputs import PoolOutputs
from allencv_al.selection.pool.unlabeled_pool import FloatArray


class CachedEmbeddings:
    """The embeddings of all data sets of a run.

    Args:
        cache: Where they are kept, or computed.
        data: The data sets.
        experiment: Says where these were read from.
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

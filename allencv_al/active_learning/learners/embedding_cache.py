"""What a frozen encoder makes of images: computed once per experiment, and kept on disk."""

from __future__ import annotations

from pathlib import Path

from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.models.model import Model
from allencv_al.predictors.image_predictor import ImagePredictor
from allencv_al.selection.pool.fingerprints import (
    decoding_fingerprint,
    digest,
    embedding_fingerprint,
)
from allencv_al.selection.pool.pool_outputs import PoolOutputs
from allencv_al.selection.pool.scoring import ScoringOptions, compute_outputs


class EmbeddingCache:
    """Embeddings by weights, transforms, place and image id; a file that changes keeps its row.

    Args:
        folder: Where they are kept; several runs may share it.
        model: The model, whose encoder does not train.
    """

    def __init__(self, folder: Path, model: Model) -> None:
        self._folder = folder
        self._model = model
        self._encoder = embedding_fingerprint(model)

    def embed(self, dataset: Dataset, path: str) -> PoolOutputs:
        """Return the embeddings of a data set, computing those that are not there yet.

        Args:
            dataset: The images.
            path: Where they were read from: ids of different places may be the same.
        """
        place = str(Path(path).expanduser().absolute())
        key = digest(self._encoder, decoding_fingerprint(dataset.reader), place)[:16]
        predictor = ImagePredictor(self._model, dataset.reader)
        options = ScoringOptions(description=f"encoding {Path(place).name}")
        known = compute_outputs(predictor, dataset, {"embeddings"}, self._folder / key, options)
        unreadable = {id: str(error) for id, error in dataset.unreadable.items()}
        return PoolOutputs(
            known.ids, embeddings=known.embeddings, unreadable={**unreadable, **known.unreadable}
        )

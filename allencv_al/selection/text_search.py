"""`TextSearch`: the images of a labeling that are nearest to a text, by an image-text model."""

from __future__ import annotations

import threading
from collections import OrderedDict
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from allencv_al.labels.sessions.labeling_store import LabelingStore

if TYPE_CHECKING:
    from allencv_al.modules.im2vec_encoders.open_clip_vectors import TextEncoder

_MOST_KEPT = 100  # texts whose vectors stay in memory


class TextSearch:
    """Ranks images by the cosines of their vectors with that of a text (CLIP, arXiv:2103.00020).

    The text part of the model is loaded by the first search and stays in memory. Vectors of images
    lie on their principal axes, so the cosine is that within these axes.

    Args:
        store: The labeling, with vectors of an image-text model.
    """

    def __init__(self, store: LabelingStore) -> None:
        self._store = store
        self._lock = threading.Lock()  # a second search waits instead of loading the model again
        self._encoder: tuple[str, TextEncoder] | None = None
        self._vectors: OrderedDict[tuple[str, str], NDArray[np.float32]] = OrderedDict()

    def is_offered(self) -> bool:
        """Return whether the images have vectors of a model that reads texts here."""
        return self._store.vectors.text_model() is not None and find_spec("open_clip") is not None

    def cosines(self, text: str) -> NDArray[np.float32]:
        """Return the cosine of each image that has a vector with a text, `[N]`.

        Args:
            text: Words such as `a dog on a beach`.

        Raises:
            WeightsError: The files of the model are gone.
            ConfigurationError: The text is longer than the model reads.
        """
        source = self._store.vectors.text_model()
        assert source is not None
        with self._lock:
            vector = self._vectors.get((source, text))
            if vector is None:
                vector = self._encode(source, text)
                self._vectors[source, text] = vector
                if len(self._vectors) > _MOST_KEPT:
                    self._vectors.popitem(last=False)
        on_axes = self._store.vectors.on_axes(vector)
        found: NDArray[np.float32] = self._store.vectors.load().values @ on_axes
        return found

    def _encode(self, source: str, text: str) -> NDArray[np.float32]:
        from allencv_al.modules.im2vec_encoders.open_clip_vectors import TextEncoder

        if self._encoder is None or self._encoder[0] != source:
            self._encoder = source, TextEncoder.from_json(source)
        return self._encoder[1].vector(text)

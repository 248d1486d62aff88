"""Vectors in place of images: features that another program has computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.errors import DataError, ImageDecodeError
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.image_classification_directory import (
    ImageClassificationDirectory,
)
from allencv_al.data.dataset_readers.image_files import Skipped
from allencv_al.data.instance import Instance, Sample
from allencv_al.data.transforms.base import Pixels
from allencv_al.data.vector_files import LAYOUT, Vectors, read_vectors
from allencv_al.data.vector_shards import ShardRows

_VECTOR = "vector"  # key of the metadata


@DatasetReader.register("vectors")
class VectorReader(DatasetReader):
    """Read vectors that another program has computed; each is an image of D channels and 1x1 pixel.

    A path is an `.npz` file with the arrays `embeddings` `[N, D]`, `ids` and, where known,
    `labels`; a Parquet file with the columns `id`, `embedding` and `label` (extra `[parquet]`); or
    an `.npy` file `[N, D]` beside a table of the same name, `.csv`, with the columns `id` and
    `label`. The encoder is one that leaves a vector as it is:
    `"im2vec_encoder": {"type": "pool", "input_channels": D}`.

    Args:
        dimension: D, the length of a vector.
        image_folder: Folder of the images, to which the ids are relative: pages and contact sheets
            show them. Default: there is nothing to show.
    """

    layout: ClassVar[str] = LAYOUT
    source_size: ClassVar[tuple[int | None, int | None]] = (1, 1)

    def __init__(self, dimension: Pixels, image_folder: Path | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dimension = dimension
        self.image_folder = image_folder

    @overrides
    def image_shape(self) -> tuple[int, int | None, int | None]:
        return self.dimension, 1, 1

    @overrides
    def _read(self, path: Path) -> Iterable[Instance | Skipped]:
        table = read_vectors(path)
        if table.dimension != self.dimension:
            raise DataError(
                f"{path}: expected vectors of {self.dimension} numbers, as dimension says, found "
                f"{table.dimension}"
            )
        for (id, label), row in zip(table.items(), table.vectors, strict=True):
            image = row if self.image_folder is None else self.image_folder / id
            yield Instance(id, image, label, metadata={_VECTOR: row})

    @overrides
    def decode(self, instance: Instance) -> Sample:
        vector = instance.metadata.get(_VECTOR, instance.image)
        if not isinstance(vector, np.ndarray) or vector.shape != (self.dimension,):
            wanted = (
                f"expected a vector of {self.dimension} numbers; a file of vectors is read with "
                "--use-dataset-reader"
            )
            raise ImageDecodeError(instance.id, wanted)
        return _pixel(vector)


class VectorsOfImages(ImageClassificationDirectory):
    """Read folders of images whose vectors are known, by their ids.

    Args:
        table: The vectors.
    """

    def __init__(self, table: Vectors) -> None:
        super().__init__(unlabeled="always")
        self._table = table
        self._index = table.index()
        if len(twice := self._index.twice()):
            wanted = set(twice.tolist())
            ids = dict.fromkeys(id for row, (id, _) in enumerate(table.items()) if row in wanted)
            raise DataError(f"the file of vectors has more than one for {', '.join([*ids][:5])}")

    @overrides
    def image_shape(self) -> tuple[int, int | None, int | None]:
        return self._table.dimension, 1, 1

    @overrides
    def decode(self, instance: Instance) -> Sample:
        [row] = self._index.rows([instance.id]).tolist()
        if row < 0:
            raise ImageDecodeError(instance.id, self._absence(instance.id))
        return _pixel(self._table.vectors[row])

    def rows_of(
        self, ids: Sequence[str]
    ) -> tuple[NDArray[np.floating[Any]] | ShardRows, NDArray[np.int64], dict[str, str]]:
        """Return all vectors, the row of each id that has one, and why the others have none."""
        rows = self._index.rows(ids)
        without = [ids[place] for place in np.flatnonzero(rows < 0).tolist()]
        absent = {id: self._absence(id) for id in without}
        return self._table.vectors, rows[rows >= 0], absent

    def _absence(self, id: str) -> str:
        if id in self._table.unreadable:
            return self._table.unreadable[id]
        return (
            "the file of vectors has none of this id; ids are paths below the folder of the "
            f"images, and its first is {next(self._table.items())[0]}"
        )


def _pixel(vector: NDArray[Any]) -> Sample:
    # Float, so that no transform takes it for brightness 0..255
    return Sample(vector.astype(np.float32, copy=False).reshape(1, 1, -1))

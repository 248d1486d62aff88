"""`OnnxPredictor`: predict with an exported model, without torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import AllenCVError, ArchiveError, ConfigurationError
from allencv_al.data.image_io import ImageInput, load_image, load_reduced, source_name
from allencv_al.predictors.json_images import image_of_request
from allencv_al.predictors.outcomes import Outcome

JsonDict = dict[str, Any]

METADATA_KEY = "allencv_al"
SUFFIX = ".onnx"
_FORMAT = 1
_NO_ENGINE = (
    'predicting with an ONNX file needs the package onnxruntime: pip install "allencv_al[onnx]"'
)


@dataclass(frozen=True, slots=True)
class ExportMetadata:
    """The description of an exported model, in its file.

    Args:
        classes: Class names by index.
        max_pixels: Larger images are refused.
        raw_colors: Whether the values in an image file are taken as they are.
        side: Pixels that each side keeps where a JPEG is decoded at a part of its size; 0: never.
        reduce_above: A JPEG of no more pixels is decoded whole.
        version: Version of this package that exported the model.
        format: Version of this description.
    """

    classes: tuple[str, ...]
    max_pixels: int
    raw_colors: bool
    side: int
    reduce_above: int
    version: str
    format: int = _FORMAT

    def to_json(self) -> str:
        """Return the description as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, source: str) -> Self:
        """Return the description that a file holds.

        Args:
            text: JSON.
            source: The file, for messages.

        Raises:
            ArchiveError: It is no such description, or one of a later version.
        """
        try:
            fields = json.loads(text)
            found = cls(**{**fields, "classes": tuple(fields["classes"])})
        except (ValueError, TypeError, KeyError):
            raise ArchiveError(f"{source}: its entry {METADATA_KEY} is damaged") from None
        if found.format != _FORMAT:
            raise ArchiveError(
                f"{source}: expected an exported model of format {_FORMAT}, found "
                f"{found.format!r}: it needs another version of allencv_al (written by "
                f"{found.version})"
            )
        numbers = (found.max_pixels, found.side, found.reduce_above)
        is_sound = all(type(number) is int and number >= 0 for number in numbers)
        if not is_sound or not all(isinstance(name, str) for name in found.classes):
            raise ArchiveError(f"{source}: its entry {METADATA_KEY} is damaged")
        return found


class OnnxPredictor:
    """Predict with the file that `allencv-al export` wrote. Neither torch nor a GPU is needed.

    Predictions have the form of those of the archive: `logits`, `probs`, `prediction` and `class`.

    Args:
        path: The ONNX file.
        num_threads: Threads that compute; by default as onnxruntime chooses.

    Raises:
        ArchiveError: The file is absent, damaged, or no export of this package.
        ConfigurationError: onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, num_threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise ConfigurationError(_NO_ENGINE) from None
        if not Path(path).is_file():
            raise ArchiveError(f"{path}: there is no such file")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; warnings are about the exporter's graph
        if num_threads is not None:
            options.intra_op_num_threads = num_threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its classes of errors have no common base
            raise ArchiveError(f"{path}: onnxruntime cannot load it: {error}") from None
        stored = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if stored is None:
            raise ArchiveError(
                f"{path}: not written by `allencv-al export`, so its classes are unknown"
            )
        self.metadata = ExportMetadata.from_json(stored, str(path))
        self._names = [output.name for output in self._session.get_outputs()]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names, by index."""
        return self.metadata.classes

    def predict(self, image: ImageInput | Mapping[str, Any]) -> JsonDict:
        """Predict one image.

        Args:
            image: A JSON request as for `Predictor.predict_json`, a path, a PIL image, a uint8
                array `[H, W, 3]` (RGB), or the bytes of a file.

        Returns:
            The prediction, as JSON values.
        """
        return next(self.outcomes([image], batch_size=1)).unwrap()

    def outcomes(self, inputs: Iterable[Any], batch_size: int = 32) -> Iterator[Outcome[JsonDict]]:
        """Yield a prediction, or the error in its place, for each input and in their order.

        Args:
            inputs: Anything that `predict` takes, or an `AllenCVError` where there is no input.
            batch_size: Images per batch; images of other sizes are in other batches.
        """
        numbered = enumerate(inputs)
        with ThreadPoolExecutor(thread_name_prefix="decode") as threads:

            def submitted() -> list[Future[_Decoded]]:
                return [
                    threads.submit(self._decoded, *item) for item in islice(numbered, batch_size)
                ]

            following = submitted()
            while following:
                decoded, following = [each.result() for each in following], submitted()
                yield from self._computed(decoded)

    def outputs(self, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Return all outputs of the model, one row per image.

        Args:
            images: uint8 `[B, H, W, 3]`, RGB, of any height and width.
        """
        return dict(zip(self._names, self._session.run(None, {"image": images}), strict=True))

    def _decoded(self, index: int, item: Any) -> _Decoded:
        name = source_name(item) if isinstance(item, str | Path) else None
        try:
            if isinstance(item, AllenCVError):
                raise item
            if isinstance(item, Mapping):
                item = image_of_request(item, self.metadata.max_pixels)
            return _Decoded(index, name, self._pixels(item))
        except AllenCVError as error:
            return _Decoded(index, name, error=error)

    def _pixels(self, image: ImageInput) -> NDArray[np.uint8]:
        about = self.metadata
        if not about.side:
            return load_image(image, about.max_pixels, about.raw_colors)
        return load_reduced(
            image, about.side, about.max_pixels, about.raw_colors, about.reduce_above
        )

    def _computed(self, decoded: Sequence[_Decoded]) -> list[Outcome[JsonDict]]:
        by_size: dict[tuple[int, ...], list[tuple[int, NDArray[np.uint8]]]] = {}
        for item in decoded:
            if item.pixels is not None:
                by_size.setdefault(item.pixels.shape, []).append((item.index, item.pixels))
        values: dict[int, JsonDict] = {}
        for items in by_size.values():
            outputs = self.outputs(np.stack([pixels for _, pixels in items]))
            columns = {name: rows.tolist() for name, rows in outputs.items()}
            names = [self.metadata.classes[index] for index in columns["prediction"]]
            for row, (index, _) in enumerate(items):
                prediction = {name: rows[row] for name, rows in columns.items()}
                values[index] = {**prediction, "class": names[row]}
        return [
            Outcome(item.index, item.id, values.get(item.index), item.error) for item in decoded
        ]


@dataclass(frozen=True, slots=True)
class _Decoded:
    index: int
    id: str | None
    pixels: NDArray[np.uint8] | None = None
    error: AllenCVError | None = None

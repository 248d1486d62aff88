"""`Predictor`: the base of what turns requests or images into predictions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge
from numpy.typing import NDArray

from allencv_al.common.config.registrable import Registrable
from allencv_al.common.errors import AllenCVError, ConfigurationError, DataError
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.image_io import ImageInput
from allencv_al.data.instance import Instance
from allencv_al.models.archive import Archive, load_archive
from allencv_al.models.model import OUTPUTS, Model, model_outputs
from allencv_al.models.precision import Precision
from allencv_al.predictors.batched_inference import (
    BatchedInference,
    Decoded,
    FloatRows,
    OutputBatch,
)
from allencv_al.predictors.outcomes import Outcome
from allencv_al.predictors.prediction_json import JsonDict, rows_of_outputs, to_json_value

DEFAULT_BATCH_SIZE = 32


class Predictor(Registrable):
    """Predict with a trained model: one image or any number, as JSON or as arrays.

    The model runs on the device it is on. Decoding runs in threads beside it, a few
    batches ahead.

    A predictor of your own says how a JSON request becomes an instance::

        @Predictor.register("my_predictor")
        class MyPredictor(Predictor):
            def _json_to_instance(self, request):
                return self.dataset_reader.image_to_instance(request["photo"])

    Args:
        model: The trained model.
        dataset_reader: Decodes and transforms the images.
        num_threads: Threads that decode; by default one per processor, 16 at most.
        precision: Number format of the network: "fp32" gives the figures to publish; "auto" is bf16
            where the processor or GPU has it in hardware, more than twice as fast.
    """

    builtin: ClassVar[Mapping[str, str]] = {
        "default_image": "allencv_al.predictors.image_predictor",
    }
    default_implementation = "default_image"
    injected = ("model", "dataset_reader")

    def __init__(
        self,
        model: Model,
        dataset_reader: DatasetReader,
        num_threads: Annotated[int, Ge(1)] | None = None,
        precision: Precision = "fp32",
    ) -> None:
        self.model = model
        self.dataset_reader = dataset_reader
        self.num_threads = num_threads
        self.precision: Precision = precision

    # -- Ways to make one ---------------------------------------------------------------------

    @classmethod
    def from_archive(
        cls,
        archive: Archive,
        predictor_name: str | None = None,
        dataset_reader_to_load: Literal["train", "validation"] = "validation",
        extra_args: Mapping[str, Any] | None = None,
    ) -> Predictor:
        """Make a predictor of a loaded archive.

        Args:
            archive: An archive from `load_archive`.
            predictor_name: A registered name; the model's default by default.
            dataset_reader_to_load: Whose transforms to use: "validation" or "train".
            extra_args: Further constructor arguments of that predictor.

        Raises:
            ConfigurationError: The name, the reader or an argument is unknown.
        """
        readers = {
            "validation": archive.validation_dataset_reader,
            "train": archive.dataset_reader,
        }
        if dataset_reader_to_load not in readers:
            raise ConfigurationError(
                'dataset_reader_to_load: expected "train" or "validation", '
                f'found "{dataset_reader_to_load}"'
            )
        name = predictor_name or archive.model.default_predictor
        return Predictor.from_params(
            {**(extra_args or {}), "type": name},
            model=archive.model,
            dataset_reader=readers[dataset_reader_to_load],
        )

    @classmethod
    def from_path(
        cls,
        archive_path: str | Path,
        predictor_name: str | None = None,
        cuda_device: int | str = -1,
        dataset_reader_to_load: Literal["train", "validation"] = "validation",
        overrides: str | Mapping[str, Any] = "",
        extra_args: Mapping[str, Any] | None = None,
    ) -> Predictor:
        """Load an archive and make a predictor of it.

        Args:
            archive_path: A `model.tar.gz`, a folder with its contents, or the folder of a run.
            predictor_name: A registered name; the model's default by default.
            cuda_device: Device of the model, as for `load_archive`.
            dataset_reader_to_load: Whose transforms to use: "validation" or "train".
            overrides: Changes to the archive's config.
            extra_args: Further constructor arguments of that predictor.

        Raises:
            ArchiveError: The archive is absent, damaged or unsafe.
            ConfigurationError: The name, the reader or an argument is unknown.
        """
        archive = load_archive(archive_path, cuda_device=cuda_device, overrides=overrides)
        return cls.from_archive(archive, predictor_name, dataset_reader_to_load, extra_args)

    # -- JSON ---------------------------------------------------------------------------------

    def predict(self, image: ImageInput | Instance | Mapping[str, Any]) -> JsonDict:
        """Predict one image, given in any form.

        Args:
            image: A JSON request (see `predict_json`), a path, a PIL image, a uint8 array
                `[H, W, 3]` (RGB), the bytes of a file, or an instance.

        Returns:
            The prediction, as JSON values.

        Raises:
            ConfigurationError: It is a list of images.
        """
        if isinstance(image, list | tuple | set | Iterator):
            raise ConfigurationError(
                f"predict: expected one image, found a {type(image).__name__}; "
                "for many use predict_logits, embed, iterate or outcomes"
            )
        # One way for all: what one image gives is what it gives in a batch of many
        return next(iter(self.outcomes([image], batch_size=1))).unwrap()

    def predict_json(self, inputs: Mapping[str, Any]) -> JsonDict:
        """Predict for one JSON request."""
        return self.predict(inputs)

    def predict_batch_json(self, inputs: Sequence[Mapping[str, Any]]) -> list[JsonDict]:
        """Predict for several JSON requests at once.

        Raises:
            DataError: One of them is wrong; the message says which.
        """
        predictions = []
        for outcome in self.outcomes(inputs, batch_size=max(len(inputs), 1)):
            if outcome.error is not None:
                raise DataError(f"input {outcome.index}: {outcome.error}") from outcome.error
            predictions.append(outcome.unwrap())
        return predictions

    def predict_instance(self, instance: Instance) -> JsonDict:
        """Predict one instance of a dataset."""
        return self.predict(instance)

    def outcomes(
        self, inputs: Iterable[Any], batch_size: int = DEFAULT_BATCH_SIZE
    ) -> Iterator[Outcome[JsonDict]]:
        """Yield a prediction, or the error in its place, for each input and in their order.

        Args:
            inputs: Anything that `predict` takes, or an `AllenCVError` where there is no
                input to give; read only as far ahead as needed.
            batch_size: Images per batch.
        """
        inference = self._inference(batch_size)
        found = inference.outcomes(inputs, self.to_instance, self._predict_batch)
        with closing(found):  # ends the threads at once
            yield from map(self._placed, found)

    # -- In two halves, for callers that batch single requests ----------------------

    def decode(self, item: Any) -> Decoded:
        """Decode and transform one input; any number of threads may do so at once.

        Args:
            item: Anything that `predict` takes. What is wrong with it stands in what is returned.
        """
        return self._inference(1).decoded(0, item, self.to_instance)

    def predict_decoded(self, items: Sequence[Decoded]) -> list[Outcome[JsonDict]]:
        """Run the model over decoded inputs at once; one thread at a time may do so.

        Args:
            items: The results of `decode`.

        Returns:
            For each, in their order, a prediction or the error in its place.
        """
        # Each was decoded alone, as number 0; outcomes are numbered by their place here
        numbered = [replace(item, index=index) for index, item in enumerate(items)]
        found = self._inference(max(len(items), 1)).computed(numbered, self._predict_batch)
        return list(map(self._placed, found))

    # -- Arrays -------------------------------------------------------------------------------

    def predict_logits(
        self, images: Iterable[ImageInput | Instance], batch_size: int = DEFAULT_BATCH_SIZE
    ) -> NDArray[np.float32]:
        """Return the logits of many images.

        Args:
            images: Paths, PIL images, arrays, bytes or instances (a `Dataset` is such a thing).
            batch_size: Images per batch.

        Returns:
            float32 array `[N, C]`, in the order of the images.

        Raises:
            ImageDecodeError: One of them cannot be read. `iterate` goes on instead.
        """
        width = self.model.vocab.get_vocab_size()
        return _stacked(self.iterate_outputs(images, {"logits"}, batch_size), "logits", width)

    def embed(
        self, images: Iterable[ImageInput | Instance], batch_size: int = DEFAULT_BATCH_SIZE
    ) -> NDArray[np.float32]:
        """Return the embeddings of many images: what the model's last linear layer sees.

        Args:
            images: Paths, PIL images, arrays, bytes or instances (a `Dataset` is such a thing).
            batch_size: Images per batch.

        Returns:
            float32 array `[N, D]`, in the order of the images.

        Raises:
            ImageDecodeError: One of them cannot be read. `iterate` goes on instead.
        """
        return _stacked(self.iterate_outputs(images, {"embeddings"}, batch_size), "embeddings", 0)

    def iterate(
        self,
        images: Iterable[ImageInput | Instance],
        output: Literal["logits", "label_logits", "scores", "embeddings"] = "logits",
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> Iterator[Outcome[FloatRows]]:
        """Yield one row, or the error in its place, for each image and in their order.

        Args:
            images: Anything that `predict` takes; read only as far ahead as needed.
            output: The array: `logits` and `label_logits` have a vector for each image, `scores` a
                table of uncertainties (see `LabelTask.unit_scores`), `embeddings` a vector.
            batch_size: Images per batch.

        Raises:
            ConfigurationError: Models of this kind of labels have no such array.
        """
        batches = self.iterate_outputs(images, {output}, batch_size)
        return (outcome for batch in batches for outcome in batch.outcomes(output))

    def iterate_outputs(
        self,
        images: Iterable[ImageInput | Instance],
        needs: Collection[str] | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> Iterator[OutputBatch]:
        """Yield arrays with a row for each image batch by batch, in the order of the images.

        They come from one pass through the network where the model can do that.

        Args:
            images: Anything that `predict` takes; read only as far ahead as needed.
            needs: The needed arrays: some of those that models of this kind of labels have, such
                as `logits` and `embeddings` with one class per image. All of them by default.
            batch_size: Images per batch.

        Raises:
            ConfigurationError: Another array is asked for.
        """
        offered = [name for name in OUTPUTS if name in self.model.task.outputs]
        needs = offered if needs is None else needs
        unknown = sorted(set(needs) - set(offered))
        if unknown or not needs:
            found = ", ".join(unknown) or "none"
            raise ConfigurationError(
                f"needs: expected {' or '.join(offered)}, which a model of the kind "
                f'"{self.model.label_task}" has, found {found}'
            )

        def compute(image: torch.Tensor) -> dict[str, torch.Tensor]:
            return model_outputs(self.model, image, needs)

        return self._inference(batch_size).output_batches(images, self.to_instance, compute)

    def to_instance(self, item: Any) -> Instance:
        """Return an input as an instance, nothing decoded.

        Args:
            item: Anything that `predict` takes, or an `AllenCVError` where there is no input.

        Raises:
            AllenCVError: The input is such an error, or a request that is wrong.
        """
        # An input that could not even be read: it keeps its place among the outcomes
        if isinstance(item, AllenCVError):
            raise item
        if isinstance(item, Instance):
            return item
        if isinstance(item, Mapping):
            return self._json_to_instance(item)
        return self.dataset_reader.image_to_instance(item)

    # -- What a subclass may change -----------------------------------------------------------

    @abstractmethod
    def _json_to_instance(self, request: Mapping[str, Any]) -> Instance:
        """Make an instance of a JSON request; raise a DataError for a wrong one."""

    def _inference(self, batch_size: int) -> BatchedInference:
        return BatchedInference(
            *(self.model, [self.dataset_reader], batch_size, self.num_threads, self.precision),
            framed=not self.model.task.names_image,
        )

    def _predict_batch(self, image: torch.Tensor) -> list[JsonDict]:
        output = self.model.make_output_human_readable(self.model(image=image))
        return rows_of_outputs(output, len(image), keeps_pictures=not self.model.task.names_image)

    def _placed(self, outcome: Outcome[JsonDict]) -> Outcome[JsonDict]:
        """Return an outcome as JSON, with its places in pixels of the image that was decoded."""
        if outcome.value is None or outcome.frame is None:
            return outcome
        placed = self.model.task.in_image(outcome.value, outcome.frame)
        return replace(outcome, value=to_json_value(placed))


def _stacked(batches: Iterator[OutputBatch], name: str, width_of_nothing: int) -> FloatRows:
    rows = []
    for batch in batches:
        for failed in batch.failed:
            failed.unwrap()  # raises
        rows.append(batch.arrays[name])
    return np.concatenate(rows) if rows else np.empty((0, width_of_nothing), dtype=np.float32)

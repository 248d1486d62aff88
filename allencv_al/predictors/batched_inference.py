"""Decoding in threads beside the model: the one loop under every kind of prediction."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from allencv_al.common.errors import AllenCVError, ConfigurationError
from allencv_al.common.seeding import item_seed
from allencv_al.data.batch import collate, to_device
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.frame import Frame, load_framed
from allencv_al.data.instance import Instance, Sample
from allencv_al.models.model import flushed_denormals
from allencv_al.models.precision import Precision, StepPrecision
from allencv_al.predictors.outcomes import Outcome, PredictionError

logger = logging.getLogger(__name__)

T = TypeVar("T")
Computed = TypeVar("Computed")

FloatRows = NDArray[np.float32]
# Called with the images of a batch, float [B, C, H, W]; once for each reader, if there are several
Compute = Callable[..., Computed]

MAX_THREADS = 16
# Enough decoded images to start the next batch while the model is busy with this one.
BATCHES_AHEAD = 2
MAX_CHUNK = 8


@dataclass(frozen=True, slots=True)
class OutputBatch:
    """The results of consecutive inputs.

    Args:
        indices: The positions among the inputs of those that have a row, ascending.
        ids: Their ids.
        arrays: float32, one row for each of them.
        failed: The inputs that have none, with their errors.
    """

    indices: list[int]
    ids: list[str]
    arrays: Mapping[str, FloatRows]
    failed: list[Outcome[Any]]

    def __len__(self) -> int:
        return len(self.indices) + len(self.failed)

    def outcomes(self, name: str) -> list[Outcome[FloatRows]]:
        """Return one outcome per input, in their order, with its row of the array `name`."""
        rows = self.arrays.get(name, ())
        computed = [
            Outcome(index, id, row)
            for index, id, row in zip(self.indices, self.ids, rows, strict=True)
        ]
        return sorted([*computed, *self.failed], key=lambda outcome: outcome.index)


@dataclass(frozen=True, slots=True)
class Decoded:
    """One input, decoded and transformed; or the error in its place.

    Args:
        index: Its position among the inputs.
        instance: The instance made of it; None where not even that could be.
        samples: The sample that each of the readers made of its picture.
        error: Why it has no samples.
        frame: The place of the one sample's image in the decoded one, where that was asked for.
    """

    index: int
    instance: Instance | None = None
    samples: tuple[Sample, ...] = ()
    error: AllenCVError | None = None
    frame: Frame | None = None

    @property
    def id(self) -> str | None:
        return None if self.instance is None else self.instance.id


class BatchedInference:
    """Run models over any number of images, in order, holding a few batches at a time.

    Args:
        model: The model; it computes in eval mode, without gradients, on the device it is on.
            Several, on the same device, are put into one module.
        readers: Decodes and transforms the images. Several each do so, in a way of their own.
        batch_size: Images per batch. If the device runs out of memory, it is halved from there on.
        num_threads: Threads that decode; by default one per processor, 16 at most.
        precision: Number format of what is computed; see the trainer.
        framed: Whether outcomes have frames, which takes one reader.

    Raises:
        ConfigurationError: The batch size is below 1, or fp16 is asked for on a CPU.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        readers: Sequence[DatasetReader],
        batch_size: int = 32,
        num_threads: int | None = None,
        precision: Precision = "fp32",
        framed: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ConfigurationError(f"batch_size: expected at least 1, found {batch_size}")
        self._model = model
        self._readers = tuple(readers)
        self._framed = framed
        self._batch_size = batch_size
        self._num_threads = num_threads or min(os.cpu_count() or 1, MAX_THREADS)
        self._precision = StepPrecision(precision, device_of(model), grad_scaling=False)

    def outcomes(
        self,
        inputs: Iterable[Any],
        to_instance: Callable[[Any], Instance],
        compute: Compute[Sequence[T]],
    ) -> Generator[Outcome[T], None, None]:
        """Yield one outcome per input, in their order.

        Args:
            inputs: Read only as far ahead as needed, so that they may be endless.
            to_instance: Makes an instance of an input, in a thread; its `AllenCVError`s, and those
                of decoding, become outcomes.
            compute: Turns the images of a batch into one value per image.
        """
        with closing(self._batches(inputs, to_instance)) as batches:  # ends the threads at once
            for batch in batches:
                yield from self.computed(batch, compute)

    def computed(self, batch: Sequence[Decoded], compute: Compute[Sequence[T]]) -> list[Outcome[T]]:
        """Return one outcome per decoded input, in their order.

        Args:
            batch: Inputs with different indices; one that has an error keeps it.
            compute: Turns the images of a batch into one value per image.
        """
        values: dict[int, T] = {}
        for items, computed in self._parts(batch, compute):
            values.update(zip((item.index for item in items), computed, strict=True))
        return [
            Outcome(item.index, item.id, values.get(item.index), item.error, item.frame)
            for item in batch
        ]

    def output_batches(
        self,
        inputs: Iterable[Any],
        to_instance: Callable[[Any], Instance],
        compute: Compute[Mapping[str, torch.Tensor]],
    ) -> Generator[OutputBatch, None, None]:
        """Yield the rows of each batch, in the order of the inputs; nothing is done per image.

        Args:
            inputs: Read only as far ahead as needed, so that they may be endless.
            to_instance: Makes an instance of an input, in a thread; its `AllenCVError`s, and those
                of decoding, become outcomes.
            compute: Turns the images of a batch into tensors `[B, ...]`.
        """

        def rows(*images: torch.Tensor) -> dict[str, FloatRows]:
            return {name: tensor.float().cpu().numpy() for name, tensor in compute(*images).items()}

        with closing(self._batches(inputs, to_instance)) as batches:
            for batch in batches:
                yield _output_batch(batch, list(self._parts(batch, rows)))

    def _batches(
        self, inputs: Iterable[Any], to_instance: Callable[[Any], Instance]
    ) -> Generator[list[Decoded], None, None]:
        remaining = enumerate(inputs)
        pending: deque[Future[list[Decoded]]] = deque()
        ahead = 0
        batch: list[Decoded] = []
        with ThreadPoolExecutor(self._num_threads, "decode") as pool:
            try:
                while True:
                    while ahead < BATCHES_AHEAD * self._batch_size:
                        chunk = list(islice(remaining, self._chunk_size()))
                        if not chunk:
                            break
                        pending.append(pool.submit(self._decode_all, chunk, to_instance))
                        ahead += len(chunk)
                    if not pending:
                        break
                    decoded = pending.popleft().result()
                    ahead -= len(decoded)
                    batch += decoded
                    while len(batch) >= self._batch_size:
                        size = self._batch_size  # the next one may be smaller
                        yield batch[:size]
                        batch = batch[size:]
                if batch:
                    yield batch
            finally:
                for future in pending:
                    future.cancel()

    def _chunk_size(self) -> int:
        # Handing a job to a thread and back costs a third of decoding a CIFAR record. Every thread
        # still gets jobs of each batch.
        return max(1, min(MAX_CHUNK, self._batch_size // self._num_threads))

    def _decode_all(
        self, numbered: Sequence[tuple[int, Any]], to_instance: Callable[[Any], Instance]
    ) -> list[Decoded]:
        return [self.decoded(index, item, to_instance) for index, item in numbered]

    def decoded(self, index: int, item: Any, to_instance: Callable[[Any], Instance]) -> Decoded:
        """Decode and transform one input; any number of threads may do so at once.

        Args:
            index: Its position among the inputs.
            item: The input.
            to_instance: Makes an instance of it; its `AllenCVError`s, and those of decoding, stand
                in what is returned.
        """
        instance = None
        try:
            instance = to_instance(item)
            # Seeded as epoch 0 of a run with seed 0: random transforms give the same every time.
            seed = item_seed(0, 0, instance.id)
            if self._framed:
                sample, frame = load_framed(self._readers[0], instance, seed)
                return Decoded(index, instance, (sample,), frame=frame)
            samples = tuple(reader.load(instance, seed) for reader in self._readers)
            return Decoded(index, instance, samples)
        except AllenCVError as error:
            return Decoded(index, instance, error=error)

    def _parts(
        self, batch: Sequence[Decoded], compute: Compute[Computed]
    ) -> Iterator[tuple[list[Decoded], Computed]]:
        """Yield parts of the batch with what was computed; images of different sizes are apart."""
        groups: dict[Any, list[Decoded]] = {}
        for item in batch:
            if item.error is None:
                kind = [part for sample in item.samples for part in _kind(sample)]
                groups.setdefault(tuple(kind), []).append(item)
        for group in groups.values():
            start = 0
            while start < len(group):
                part = group[start : start + self._batch_size]
                try:
                    with _inference(self._model), self._precision.autocast():
                        computed = compute(*self._images(part))
                except torch.OutOfMemoryError as error:
                    self._halve_batch(len(part), error)
                    continue
                yield part, computed
                start += len(part)

    def _halve_batch(self, size: int, error: torch.OutOfMemoryError) -> None:
        if size == 1:
            raise PredictionError(f"one image does not fit into the memory: {error}") from error
        self._batch_size = size // 2
        torch.cuda.empty_cache()
        logger.warning("out of memory: continuing with batches of %d", self._batch_size)

    def _images(self, items: list[Decoded]) -> list[torch.Tensor]:
        instances = [item.instance for item in items if item.instance is not None]
        device = device_of(self._model)
        images = []
        for place, reader in enumerate(self._readers):
            batch = collate(instances, [item.samples[place] for item in items])
            # Only the image: a mask or boxes would only lead to a loss
            # Stacked pictures lie so already, and convolutions are up to 2.8 times as fast on a CPU
            tensors = to_device(batch, device, reader.deferred, torch.channels_last)
            images.append(tensors["image"])
        return images


def _output_batch(
    batch: list[Decoded], parts: list[tuple[list[Decoded], dict[str, FloatRows]]]
) -> OutputBatch:
    items = [item for some, _ in parts for item in some]
    arrays = parts[0][1] if parts else {}
    if len(parts) > 1:
        order = np.argsort([item.index for item in items])
        items = [items[place] for place in order]
        arrays = {
            name: np.concatenate([computed[name] for _, computed in parts])[order]
            for name in arrays
        }
    return OutputBatch(
        [item.index for item in items],
        [item.instance.id for item in items if item.instance is not None],
        arrays,
        [Outcome(item.index, item.id, error=item.error) for item in batch if item.error],
    )


def device_of(model: torch.nn.Module) -> torch.device:
    """Return where the first parameter of a model is; the CPU where it has none."""
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def _kind(sample: Sample) -> tuple[Any, ...]:
    return sample.image.shape, sample.image.dtype


@contextmanager
def _inference(model: torch.nn.Module) -> Iterator[None]:
    """Switch to eval mode and no gradients, and put back what was, module by module."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad(), flushed_denormals():
            yield
    finally:
        for module in training:
            module.training = True

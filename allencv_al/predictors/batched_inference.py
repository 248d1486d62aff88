"""Decoding in threads beside the model: the one loop under every kind of prediction."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from allencv_al.common.errors import AllenCVError, ConfigurationError
from allencv_al.common.seeding import item_seed
from allencv_al.data.batch import collate, to_device
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.instance import Instance
from allencv_al.data.sample import Sample
from allencv_al.models.model import Model

logger = logging.getLogger(__name__)

T = TypeVar("T")

Compute = Callable[[dict[str, torch.Tensor]], Sequence[T]]

MAX_THREADS = 16
# Enough decoded images to start the next batch while the model is busy with this one.
BATCHES_AHEAD = 2


class PredictionError(AllenCVError):
    """A prediction cannot be made although the input is sound."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What became of one input: a value, or the error in its place.

    Args:
        index: Its position among the inputs.
        id: The id of its instance; None where not even an instance could be made of it.
        value: What was computed.
        error: Why there is no value.
    """

    index: int
    id: str | None
    value: T | None = None
    error: AllenCVError | None = None

    def unwrap(self) -> T:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        assert self.value is not None
        return self.value


@dataclass(frozen=True, slots=True)
class _Decoded:
    index: int
    instance: Instance | None = None
    sample: Sample | None = None
    error: AllenCVError | None = None

    @property
    def id(self) -> str | None:
        return None if self.instance is None else self.instance.id


class BatchedInference:
    """Run a model over any number of images, in order, holding a few batches at a time.

    Args:
        model: The model; it computes in eval mode, without gradients, on the device it is on.
        reader: Decodes and transforms the images.
        batch_size: Images per batch. If the device runs out of memory, it is halved from there on.
        num_threads: Threads that decode; by default one per processor, 16 at most.

    Raises:
        ConfigurationError: The batch size is below 1.
    """

    def __init__(
        self,
        model: Model,
        reader: DatasetReader,
        batch_size: int = 32,
        num_threads: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise ConfigurationError(f"batch_size: expected at least 1, found {batch_size}")
        self._model = model
        self._reader = reader
        self._batch_size = batch_size
        self._num_threads = num_threads or min(os.cpu_count() or 1, MAX_THREADS)

    def outcomes(
        self,
        inputs: Iterable[Any],
        to_instance: Callable[[Any], Instance],
        compute: Compute[T],
    ) -> Iterator[Outcome[T]]:
        """Yield one outcome per input, in their order.

        Args:
            inputs: Read only as far ahead as needed, so that they may be endless.
            to_instance: Makes an instance of an input, in a thread; its `AllenCVError`s, and those
                of decoding, become outcomes.
            compute: Turns the tensors of a batch into one value per image.
        """
        with closing(self._batches(inputs, to_instance)) as batches:  # ends the threads at once
            for batch in batches:
                values = self._values(batch, compute)
                for item in batch:
                    yield Outcome(item.index, item.id, values.get(item.index), item.error)

    def _batches(
        self, inputs: Iterable[Any], to_instance: Callable[[Any], Instance]
    ) -> Generator[list[_Decoded], None, None]:
        remaining = enumerate(inputs)
        pending: deque[Future[_Decoded]] = deque()
        batch: list[_Decoded] = []
        with ThreadPoolExecutor(self._num_threads, "decode") as pool:
            try:
                while True:
                    while len(pending) < BATCHES_AHEAD * self._batch_size:
                        numbered = next(remaining, None)
                        if numbered is None:
                            break
                        pending.append(pool.submit(self._decode, *numbered, to_instance))
                    if not pending:
                        break
                    batch.append(pending.popleft().result())
                    if len(batch) >= self._batch_size:
                        yield batch
                        batch = []
                if batch:
                    yield batch
            finally:
                for future in pending:
                    future.cancel()

    def _decode(self, index: int, item: Any, to_instance: Callable[[Any], Instance]) -> _Decoded:
        instance = None
        try:
            instance = to_instance(item)
            # Seeded as epoch 0 of a run with seed 0: random transforms give the same every time.
            sample = self._reader.load(instance, item_seed(0, 0, instance.id))
            return _Decoded(index, instance, sample)
        except AllenCVError as error:
            return _Decoded(index, instance, error=error)

    def _values(self, batch: list[_Decoded], compute: Compute[T]) -> dict[int, T]:
        """Return the values by input index; images of different sizes go in separate batches."""
        groups: dict[Any, list[_Decoded]] = {}
        for item in batch:
            if item.sample is not None:
                image = item.sample.image
                groups.setdefault((image.shape, image.dtype), []).append(item)
        values: dict[int, T] = {}
        for group in groups.values():
            computed = self._compute(group, compute)
            values.update(zip((item.index for item in group), computed, strict=True))
        return values

    def _compute(self, items: list[_Decoded], compute: Compute[T]) -> list[T]:
        values: list[T] = []
        while len(values) < len(items):
            part = items[len(values) : len(values) + self._batch_size]
            try:
                with _inference(self._model):
                    values.extend(compute(self._tensors(part)))
            except torch.OutOfMemoryError as error:
                self._halve_batch(len(part), error)
        return values

    def _halve_batch(self, size: int, error: torch.OutOfMemoryError) -> None:
        if size == 1:
            raise PredictionError(f"one image does not fit into the memory: {error}") from error
        self._batch_size = size // 2
        torch.cuda.empty_cache()
        logger.warning("out of memory: going on with batches of %d", self._batch_size)

    def _tensors(self, items: list[_Decoded]) -> dict[str, torch.Tensor]:
        instances = [item.instance for item in items if item.instance is not None]
        samples = [item.sample for item in items if item.sample is not None]
        device = next(self._model.parameters(), torch.empty(0)).device
        tensors = to_device(collate(instances, samples), device, self._reader.deferred)
        return {"image": tensors["image"]}  # a mask or boxes would only lead to a loss


@contextmanager
def _inference(model: Model) -> Iterator[None]:
    """Switch to eval mode and no gradients, and put back what was, module by module."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True

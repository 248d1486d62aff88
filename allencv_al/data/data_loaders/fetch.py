"""A batch's items, decoded and put together: in this process, in threads or a worker process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from allencv_al.common.errors import AllenCVError, ImageDecodeError
from allencv_al.common.process import usable_cores
from allencv_al.common.seeding import item_seed, seeded_globals
from allencv_al.common.user_mistakes import explain
from allencv_al.data.batch import Batch, Targets, TargetTable, UnreadableImage, collate
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.instance import Instance, Sample

if TYPE_CHECKING:
    from allencv_al.data.data_loaders.base import BatchSlot
    from allencv_al.data.dataset_readers.base import Dataset
    from allencv_al.data.vocabulary import Vocabulary

# A second copy of the pixels, for the sake of speed, must not be what fills the memory.
_MOST_RESIDENT_BYTES = 1 << 30

Mapper = Callable[[Callable[[int], Any], Iterable[int]], Iterator[Any]]
_Load = Callable[[Instance, int], Sample]

_MOST_DECODERS = 16

# An item that a pass draws again is augmented as in another pass, which no training reaches
_TURNS = 1 << 32


class Fetcher(Protocol):
    """Makes the batch of a slot; the same slot gives the same batch anywhere."""

    def begin(self, slot: BatchSlot, mapper: Mapper = map) -> Batch | Callable[[], Batch]:
        """Do what any thread may do; `mapper` may load the items in parallel.

        Returns:
            The batch, or a function that makes it in the thread that asked for it.
        """
        ...


def finished(begun: Batch | Callable[[], Batch]) -> Batch:
    """Return the batch that `Fetcher.begin` has begun."""
    return begun if isinstance(begun, Batch) else begun()


class ItemFetcher:
    """Decode and transform each item by the dataset's reader.

    Code of the user's own may draw from the global generators of Python, NumPy and torch. They are
    seeded for each item, as its `generator` is, and only in the thread that asks for the batch: in
    a thread beside it other code would draw from them at the same time, the model
    included.

    Args:
        dataset: The items and their reader.
        vocab: Gives the labels their indices; None for batches without labels.
        targets: Makes entries of a batch of a label; by default class indices.
        seed: With the pass and the item's id, decides the augmentation of an item.
    """

    def __init__(
        self, dataset: Dataset, vocab: Vocabulary | None, seed: int, targets: Targets | None = None
    ) -> None:
        self._dataset = dataset
        self._vocab = vocab
        self._targets = targets
        self._seed = seed
        reader = dataset.reader
        self._is_foreign = _is_foreign(type(reader).load) or any(
            _is_foreign(type(transform)) for transform in reader.augmentation
        )

    def begin(self, slot: BatchSlot, mapper: Mapper = map) -> Batch | Callable[[], Batch]:
        """Begin the batch of `slot`, without the items that cannot be read."""
        reader = self._dataset.reader
        if not self._is_foreign:
            return self._put_together(slot, mapper, reader.load)
        if _is_foreign(type(reader).load):  # decoding is a part of it
            return partial(self._put_together, slot, map, _alone(reader.load))

        def decode(position: int) -> Sample | Exception:
            try:
                return reader.decode(self._dataset[position])
            except Exception as error:  # said in the order of the items
                return error

        decoded = deque(mapper(decode, slot.positions.tolist()))

        def transform(instance: Instance, seed: int) -> Sample:
            sample = decoded.popleft()  # one after the other, in the order of the slot
            if isinstance(sample, Exception):
                raise sample
            return reader.pipeline.apply(sample, seed)

        return partial(self._put_together, slot, map, _alone(transform))

    def _put_together(self, slot: BatchSlot, mapper: Mapper, load_one: _Load) -> Batch:
        positions = slot.positions.tolist()
        repeats = [0] * len(positions) if slot.repeats is None else slot.repeats.tolist()

        def load(place: int) -> Sample | UnreadableImage:
            instance = self._dataset[positions[place]]
            turn = slot.pass_index + repeats[place] * _TURNS
            return self._load(instance, item_seed(self._seed, turn, instance.id), load_one)

        instances: list[Instance] = []
        samples: list[Sample] = []
        unreadable: list[UnreadableImage] = []
        places = range(len(positions))
        for position, loaded in zip(positions, mapper(load, places), strict=True):
            if isinstance(loaded, UnreadableImage):
                unreadable.append(loaded)
            else:
                instances.append(self._dataset[position])
                samples.append(loaded)
        return collate(
            instances, samples, self._vocab, unreadable, slot.index, targets=self._targets
        )

    def _load(self, instance: Instance, seed: int, load: _Load) -> Sample | UnreadableImage:
        try:
            return load(instance, seed)
        except ImageDecodeError as error:
            if self._dataset.reader.on_error == "raise":
                raise
            return UnreadableImage(instance.id, error.source, error.cause)
        except AllenCVError:
            raise
        except Exception as error:
            explained = explain(error)  # here: what comes from a worker has lost its lines
            if explained is not None:
                raise explained from error
            error.add_note(f"while the image of the item {instance.id!r} was loaded")
            raise


def _alone(load: _Load) -> _Load:
    def alone(instance: Instance, seed: int) -> Sample:
        with seeded_globals(seed):
            return load(instance, seed)

    return alone


class ResidentFetcher:
    """Take the items out of one tensor: for pixels in memory that no transform changes.

    Args:
        instances: Items with equally large images; see `can_reside`.
        vocab: Gives the labels their indices; None for batches without labels.
        targets: Makes entries of a batch of a label; by default class indices.
    """

    def __init__(
        self,
        instances: Iterable[Instance],
        vocab: Vocabulary | None,
        targets: Targets | None = None,
    ) -> None:
        items = list(instances)
        self._ids = [instance.id for instance in items]
        planes = [np.moveaxis(np.asarray(instance.image), 2, 0) for instance in items]
        self._pixels = torch.from_numpy(np.stack(planes))
        self._targets = None if vocab is None else TargetTable(items, vocab, targets)

    def begin(self, slot: BatchSlot, mapper: Mapper = map) -> Batch:
        """Return the batch of `slot`."""
        positions = torch.from_numpy(slot.positions)
        tensors = {"image": self._pixels.index_select(0, positions)}
        if self._targets is not None:
            tensors |= self._targets.shared(positions)
        ids = self._ids
        return Batch(tensors, [ids[i] for i in slot.positions.tolist()], index=slot.index)


def make_fetcher(
    dataset: Dataset, vocab: Vocabulary | None, seed: int, targets: Targets | None = None
) -> Fetcher:
    """Return the fastest fetcher for `dataset`; see `ItemFetcher` for the arguments."""
    if can_reside(dataset):
        return ResidentFetcher(dataset, vocab, targets)
    return ItemFetcher(dataset, vocab, seed, targets)


def can_reside(dataset: Dataset) -> bool:
    """Return whether all batches can be rows of one array of a bounded size."""
    reader = dataset.reader
    untouched = (
        type(reader).load is DatasetReader.load
        and type(reader).decode is DatasetReader.decode
        and len(reader.pipeline.transforms) == (reader.deferred is not None)
    )
    if not untouched or len(dataset) == 0:
        return False
    first = dataset[0].image
    if not isinstance(first, np.ndarray) or first.nbytes * len(dataset) > _MOST_RESIDENT_BYTES:
        return False
    return all(_is_plain(instance, first.shape) for instance in dataset)


def _is_foreign(code: type | Callable[..., Any]) -> bool:
    """Return whether a class or function is not of this package, so that it may do anything."""
    return not code.__module__.startswith("allencv_al.")


def holds_pixels(dataset: Dataset) -> bool:
    """Return whether the images are in memory already, so that nothing is left to decode."""
    return len(dataset) > 0 and isinstance(dataset[0].image, np.ndarray)


def _is_plain(instance: Instance, shape: tuple[int, ...]) -> bool:
    image = instance.image
    return (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.shape == shape
        and image.shape[2:] == (3,)
        and instance.mask is None
        and instance.boxes is None
        and instance.box_labels is None
        and instance.keypoints is None
    )


def prefetched(
    fetch: Fetcher, slots: Iterable[BatchSlot], ahead: int, decoders: int = 0, pin: bool = False
) -> Generator[Batch, None, None]:
    """Yield the batches of `slots`, of which up to `ahead` are made while the caller computes.

    An error comes up where its batch would have come. When the caller stops early, what has begun
    is finished, and nothing more is begun.

    Args:
        fetch: Makes one batch.
        slots: Their places, in order.
        ahead: Batches to hold ready, at least 1.
        decoders: Threads that load the items of a batch in parallel. 0 loads them one by one, on
            one thread: better where pixels are in memory, since transforms of small images keep
            the interpreter's lock.
        pin: Whether to put the batches into page-locked memory.
    """
    begin: Callable[..., Any] = partial(_begin, fetch, pin=pin)
    with ExitStack() as stack:
        makers = stack.enter_context(_threads(ahead if decoders else 1, "batch"))
        if decoders:  # left first: a maker that still works is waiting for them
            items = stack.enter_context(_threads(decoders, "decode"))
            begin = partial(begin, mapper=items.map)
        pending: deque[Future[Any]] = deque()
        for slot in slots:
            pending.append(makers.submit(begin, slot))
            if len(pending) > ahead:
                yield _finished(pending.popleft().result(), pin)
        while pending:
            yield _finished(pending.popleft().result(), pin)


def decoder_count() -> int:
    """Return the number of decoding threads: one per core that this process may use."""
    return min(_MOST_DECODERS, usable_cores())


def _begin(fetch: Fetcher, slot: BatchSlot, pin: bool, **options: Any) -> Any:
    begun = fetch.begin(slot, **options)
    return begun.pin_memory() if pin and isinstance(begun, Batch) else begun


def _finished(begun: Any, pin: bool) -> Batch:
    if isinstance(begun, Batch):  # pinned already, in its thread
        return begun
    batch = finished(begun)
    return batch.pin_memory() if pin else batch


@contextmanager
def _threads(count: int, name: str) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(count, thread_name_prefix=f"allencv-al-{name}")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)

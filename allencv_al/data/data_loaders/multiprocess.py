"""The data loader: shuffled batches, made in threads or in worker processes."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge, Gt
from overrides import overrides

from allencv_al.common.errors import DataError
from allencv_al.data.batch import Batch, Targets, class_targets
from allencv_al.data.data_loaders.base import (
    BatchOrder,
    BatchSlot,
    DataLoader,
    OrderedLoader,
    class_quotas,
)
from allencv_al.data.data_loaders.fetch import (
    ResidentFetcher,
    decoder_count,
    finished,
    holds_pixels,
    make_fetcher,
    prefetched,
)

if TYPE_CHECKING:
    from allencv_al.data.data_loaders.fetch import Fetcher
    from allencv_al.data.data_loaders.worker_processes import WorkerPool
    from allencv_al.data.dataset_readers.base import Dataset
    from allencv_al.data.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

Made = Generator[Batch, None, None]
_Count = Annotated[int, Ge(1)]


def _prefetch_of_workers(prefetch_factor: int, num_workers: int) -> Iterator[tuple[str, str]]:
    if num_workers > 0 and prefetch_factor < 1:
        yield "prefetch_factor", f"expected at least 1 with num_workers, found {prefetch_factor}"


def _one_length(
    batches_per_epoch: int | None, instances_per_epoch: int | None
) -> Iterator[tuple[str, str]]:
    if batches_per_epoch is not None and instances_per_epoch is not None:
        yield "instances_per_epoch", "expected it or batches_per_epoch, found both"


def _sampling_shuffles(class_sampling: str, shuffle: bool) -> Iterator[tuple[str, str]]:
    if class_sampling != "natural" and not shuffle:
        yield "class_sampling", f'"{class_sampling}" draws at random; set shuffle to true'


@DataLoader.register("basic")
@DataLoader.register("multiprocess")
class MultiprocessDataLoader(OrderedLoader):
    """Shuffle the items of a dataset, decode them ahead and put them into batches.

    Every pass over the dataset has an order of its own over all items, whatever their order in the
    dataset, and every item an augmentation of its own in every pass; both depend on the seed, the
    epoch and the item's id only, so that any `num_workers` gives the same batches, bit for bit.

    Batches are made while the model computes. With `num_workers: 0` threads do it, one per core
    where files are decoded; that is enough as long as the model takes longer than the decoding.
    Transforms of your own run in the thread that trains, one image after the other, since they may
    draw from the global generators of Python, NumPy and torch (which are seeded for each image, so
    that such draws are as repeatable as those from `generator`): give slow ones `num_workers`.
    Pixels that are in memory already and that no transform changes (but for a last `normalize`,
    which is done on the device) are taken out of one array on the spot, without threads or workers,
    which would only be slower.

    Also known as `basic`: `iterator: {type: basic}` of AllenNLP 0.9 means the same.

    Args:
        dataset: The instances of a reader.
        vocab: Gives the class names their indices. None: the batches have no labels.
        batch_size: Items per batch.
        shuffle: Whether every pass is in a new random order, else in the dataset's. (AllenNLP 2
            shuffles only if told to.)
        class_sampling: Share of each class among the images of a pass, which draws as many images
            as there are: "natural", every image once; "balanced", the same share for each class;
            "square_root", in between, by the square root of its number of images (Mahajan et al.
            2018, arXiv:1805.00932). Images of a rare class then come several times a pass, each
            time with an augmentation of its own; of a frequent class a new random part comes, each
            image once. Data that measures always is "natural".
        drop_last: Whether to leave out the last batch of a pass if it has fewer items. Without it
            a last batch of one item joins the batch before it where a model that is trained has
            batch norms, which may have no statistics of a single item.
        num_workers: Processes that decode and transform. 0: threads of this process.
        batches_per_epoch: Batches in an epoch, taken from an endless stream of passes: the next
            epoch continues where the last one ended. Default: an epoch is one pass.
        prefetch_factor: Batches held ready, by each worker or by the threads; 0 (without workers
            only) makes each batch when it is asked for, in the thread that asks.
        pin_memory: Whether to put batches into page-locked memory, from where a CUDA device copies
            while it computes. Default: if this process uses a CUDA device already.
        start_method: Start method of worker processes: "fork" (at once, and they share the
            dataset's memory), "forkserver" or "spawn" (slower, and the dataset is sent to each
            worker once). Default: "fork" on Linux, the system's choice elsewhere.
        worker_timeout: The most seconds to wait for a batch of the worker processes, before the run
            ends with an error that says so; null waits for good.
        seed: Decides order and augmentation; training gives its `random_seed`.
        instances_per_epoch: As in AllenNLP 0.9: items in an epoch, rounded up to whole batches.
        max_instances_in_memory: Accepted for old configs, without effect: what is held in memory
            are file names, not decoded images, and the shuffle is always over all items.
        cache_instances: Accepted for old configs, without effect.
        track_epoch: Accepted for old configs, without effect.
        quiet: Accepted for old configs, without effect.
        evaluating: Whether every image comes once and in the dataset's order, whatever `shuffle`,
            `drop_last` and `batches_per_epoch` say; the program sets it for data that measures.
        targets: Gives what the label of an image makes in a batch; the model's kind of labels does.

    Raises:
        ConfigurationError: A number is out of range.
        DataError: A label is not in the vocabulary.
    """

    joint_rules = (_prefetch_of_workers, _one_length, _sampling_shuffles)

    def __init__(
        self,
        dataset: Dataset,
        vocab: Vocabulary | None = None,
        batch_size: _Count = 32,
        shuffle: bool = True,
        drop_last: bool = False,
        num_workers: Annotated[int, Ge(0)] = 0,
        batches_per_epoch: _Count | None = None,
        prefetch_factor: Annotated[int, Ge(0)] = 2,
        pin_memory: bool | None = None,
        start_method: Literal["fork", "forkserver", "spawn"] | None = None,
        worker_timeout: Annotated[float, Gt(0)] | None = 300.0,
        seed: int = 13370,
        instances_per_epoch: _Count | None = None,
        max_instances_in_memory: int | None = None,
        cache_instances: bool = False,
        track_epoch: bool = False,
        quiet: bool = False,
        evaluating: bool = False,
        *,
        class_sampling: Literal["natural", "square_root", "balanced"] = "natural",
        targets: Targets | None = None,
    ) -> None:
        if instances_per_epoch is not None:
            batches_per_epoch = -(-instances_per_epoch // batch_size)
        if evaluating:
            shuffle, drop_last, batches_per_epoch = False, False, None
            class_sampling = "natural"
        if vocab is not None:
            _check_labels(dataset, vocab, targets or class_targets)
        order = BatchOrder(len(dataset), batch_size, shuffle, seed, drop_last, batches_per_epoch)
        if class_sampling != "natural" and len(dataset):
            power = 0.5 if class_sampling == "square_root" else 0.0
            quotas = class_quotas([instance.label for instance in dataset], power)
            order = replace(order, quotas=quotas)
        _check_not_empty(order)
        super().__init__(dataset, order)
        self.batch_size = batch_size
        self.seed = seed
        self._fetch = make_fetcher(dataset, vocab, seed, targets)
        self._num_workers = num_workers
        self._prefetch_factor = prefetch_factor
        self._pin_memory = pin_memory
        self._start_method = start_method
        self._worker_timeout = worker_timeout
        self._idle: list[WorkerPool] = []

    @overrides
    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        return self._readable(self._made(self.order.slots(epoch, start)))

    @overrides
    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _readable(self, made: Made) -> Made:
        # A caller that stops early ends the threads now, not when garbage is collected
        with closing(made):
            for batch in made:
                if batch.unreadable:
                    self.note_unreadable(batch.unreadable)
                if batch.ids:
                    yield batch

    def _made(self, slots: Iterable[BatchSlot]) -> Made:
        resident = isinstance(self._fetch, ResidentFetcher)
        pin = self._pin_memory
        if pin is None:
            # Locking memory starts CUDA, which takes memory of the device: only where that is done
            pin = not resident and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        if resident or (self._num_workers == 0 and self._prefetch_factor == 0):
            return _on_demand(self._fetch, slots, pin)
        if self._num_workers > 0:
            return self._by_workers(slots, pin)
        decoders = 0 if holds_pixels(self.dataset) else decoder_count()
        return prefetched(self._fetch, slots, self._prefetch_factor, decoders, pin)

    def _by_workers(self, slots: Iterable[BatchSlot], pin: bool) -> Made:
        pool = self._idle.pop() if self._idle else self._new_pool(pin)
        try:
            yield from pool.run(slots)
        # The caller has stopped early; the workers are sound and wait for other batches
        except GeneratorExit:
            self._give_back(pool)
            raise
        except BaseException:  # an interrupt may have cut a message between the processes in two
            pool.close()
            raise
        self._give_back(pool)

    def _new_pool(self, pin: bool) -> WorkerPool:
        from allencv_al.data.data_loaders.worker_processes import WorkerPool

        return WorkerPool(
            self._fetch,
            self._num_workers,
            self._prefetch_factor,
            self._start_method,
            pin,
            self._worker_timeout,
        )

    def _give_back(self, pool: WorkerPool) -> None:
        if self._idle:  # two iterations ran at once, which is rare: one pool is enough to keep
            pool.close()
        else:
            self._idle.append(pool)


def _on_demand(fetch: Fetcher, slots: Iterable[BatchSlot], pin: bool) -> Made:
    for slot in slots:
        batch = finished(fetch.begin(slot))
        yield batch.pin_memory() if pin else batch


def _check_labels(dataset: Dataset, vocab: Vocabulary, targets: Targets) -> None:
    unlabeled = sum(not targets(instance, vocab) for instance in dataset)
    if 0 < unlabeled < len(dataset):
        logger.warning(
            "%d of %d images have no label: a batch with one of them has no labels at all",
            unlabeled,
            len(dataset),
        )


def _check_not_empty(order: BatchOrder) -> None:
    if order.batches_per_pass > 0:
        return
    if order.batches_per_epoch is not None:
        raise DataError("batches_per_epoch: there is no image to make batches of")
    if order.size > 0:
        raise DataError(
            f"drop_last: leaves out the only batch, since there are {order.size} images and "
            f"batch_size is {order.batch_size}; set drop_last to false or batch_size lower"
        )

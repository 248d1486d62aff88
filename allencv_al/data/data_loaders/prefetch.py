"""Batches made ahead by threads of this process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from allencv_al.data.batch import Batch
from allencv_al.data.data_loaders.fetch import finished

if TYPE_CHECKING:
    from allencv_al.data.data_loaders.fetch import Fetcher
    from allencv_al.data.data_loaders.order import BatchSlot

_MOST_DECODERS = 16


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
    if hasattr(os, "sched_getaffinity"):
        return min(_MOST_DECODERS, len(os.sched_getaffinity(0)))
    return min(_MOST_DECODERS, os.cpu_count() or 1)


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

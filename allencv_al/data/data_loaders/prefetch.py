"""Batches made ahead by threads of this process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from allencv_al.data.batch import Batch
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
    with ExitStack() as stack:
        makers = stack.enter_context(_threads(ahead if decoders else 1, "batch"))
        if decoders:  # left first: a maker that still works is waiting for them
            items = stack.enter_context(_threads(decoders, "decode"))
            fetch = partial(fetch, mapper=items.map)
        pending: deque[Future[Batch]] = deque()
        for slot in slots:
            pending.append(makers.submit(_make, fetch, slot, pin))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def decoder_count() -> int:
    """Return how many threads should decode: one per core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return min(_MOST_DECODERS, len(os.sched_getaffinity(0)))
    return min(_MOST_DECODERS, os.cpu_count() or 1)


def _make(fetch: Fetcher, slot: BatchSlot, pin: bool) -> Batch:
    batch = fetch(slot)
    return batch.pin_memory() if pin else batch


@contextmanager
def _threads(count: int, name: str) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(count, thread_name_prefix=f"allencv-al-{name}")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)

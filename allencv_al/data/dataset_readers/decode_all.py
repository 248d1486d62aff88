"""`lazy: false`: every image decoded once, in parallel, and held in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from allencv_al.common.errors import DataError, ImageDecodeError
from allencv_al.common.progress import track
from allencv_al.data.dataset_readers.skipped import PROBLEMS_SHOWN
from allencv_al.data.instance import Instance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from allencv_al.data.dataset_readers.base import DatasetReader

# Pillow lets other threads run while it decodes, so threads are enough; the images stay in one
# process and are never copied.
MAX_THREADS = 16


def decode_all(
    reader: DatasetReader, instances: Sequence[Instance]
) -> tuple[list[Instance], dict[str, ImageDecodeError]]:
    """Return the instances with their pixels as uint8 arrays, and the unreadable ones by id.

    Raises:
        ImageDecodeError: One is unreadable and the reader's `on_error` is "raise".
        DataError: More are unreadable than the reader's `max_unreadable` allows.
    """
    readable: list[Instance] = []
    unreadable: dict[str, ImageDecodeError] = {}

    def decode(instance: Instance) -> Instance | ImageDecodeError:
        try:
            sample = reader.decode(instance)
        except ImageDecodeError as error:
            return error
        image = cast("NDArray[np.uint8]", sample.image)  # float comes with the transforms only
        return replace(instance, image=image, mask=sample.mask)

    with _pool() as pool:
        outcomes = track(pool.map(decode, instances), len(instances), "Decoding", "images")
        for instance, outcome in zip(instances, outcomes, strict=True):
            if isinstance(outcome, Instance):
                readable.append(outcome)
            elif reader.on_error == "raise":
                raise outcome
            else:
                unreadable[instance.id] = outcome
    if len(unreadable) > reader.max_unreadable * len(instances):
        raise DataError(_too_many(unreadable, len(instances), reader.max_unreadable))
    return readable, unreadable


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # an error must not wait for the rest


def _too_many(unreadable: dict[str, ImageDecodeError], total: int, limit: float) -> str:
    shown = [f"  {error}" for error in list(unreadable.values())[:PROBLEMS_SHOWN]]
    if len(unreadable) > PROBLEMS_SHOWN:
        shown.append(f"  ... and {len(unreadable) - PROBLEMS_SHOWN} more")
    head = (
        f"{len(unreadable)} of {total} images are unreadable, more than max_unreadable = "
        f"{limit:g} allows; remove them, or set max_unreadable of the dataset reader higher:"
    )
    return "\n".join([head, *shown])
